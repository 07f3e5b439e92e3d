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
