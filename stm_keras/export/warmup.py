"""Requests that TensorFlow Serving replays before it says it is ready."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.files import atomic_file

FOLDER = "assets.extra"
NAME = "tf_serving_warmup_requests"
_SIZE_PX = 64
_N_MAPS = 4


def write_warmup(saved_model: str | Path) -> Path:
    """Write the warm-up record of a SavedModel.

    It asks each signature once for four maps of noise, 64 x 64 px: the first
    request of a user then does not wait for the graph to be optimised.

    Args:
        saved_model: its directory, written by `export_saved_model`.

    Returns:
        The record, TFRecords of `PredictionLog`.

    Raises:
        InputError: where the package tensorflow-serving-api is not installed.
    """
    try:
        apis: Any = importlib.import_module("tensorflow_serving.apis")
        logs: Any = importlib.import_module(
            f"{apis.__name__}.prediction_log_pb2"
        )
    except ImportError as error:
        raise InputError(
            "The warm-up record needs tensorflow-serving-api: "
            'pip install "stm-keras[serving]".'
        ) from error
    directory = Path(saved_model)
    signatures = tf.saved_model.load(str(directory)).signatures
    target = directory / FOLDER / NAME
    target.parent.mkdir(exist_ok=True)
    with (
        atomic_file(target) as temporary,
        tf.io.TFRecordWriter(str(temporary)) as writer,
    ):
        for name in ("serving_default", "locate", "attention"):
            log = logs.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = directory.parent.name
            request.model_spec.signature_name = name
            _, inputs = signatures[name].structured_input_signature
            for key, spec in inputs.items():
                request.inputs[key].CopyFrom(
                    tf.make_tensor_proto(_example(spec))
                )
            writer.write(log.SerializeToString())
    return target


def _example(spec: tf.TensorSpec) -> np.ndarray:
    """Noise of a shape that the input may have."""
    shape = (1, _N_MAPS, _SIZE_PX, _SIZE_PX)[: spec.shape.rank]
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)
