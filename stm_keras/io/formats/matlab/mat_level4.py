"""MATLAB files of version 4: two axes, no more.

Per variable five int32 (type MOPT, rows, columns, whether complex, length of
the name with its final zero), name, and numbers column by column. The digits
of MOPT: byte order (0 little, 1 big), 0, type of the numbers, and 0 for an
array. (MathWorks, MAT-File Format, chapter 2.)
"""

import struct
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from stm_keras.io.formats.matlab.mat_variables import (
    LONGEST_NAME,
    MAX_VARIABLES,
    Variable,
    damaged,
)
from stm_keras.io.recording import printable

_HEAD = 20
_TYPES = ("f8", "f4", "i4", "i2", "u2", "u1")


def level_4_variables(path: Path) -> Iterator[Variable]:
    """The variables of a file, in its order.

    Raises:
        InputError: for a damaged or truncated file.
        OSError: where it cannot be read.
    """
    size = path.stat().st_size
    start = count = 0
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            dtype, kind, shape, n_name = _head(path, file.read(_HEAD))
            n_bytes = shape[0] * shape[1] * dtype.itemsize
            n_bytes *= 1 + (kind == "complex")
            name = file.read(n_name).split(b"\0")[0].decode("latin-1")
            start += _HEAD + n_name
            count += 1
            if n_bytes > size - start or count > MAX_VARIABLES:
                raise damaged(path, f"a variable of {n_bytes} bytes")
            read = partial(_read, path, start, dtype, shape)
            yield Variable(printable(name), kind, shape, read)
            start += n_bytes


def _head(
    path: Path, head: bytes
) -> tuple[np.dtype, str, tuple[int, int], int]:
    """Type, kind and shape of an array, and the length of its name."""
    if len(head) == _HEAD:
        for digit, order in enumerate("<>"):
            mopt, rows, columns, is_complex, n_name = struct.unpack(
                f"{order}5i", head
            )
            number, kind = mopt // 10 % 10, mopt % 10
            if (
                mopt // 100 == 10 * digit
                and number < len(_TYPES)
                and kind in (0, 1, 2)
                and min(rows, columns) >= 0
                and is_complex in (0, 1)
                and 0 < n_name <= LONGEST_NAME
            ):
                what = ("numbers", "text", "sparse")[kind]
                what = "complex" if is_complex and kind == 0 else what
                what = what if rows and columns else "empty"
                dtype = np.dtype(order + _TYPES[number])
                return dtype, what, (rows, columns), n_name
    raise damaged(path, "no MATLAB header")


def _read(
    path: Path, start: int, dtype: np.dtype, shape: tuple[int, int]
) -> np.ndarray:
    n_bytes = shape[0] * shape[1] * dtype.itemsize
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(n_bytes)
    if len(content) != n_bytes:
        raise damaged(path, "cut short while it was read")
    return np.frombuffer(content, dtype).reshape(shape, order="F")
