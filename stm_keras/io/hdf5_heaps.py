"""HDF5 heaps of texts, checked before the library runs in circles in them.

A "global heap collection" holds the texts of variable length, such as units:
a header and objects behind each other, the free room last, as object 0. With
a free object of size 0 in its midst HDF5 (1.14 and 2.0) never comes back.

Source: "HDF5 File Format Specification 3.0", III.E, Disk Format: Level 1E.
"""

import mmap
import struct
from pathlib import Path

from stm_keras.errors import InputError

# Signature, version, three reserved bytes; then the collection's size.
_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER = 16
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size


def check_heaps(path: Path) -> None:
    """Refuse a file with a heap that does not end where it should.

    Raises:
        InputError: where there is one.
        OSError: where the file cannot be read.
    """
    if not path.stat().st_size:
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        start = content.find(_SIGNATURE)
        while start >= 0:
            if not _is_whole(content, start):
                raise InputError(
                    f"{path}: a list of texts at byte {start} is damaged. It "
                    "is truncated or still being written: copy it again."
                )
            start = content.find(_SIGNATURE, start + len(_SIGNATURE))


def _is_whole(content: mmap.mmap, start: int) -> bool:
    """Whether a collection's objects lie one behind the other to its end."""
    if start + _HEADER > len(content):
        return False
    (size,) = struct.unpack_from("<Q", content, start + 8)
    place, end = start + _HEADER, start + size
    if size < _HEADER or end > len(content):
        return False
    # What is left behind the last object may be too short for a header.
    while end - place >= _OBJECT.size:
        index, _, _, length = _OBJECT.unpack_from(content, place)
        if index == 0:
            return place + length == end
        # Objects are filled up to multiples of eight bytes.
        place += _OBJECT.size + (length + 7) // 8 * 8
    return place <= end
