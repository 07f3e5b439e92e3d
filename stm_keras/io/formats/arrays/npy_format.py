"""The .npy array format, read with its header checked before its content.

`numpy.load` allocates what a header asks for; here an array is read only
where the file holds as many bytes as its header promises. Pickled objects are
never loaded: they can run code.
"""

import math
import tokenize
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np

from stm_keras.errors import InputError

REAL_KINDS = "fiu"
TEXT_KINDS = "U"
_MAX_AXES = 3
# NumPy reads the header as a Python literal; for damaged ones these escape.
_HEADER_FAULTS = (
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
)


@dataclass(frozen=True)
class Place:
    """Where an array lies.

    Attributes:
        path: the file, for messages.
        key: the array's name within it, likewise.
        n_bytes: size of header and content together [byte].
    """

    path: Path
    key: str
    n_bytes: int


def read_array(file: IO[bytes], place: Place, kinds: str) -> np.ndarray:
    """Read an array in the .npy format.

    Args:
        file: open at the array's first byte.
        place: where that is.
        kinds: NumPy's letters for the kinds of type that are accepted.

    Raises:
        InputError: for pickled objects, another kind of type, a damaged
            header, or one that does not fit the size.
        zipfile.BadZipFile, zlib.error, EOFError: from a damaged archive.
    """
    shape, by_columns, dtype = _array_header(file, place)
    where = f"{place.path}: {place.key}"
    if dtype.hasobject:
        raise InputError(
            f"{where} holds pickled objects, which are refused (they can run "
            "code). Maps that differ in size are stored so: bring them to one "
            "size and save plain numbers."
        )
    if dtype.kind not in kinds:
        wanted = "text" if kinds == TEXT_KINDS else "real numbers"
        raise InputError(f"{where} must hold {wanted}. Received: {dtype}.")
    held = place.n_bytes - file.tell()
    promised = math.prod(shape) * dtype.itemsize
    if (
        promised != held
        or dtype.itemsize == 0  # NumPy would make room for it all the same
        or len(shape) > _MAX_AXES
        or min(shape, default=1) < 0
    ):
        raise InputError(
            f"{where} promises the shape {list(shape)}, {promised} bytes, the "
            f"file holds {held}. It is truncated or damaged."
        )
    if not promised:
        return np.empty(0, dtype)
    content = file.read(promised)
    if len(content) != promised:
        raise InputError(f"{where} is truncated. Copy the file again.")
    order = "F" if by_columns else "C"
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _array_header(
    file: IO[bytes], place: Place
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether column-major, and type, as an .npy header states them."""
    try:
        version = np.lib.format.read_magic(file)
        # Version 3 differs from 2 in the names of fields alone.
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError("unknown version")
        with warnings.catch_warnings():
            # That Python 2 wrote the header is no news to the user.
            warnings.simplefilter("ignore", UserWarning)
            if version == (1, 0):
                return np.lib.format.read_array_header_1_0(file)
            return np.lib.format.read_array_header_2_0(file)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise
    except _HEADER_FAULTS as error:
        raise InputError(
            f"{place.path}: {place.key} is no readable NumPy array. Write "
            "the file again with numpy.savez or numpy.save."
        ) from error
