"""What a SavedModel can be asked, read without loading its weights."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

from stm_keras.errors import InputError

SAVED_MODEL = "saved_model.pb"


class Signature(NamedTuple):
    """Tensors of a signature, such as "maps float32 [?,?,?,?]", by name.

    "?" is a size that is free.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]


def read_signatures(directory: str | Path) -> dict[str, Signature]:
    """Inputs and outputs of each signature of a SavedModel, by its name.

    Args:
        directory: of the SavedModel.

    Raises:
        InputError: where `saved_model.pb` is missing or damaged.
    """
    path = Path(directory) / SAVED_MODEL
    try:
        stored: Any = SavedModel.FromString(path.read_bytes())
        signatures = stored.meta_graphs[0].signature_def
        return {
            name: Signature(
                _tensors(signatures[name].inputs),
                _tensors(signatures[name].outputs),
            )
            for name in sorted(signatures)
            if not name.startswith("__")  # TensorFlow's own
        }
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except (DecodeError, IndexError, TypeError, ValueError) as error:
        raise InputError(f"{path} is damaged ({error}).") from error


def _tensors(named: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(f"{name} {_tensor(named[name])}" for name in sorted(named))


def _tensor(info: Any) -> str:
    sizes = (str(d.size) if d.size >= 0 else "?" for d in info.tensor_shape.dim)
    return f"{tf.as_dtype(info.dtype).name} [{','.join(sizes)}]"
