"""MATLAB files of version 4, and of versions 5 to 7 ("Level 5").

Version 4, per variable: five int32 (type MOPT, rows, columns, whether
complex, length of the name with its final zero), name, and numbers column by
column. The digits of MOPT: byte order (0 little, 1 big), 0, type of the
numbers, and 0 for an array.

Level 5: a preamble of 128 bytes, then elements: a type and a size (two
uint32) and the content, filled up to 8 bytes; or, where the size is 4 or
less, both in one uint32 and the content in the next. An array (miMATRIX) is a
row of such elements: flags, shape, name, numbers; miCOMPRESSED is a zlib
stream with an array in it.

`scipy.io` reads these too, but damaged files end its process with a
segmentation fault, and it makes room for whatever a header promises.

Source: MathWorks, "MAT-File Format", chapters 1 and 2.
"""

import math
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.recording import printable
from stm_keras.io.unpacking import unpacking_limit

MAX_VARIABLES = 1000
"""More of them are no maps, but make a list that takes long to read."""

LONGEST_NAME = 256  # MATLAB's own have up to 63 characters

_HEAD_4 = 20
_TYPES_4 = ("f8", "f4", "i4", "i2", "u2", "u1")

_PREAMBLE = 128
_TAG = 8
_INT8, _INT32, _UINT32, _MATRIX, _COMPRESSED = 1, 5, 6, 14, 15
_TYPES_5 = {1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4"}
_CLASSES = {1: "cell", 2: "struct", 3: "object", 4: "text", 5: "sparse"}
_NUMBERS = range(6, 16)  # double, single, and the integers
_COMPLEX, _LOGICAL = 0x0800, 0x0200
_MAX_AXES = 32
_HEAD_5 = 1024
"""Bytes in which flags, shape and name of an array have room."""


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
            dtype, kind, shape, n_name = _head_4(path, file.read(_HEAD_4))
            n_bytes = shape[0] * shape[1] * dtype.itemsize
            n_bytes *= 1 + (kind == "complex")
            name = file.read(n_name).split(b"\0")[0].decode("latin-1")
            start += _HEAD_4 + n_name
            count += 1
            if n_bytes > size - start or count > MAX_VARIABLES:
                raise damaged(path, f"a variable of {n_bytes} bytes")
            read = partial(_read_4, path, start, dtype, shape)
            yield Variable(printable(name), kind, shape, read)
            start += n_bytes


def _head_4(
    path: Path, head: bytes
) -> tuple[np.dtype, str, tuple[int, int], int]:
    """Type, kind and shape of an array, and the length of its name."""
    if len(head) == _HEAD_4:
        for digit, order in enumerate("<>"):
            mopt, rows, columns, is_complex, n_name = struct.unpack(
                f"{order}5i", head
            )
            number, kind = mopt // 10 % 10, mopt % 10
            if (
                mopt // 100 == 10 * digit
                and number < len(_TYPES_4)
                and kind in (0, 1, 2)
                and min(rows, columns) >= 0
                and is_complex in (0, 1)
                and 0 < n_name <= LONGEST_NAME
            ):
                what = ("numbers", "text", "sparse")[kind]
                what = "complex" if is_complex and kind == 0 else what
                what = what if rows and columns else "empty"
                dtype = np.dtype(order + _TYPES_4[number])
                return dtype, what, (rows, columns), n_name
    raise damaged(path, "no MATLAB header")


def _read_4(
    path: Path, start: int, dtype: np.dtype, shape: tuple[int, int]
) -> np.ndarray:
    n_bytes = shape[0] * shape[1] * dtype.itemsize
    with path.open("rb") as file:
        file.seek(start)
        content = file.read(n_bytes)
    if len(content) != n_bytes:
        raise damaged(path, "cut short while it was read")
    return np.frombuffer(content, dtype).reshape(shape, order="F")


_TYPES_5 |= {9: "f8", 12: "i8", 13: "u8"}

_CLASSES |= {16: "function", 17: "object"}


@dataclass(frozen=True)
class _Place:
    """Where an array's numbers lie.

    Attributes:
        start: of the content of the outer element [byte].
        n_bytes: its size [byte].
        packed: whether it is a zlib stream.
        offset: of the numbers in the content, unpacked [byte].
        dtype: of the numbers, in the file's byte order.
    """

    start: int
    n_bytes: int
    packed: bool
    offset: int = 0
    dtype: str = "f8"


def level_5_variables(path: Path) -> Iterator[Variable]:
    """The variables of a file, in its order.

    Raises:
        InputError: for a damaged or truncated file.
        OSError: where it cannot be read.
    """
    size = path.stat().st_size
    with path.open("rb") as file:
        order = {b"IM": "<", b"MI": ">"}.get(file.read(_PREAMBLE)[126:])
        if order is None:
            raise damaged(path, "no MATLAB preamble")
        start, count = _PREAMBLE, 0
        while start + _TAG <= size:
            file.seek(start)
            kind, n_bytes = struct.unpack(f"{order}II", file.read(_TAG))
            start += _TAG
            count += 1
            if not 0 < n_bytes <= size - start or count > MAX_VARIABLES:
                raise damaged(
                    path, f"element {count} of {n_bytes} bytes at {start}"
                )
            if kind in (_MATRIX, _COMPRESSED):
                place = _Place(start, n_bytes, kind == _COMPRESSED)
                yield _variable_5(path, file, place, order)
            start += n_bytes


def _variable_5(
    path: Path, file: IO[bytes], place: _Place, order: str
) -> Variable:
    head = file.read(min(_HEAD_5, place.n_bytes))
    before = 0
    if place.packed:
        head = _unpacked(path, head, _HEAD_5)
        before = _TAG
        if struct.unpack(f"{order}I", head[:4].ljust(4))[0] != _MATRIX:
            raise damaged(path, "no array where one should be")
    try:
        return _parsed(path, head, before, place, order)
    except (struct.error, ValueError, LookupError) as error:
        raise damaged(path, "an unreadable variable") from error


def _parsed(
    path: Path, head: bytes, start: int, place: _Place, order: str
) -> Variable:
    """A variable from its first bytes; raises ValueError for odd ones."""
    kind, flags, start = _element(head, start, order)
    if kind != _UINT32 or len(flags) != 8:
        raise ValueError("flags")
    word = struct.unpack(f"{order}I", flags[:4])[0]
    kind, sizes, start = _element(head, start, order)
    if kind != _INT32 or len(sizes) % 4 or len(sizes) > 4 * _MAX_AXES:
        raise ValueError("shape")
    shape = struct.unpack(f"{order}{len(sizes) // 4}i", sizes)
    kind, name, start = _element(head, start, order)
    if kind != _INT8 or len(name) > LONGEST_NAME or min(shape, default=-1) < 0:
        raise ValueError("name")
    text = printable(name.decode("latin-1"))
    array_class = word & 0xFF
    what = _CLASSES.get(array_class, "unknown")
    if array_class in _NUMBERS:
        if word & (_COMPLEX | _LOGICAL):
            what = "complex" if word & _COMPLEX else "logical"
        elif 0 in shape:
            what = "empty"
        else:
            what = "numbers"
            place = _numbers_place(head, start, place, shape, order)
    return Variable(
        text, what, shape, partial(_read_5, path, place, text, shape)
    )


def _numbers_place(
    head: bytes, start: int, place: _Place, shape: tuple[int, ...], order: str
) -> _Place:
    """Where the numbers lie, once they are as many as the shape says."""
    word, n_bytes = struct.unpack_from(f"{order}II", head, start)
    offset = start + _TAG
    if word >> 16:
        word, n_bytes, offset = word & 0xFFFF, word >> 16, start + 4
    dtype = np.dtype(order + _TYPES_5[word])
    if n_bytes != math.prod(shape) * dtype.itemsize:
        raise ValueError("size")
    if not place.packed and offset + n_bytes > place.n_bytes:
        raise ValueError("size")
    return _Place(place.start, place.n_bytes, place.packed, offset, dtype.str)


def _element(head: bytes, start: int, order: str) -> tuple[int, bytes, int]:
    """Type and content of an element, and where the next one begins."""
    word, n_bytes = struct.unpack_from(f"{order}II", head, start)
    begin = start + _TAG
    following = begin + -(-n_bytes // 8) * 8
    if word >> 16:
        word, n_bytes = word & 0xFFFF, word >> 16
        begin, following = start + 4, start + _TAG
    content = head[begin : begin + n_bytes]
    if len(content) != n_bytes or begin + n_bytes > following:
        raise ValueError("size")
    return word, content, following


def _read_5(
    path: Path, place: _Place, name: str, shape: tuple[int, ...]
) -> np.ndarray:
    dtype, count = np.dtype(place.dtype), math.prod(shape)
    with path.open("rb") as file:
        if place.packed:
            file.seek(place.start)
            content = file.read(place.n_bytes)
            end = place.offset + count * dtype.itemsize
            if end > unpacking_limit(len(content)):
                raise InputError(
                    f"{path}: {name} would unpack from {len(content)} to {end} "
                    "bytes: refused. Save it with -v6, which does not pack."
                )
            content = _unpacked(path, content, end)
            offset = place.offset
        else:
            file.seek(place.start + place.offset)
            content, offset = file.read(count * dtype.itemsize), 0
    if len(content) - offset < count * dtype.itemsize:
        raise damaged(path, f"{name} ends before its last number")
    array = np.frombuffer(content, dtype, count, offset)
    return array.reshape(shape, order="F")


def _unpacked(path: Path, content: bytes, limit: int) -> bytes:
    """The first so many bytes of what a zlib stream holds."""
    try:
        return zlib.decompressobj().decompress(content, limit)
    except zlib.error as error:
        raise damaged(path, str(error)) from error
