"""Variables of MATLAB files of versions 4 to 7, their sizes checked first.

SciPy reads the arrays, and makes room for what their headers promise, be it
in the file or in a compressed stream. So each variable is cut out here,
unpacked within bounds, and given to SciPy by itself.

MATLAB's Level 5 format: a preamble of 128 bytes, then elements, each a type
and a size (two uint32) before its content: an array (miMATRIX), or a zlib
stream that holds one (miCOMPRESSED). Level 4: per variable five int32 (type
MOPT, rows, columns, whether complex, length of the name), name and numbers.
"""

import io
import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from scipy.io import loadmat, whosmat

from stm_keras.errors import InputError
from stm_keras.io.unpacking import unpacking_limit

_PREAMBLE = 128
_MI_MATRIX, _MI_COMPRESSED = 14, 15
_HEAD = 1024  # type, shape and name of an array, with room to spare
_MAX_VARIABLES = 1000
_LEVEL_4_HEAD = 20
_LEVEL_4_ITEM = (8, 4, 4, 2, 2, 1)  # by the digit P of MOPT
_LONGEST_NAME = 64
NUMBERS = ("double", "single", "int8", "int16", "int32", "int64")
NUMBERS = (*NUMBERS, "uint8", "uint16", "uint32", "uint64")
"""MATLAB's classes of real numbers."""


@dataclass(frozen=True, eq=False)
class Variable:
    """An array of numbers in a MATLAB file.

    Attributes:
        name: the variable's name.
        shape: as MATLAB gives it, two axes or more.
        read: reads it, real, of that shape.
    """

    name: str
    shape: tuple[int, ...]
    read: Callable[[], np.ndarray]


def level_5_variables(path: Path) -> Iterator[tuple[str, str, Variable]]:
    """The variables of a file of version 5, 6 or 7.

    Yields:
        Name, MATLAB class and the variable, in the order of the file.

    Raises:
        InputError: for a damaged or truncated file.
        OSError: where it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order, preamble = _preamble(path, file.read(_PREAMBLE))
        start, count = _PREAMBLE, 0
        while start + 8 <= size:
            file.seek(start)
            tag = file.read(8)
            kind, n_bytes = struct.unpack(f"{order}II", tag)
            if not 0 < n_bytes <= size - start - 8:
                raise _damaged(
                    path, f"an element of {n_bytes} bytes at byte {start}"
                )
            count += 1
            if count > _MAX_VARIABLES:
                raise _damaged(path, f"more than {_MAX_VARIABLES} variables")
            if kind in (_MI_MATRIX, _MI_COMPRESSED):
                packed = kind == _MI_COMPRESSED
                head = file.read(min(_HEAD, n_bytes))
                head = _unpacked_head(path, head) if packed else tag + head
                place = (start, n_bytes, packed)
                yield _listed(path, preamble + head, preamble, place)
            start += 8 + n_bytes


def _preamble(path: Path, found: bytes) -> tuple[str, bytes]:
    """The byte order of a file, and a sound preamble of the same.

    The text at the front of the file's own tells nothing, but would confuse
    SciPy where it is damaged.
    """
    order = {b"IM": "<", b"MI": ">"}.get(found[126:])
    if order is None:
        raise _damaged(path, "no MATLAB preamble")
    version = struct.pack(f"{order}H", 0x0100)
    text = b"MATLAB".ljust(_PREAMBLE - 4)
    return order, text + version + found[126:]


def level_4_variables(path: Path) -> Iterator[tuple[str, str, Variable]]:
    """The variables of a file of version 4; see `level_5_variables`."""
    size = path.stat().st_size
    start = count = 0
    with path.open("rb") as file:
        while start < size:
            file.seek(start)
            head = file.read(_LEVEL_4_HEAD)
            n_bytes, name_bytes, is_full = _level_4_size(path, head)
            n_bytes += _LEVEL_4_HEAD + name_bytes
            count += 1
            if n_bytes > size - start or count > _MAX_VARIABLES:
                raise _damaged(path, f"a variable of {n_bytes} bytes")
            head += file.read(name_bytes)
            if is_full:  # neither text nor sparse
                yield _listed(path, head, b"", (start, n_bytes, False))
            start += n_bytes


def _level_4_size(path: Path, head: bytes) -> tuple[int, int, bool]:
    """Bytes of the numbers and of the name, and whether it is an array."""
    for order in "<>":
        if len(head) < _LEVEL_4_HEAD:
            break
        mopt, rows, columns, is_complex, name = struct.unpack(
            f"{order}5i", head
        )
        item = mopt // 10 % 10
        if not (
            0 <= mopt < 5000
            and min(rows, columns) >= 0
            and is_complex in (0, 1)
            and 0 < name <= _LONGEST_NAME
            and item < len(_LEVEL_4_ITEM)
        ):
            continue
        n_numbers = rows * columns * (1 + is_complex)
        return n_numbers * _LEVEL_4_ITEM[item], name, mopt % 10 == 0
    raise _damaged(path, "no MATLAB header")


def _unpacked_head(path: Path, content: bytes) -> bytes:
    """The first bytes of an array, its tag included."""
    try:
        return zlib.decompressobj().decompress(content, _HEAD)
    except zlib.error as error:
        raise _damaged(path, str(error)) from error


def _listed(
    path: Path, head: bytes, preamble: bytes, place: tuple[int, int, bool]
) -> tuple[str, str, Variable]:
    """Name, class and variable at a place of the file."""
    try:
        name, shape, kind = whosmat(io.BytesIO(head))[0]
    except Exception as error:  # SciPy's own are of many kinds
        raise _damaged(path, "an unreadable variable") from error
    shape = tuple(int(n) for n in shape)
    if min(shape, default=0) < 0:
        raise _damaged(path, f"the shape {list(shape)}")
    # Level 4 knows one class of numbers, "full".
    kind = "double" if kind == "full" else kind
    read = partial(_read, path, preamble, place, name, shape)
    return name, kind, Variable(name, shape, read)


def _read(
    path: Path,
    preamble: bytes,
    place: tuple[int, int, bool],
    name: str,
    shape: tuple[int, ...],
) -> np.ndarray:
    start, n_bytes, packed = place
    with path.open("rb") as file:
        file.seek(start + (8 if packed else 0))
        content = file.read(n_bytes + (8 if preamble and not packed else 0))
    if packed:
        content = _unpacked(path, name, content, math.prod(shape) * 8 + _HEAD)
    stream = io.BytesIO()
    stream.write(preamble)
    stream.write(content)
    del content
    try:
        array = loadmat(stream, variable_names=[name])[name]
    except Exception as error:  # see above
        raise _damaged(path, f"{name} does not fit its header") from error
    if not isinstance(array, np.ndarray) or array.shape != shape:
        raise _damaged(path, f"{name} does not fit its header")
    if array.dtype.kind not in "fiu":
        raise InputError(f"{path}: {name} must hold real numbers.")
    return array


def _unpacked(path: Path, name: str, content: bytes, promised: int) -> bytes:
    """A zlib stream, unpacked as far as the header of its array says."""
    limit = min(promised, unpacking_limit(len(content)))
    try:
        unpacked = zlib.decompressobj().decompress(content, limit + 1)
    except zlib.error as error:
        raise _damaged(path, str(error)) from error
    if len(unpacked) > limit:
        raise InputError(
            f"{path}: {name} unpacks from {len(content)} to more than {limit} "
            "bytes: refused. Save it with -v6, which does not compress."
        )
    return unpacked


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(
        f"{path}: no readable MATLAB file ({fault}). It is truncated, damaged "
        "or still being written: save it again."
    )
