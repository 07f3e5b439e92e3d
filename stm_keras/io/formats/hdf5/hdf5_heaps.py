"""HDF5 heaps of texts, checked before the library trusts what they say.

A "global heap collection" holds the texts of variable length, such as units:
a header and objects behind each other, the free room last, as object 0. With
a free object of size 0 in its midst HDF5 (1.14 and 2.0) never comes back. And
for a reference to an object (length, address of the collection, index) it
makes room for that length, up to 4 GB, before it looks at the object.

Source: "HDF5 File Format Specification 3.0", III.E, Disk Format: Level 1E.
"""

import mmap
import struct
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.io.formats.unpacking import FREE_BYTES

# Signature, version, three reserved bytes; then the collection's size.
_SIGNATURE = b"GCOL\x01\0\0\0"
_HEADER = 16
_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size
_MOST_INDEX = 1 << 16
_MOST_SEARCHED = 1 << 32  # bytes, all collections together: some seconds


def check_heaps(path: Path) -> None:
    """Refuse a file with a damaged heap, or a reference that asks too much.

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
        heaps: dict[int, dict[int, int]] = {}
        start = content.find(_SIGNATURE)
        while start >= 0:
            sizes = _object_sizes(content, start)
            if sizes is None:
                raise _damaged(path, start)
            heaps[start] = sizes
            start = content.find(_SIGNATURE, start + len(_SIGNATURE))
        if len(heaps) * len(content) > _MOST_SEARCHED:
            return
        for start, sizes in heaps.items():
            place = _lying_reference(content, start, sizes)
            if place is not None:
                raise _damaged(path, place)


def _object_sizes(content: mmap.mmap, start: int) -> dict[int, int] | None:
    """Sizes of a collection's objects by index; None where it is damaged.

    They must lie one behind the other up to the collection's end.
    """
    if start + _HEADER > len(content):
        return None
    (size,) = struct.unpack_from("<Q", content, start + 8)
    place, end = start + _HEADER, start + size
    if size < _HEADER or end > len(content):
        return None
    sizes: dict[int, int] = {}
    # What is left behind the last object may be too short for a header.
    while end - place >= _OBJECT.size:
        index, _, _, length = _OBJECT.unpack_from(content, place)
        if index == 0:
            return sizes if place + length == end else None
        sizes[index] = length
        # Objects are filled up to multiples of eight bytes.
        place += _OBJECT.size + (length + 7) // 8 * 8
    return sizes if place <= end else None


def _lying_reference(
    content: mmap.mmap, start: int, sizes: dict[int, int]
) -> int | None:
    """Where a reference asks for far more than its object holds."""
    address = struct.pack("<Q", start)
    place = content.find(address, 4)
    while place >= 0:
        if place + 12 <= len(content):
            (length,) = struct.unpack_from("<I", content, place - 4)
            (index,) = struct.unpack_from("<I", content, place + 8)
            held = sizes.get(index, 0) if 0 < index < _MOST_INDEX else length
            if length > max(held, FREE_BYTES):
                return place
        place = content.find(address, place + 1)
    return None


def _damaged(path: Path, place: int) -> InputError:
    return InputError(
        f"{path}: its texts are damaged at byte {place}. It is truncated or "
        "still being written: copy it again."
    )
