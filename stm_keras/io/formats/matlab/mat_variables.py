"""What the readers of MATLAB's formats have in common."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError

MAX_VARIABLES = 1000
"""More of them are no maps, but make a list that takes long to read."""

LONGEST_NAME = 256  # MATLAB's own have up to 63 characters


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable in a MATLAB file.

    Attributes:
        name: printable.
        kind: "numbers" for a full array of real numbers, or else what it is,
            such as "struct".
        shape: as MATLAB gives it, two axes or more.
        read: reads an array of numbers: real, of that shape. It may raise
            `InputError` and `OSError` alone.
    """

    name: str
    kind: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def damaged(path: Path, fault: str) -> InputError:
    """The error for a file that is not what it should be."""
    return InputError(
        f"{path}: no readable MATLAB file ({fault}). It is truncated, damaged "
        "or still being written: save it again."
    )
