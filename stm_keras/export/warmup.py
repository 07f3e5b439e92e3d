"""Requests that TensorFlow Serving replays before it says it is ready."""

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from stm_keras.errors import InputError
from stm_keras.files import atomic_file

FOLDER = "assets.extra"
NAME = "tf_serving_warmup_requests"
SIGNATURES = ("serving_default", "locate", "attention")
_SIZE_PX = 64
_N_MAPS = 4


def warmup_possible() -> bool:
    """Whether tensorflow-serving-api, which knows the record, is installed."""
    return importlib.util.find_spec("tensorflow_serving") is not None


def write_warmup(saved_model: str | Path, name: str | None = None) -> Path:
    """Write the warm-up record of a SavedModel.

    It asks each signature once for four maps of noise, 64 x 64 px: the first
    request of a user then does not wait for the graph to be optimised. The
    same bytes every time.

    Args:
        saved_model: its directory, written by `export_saved_model`.
        name: of the model; None for that of the folder it lies in, as in
            TensorFlow Serving's NAME/VERSION.

    Returns:
        The record, TFRecords of `PredictionLog`.

    Raises:
        InputError: where the package tensorflow-serving-api is not installed.
    """
    try:
        logs: Any = importlib.import_module(
            "tensorflow_serving.apis.prediction_log_pb2"
        )
    except ImportError as error:
        raise InputError(
            "The warm-up record needs tensorflow-serving-api: "
            'pip install "stm-keras[serving]".'
        ) from error
    directory = Path(saved_model)
    stored: Any = SavedModel.FromString(
        (directory / "saved_model.pb").read_bytes()
    )
    signatures = stored.meta_graphs[0].signature_def
    target = directory / FOLDER / NAME
    target.parent.mkdir(exist_ok=True)
    with (
        atomic_file(target) as temporary,
        tf.io.TFRecordWriter(str(temporary)) as writer,
    ):
        for signature in SIGNATURES:
            log = logs.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = name or directory.resolve().parent.name
            request.model_spec.signature_name = signature
            for key, info in signatures[signature].inputs.items():
                example = _example(len(info.tensor_shape.dim))
                request.inputs[key].CopyFrom(tf.make_tensor_proto(example))
            writer.write(log.SerializeToString(deterministic=True))
    return target


def _example(rank: int) -> np.ndarray:
    """Noise of a shape that the input may have."""
    shape = (1, _N_MAPS, _SIZE_PX, _SIZE_PX)[:rank]
    rng = np.random.default_rng(0)
    return rng.uniform(0.5, 1.5, shape).astype(np.float32)
