"""Gwyddion's serialised objects: names, types and values, one in another.

After the bytes GWYP follows one object: its type's name, NUL, the size of
what follows (uint32), and components: name, NUL, a letter for the type, the
value; all little-endian. Small letters are single values, capitals arrays
behind their number of items (uint32).

Source: "Format of Gwyddion files" in the Gwyddion user guide,
http://gwyddion.net/documentation/user-guide-en/gwyfile-format.html. The
package gwyfile 0.3.0 takes sizes on trust, does not step over arrays of
characters, and copies what follows once for every component.
"""

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError

MAGIC = b"GWYP"
_SINGLE = {"b": "<B", "c": "<B", "i": "<i", "q": "<q", "d": "<d"}
_ARRAYS = {"C": "u1", "I": "<i4", "Q": "<i8", "D": "<f8"}
_DEEPEST = 20  # objects in objects; real files have some four


@dataclass(frozen=True, eq=False)
class GwyObject:
    """One object of a file.

    Attributes:
        kind: its type, such as "GwyDataField".
        items: values by name; of equal names the last counts.
    """

    kind: str
    items: dict[str, "Value"]

    def number(self, name: str, default: float) -> float:
        """A number of the object, or `default` where it is none."""
        value = self.items.get(name)
        return value if isinstance(value, int | float) else default

    def count(self, name: str) -> int:
        """A whole number of the object, 0 where it is none."""
        value = self.items.get(name)
        return value if isinstance(value, int) else 0

    def child(self, name: str) -> "GwyObject | None":
        """An object in the object."""
        value = self.items.get(name)
        return value if isinstance(value, GwyObject) else None

    def array(self, name: str) -> NDArray[np.float64] | None:
        """An array of float64; None where there is none of that name."""
        value = self.items.get(name)
        if isinstance(value, np.ndarray) and value.dtype == np.float64:
            return value
        return None

    def texts(self) -> dict[str, str]:
        """All texts of the object by name."""
        return {k: v for k, v in self.items.items() if isinstance(v, str)}


Value = int | float | str | GwyObject | np.ndarray | list[str] | list[GwyObject]


class _DamagedError(Exception):
    """The bytes are no serialised object."""


def read_objects(path: Path) -> GwyObject:
    """Read a Gwyddion file; arrays are views into its content.

    Raises:
        InputError: for a damaged or truncated file.
        OSError: where the file cannot be read.
    """
    content = path.read_bytes()
    if not content.startswith(MAGIC):
        raise InputError(f"{path} is no Gwyddion file. Check its name.")
    try:
        top, _ = _object(content, len(MAGIC), len(content), 0)
    except (_DamagedError, struct.error, ValueError) as error:
        raise InputError(
            f"{path}: no whole Gwyddion file: {error}. It is truncated, "
            "damaged or still being written: copy it again."
        ) from error
    return top


def _object(
    content: bytes, start: int, end: int, depth: int
) -> tuple[GwyObject, int]:
    """The object at `start`, and where the next thing begins."""
    if depth > _DEEPEST:
        raise _DamagedError(f"objects nested more than {_DEEPEST} deep")
    kind, place = _text(content, start, end)
    size, place = _count(content, place, end)
    stop = place + size
    if stop > end:
        raise _DamagedError(f"{kind[:40]!r} reaches {stop - end} bytes too far")
    items: dict[str, Value] = {}
    while place < stop:
        name, place = _text(content, place, stop)
        letter = chr(content[place]) if place < stop else ""
        items[name], place = _value(content, letter, place + 1, stop, depth)
    return GwyObject(kind, items), stop


def _value(
    content: bytes, letter: str, start: int, end: int, depth: int
) -> tuple[Value, int]:
    if letter in _SINGLE:
        size = struct.calcsize(_SINGLE[letter])
        held = content[start : min(start + size, end)]
        return struct.unpack(_SINGLE[letter], held)[0], start + size
    if letter == "s":
        return _text(content, start, end)
    if letter == "o":
        return _object(content, start, end, depth + 1)
    count, place = _count(content, start, end)
    if letter in _ARRAYS:
        dtype = np.dtype(_ARRAYS[letter])
        stop = place + count * dtype.itemsize
        if stop > end:
            raise _DamagedError(
                f"an array of {count} items in {end - place} bytes"
            )
        return np.frombuffer(content, dtype, count, place), stop
    if letter not in ("S", "O"):
        raise _DamagedError(f"unknown type {letter!r}")
    if count > end - place:  # each item takes a byte at least
        raise _DamagedError(f"a list of {count} items in {end - place} bytes")
    texts, objects = list[str](), list[GwyObject]()
    for _ in range(count):
        if letter == "S":
            text, place = _text(content, place, end)
            texts.append(text)
        else:
            child, place = _object(content, place, end, depth + 1)
            objects.append(child)
    return (texts if letter == "S" else objects), place


def _text(content: bytes, start: int, end: int) -> tuple[str, int]:
    """The text at `start` up to its NUL, and what follows it."""
    stop = content.find(b"\0", start, end)
    if stop < 0:
        raise _DamagedError("a text without an end")
    # The format says UTF-8; some programs write their own code page.
    try:
        return content[start:stop].decode(), stop + 1
    except UnicodeDecodeError:
        return content[start:stop].decode("cp1252", "replace"), stop + 1


def _count(content: bytes, start: int, end: int) -> tuple[int, int]:
    held = content[start : min(start + 4, end)]
    return struct.unpack("<I", held)[0], start + 4
