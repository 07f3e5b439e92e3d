"""Keep TensorFlow's start-up lines out of a user's terminal."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from absl import logging as absl_logging


@contextmanager
def quiet_imports() -> Iterator[None]:
    """Discard what libraries write to standard error while they load.

    TensorFlow's C++ parts write there past Python and past their own log
    level, so the file descriptor itself is turned away. An exception still
    arrives whole.
    """
    _flush()
    kept = os.dup(2)
    with open(os.devnull, "w") as nowhere:  # noqa: PTH123
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        _flush()
        os.dup2(kept, 2)
        os.close(kept)
    # TFDS warns of its own use of what it has deprecated.
    absl_logging.set_verbosity(absl_logging.ERROR)


def _flush() -> None:
    if sys.stderr is not None:  # as where it was closed
        sys.stderr.flush()


@contextmanager
def without_keras() -> Iterator[None]:
    """Import TensorFlow without the Keras that it imports by itself.

    It does so to make optimizers known to SavedModels that hold one. Who only
    asks an exported graph needs none, and saves a fifth of the import. `import
    keras` works at any time after.
    """
    name = "TF_USE_LEGACY_KERAS"
    before = os.environ.get(name)
    os.environ[name] = "1"  # of a package that is not installed
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def start_at_once() -> None:
    """Have TensorFlow run graphs as they are stored.

    It would rewrite each before the first call, for more seconds than the
    rewriting saves in all the maps of a file. The answers differ in rounding
    (2e-6 of a score S of order 1). For the whole process, and so for a command
    alone: a notebook may train as well.
    """
    import tensorflow as tf

    tf.config.optimizer.set_experimental_options(
        {"disable_meta_optimizer": True}
    )
