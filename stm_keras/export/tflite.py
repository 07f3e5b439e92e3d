"""A SavedModel as TFLite files, for LiteRT on small machines."""

from pathlib import Path
from typing import Literal, get_args

import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.files import atomic_file

Precision = Literal["float32", "float16", "int8"]
PRECISIONS: tuple[Precision, ...] = get_args(Precision)
SIGNATURES = ("serving_default", "locate")


def export_tflite(
    saved_model: str | Path, path: str | Path, precision: Precision
) -> None:
    """Write a TFLite file of built-in operations, every dimension free.

    It has the signatures `serving_default` and `locate`, with the inputs and
    outputs of the SavedModel. What refuses senseless input there is left out
    by the conversion: V = 0, or a `pixel_nm` of another length, must not be
    given.

    Args:
        saved_model: its directory.
        path: the file to write.
        precision: of the weights. "float16" halves the file; "int8" is
            dynamic-range quantisation: weights of 8 bits, activations of 32.

    Raises:
        InputError: for an unknown precision.
    """
    if precision not in PRECISIONS:
        raise InputError(
            f"Unknown precision {precision!r}. Known: {', '.join(PRECISIONS)}."
        )
    converter = tf.lite.TFLiteConverter.from_saved_model(
        str(saved_model), signature_keys=list(SIGNATURES)
    )
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    content = converter.convert()
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
