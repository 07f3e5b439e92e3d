"""Gwyddion files (.gwy): images and volumes from any instrument.

After the bytes GWYP follows one object: its type's name, NUL, the size of
what follows (uint32), and components: name, NUL, a letter for the type, the
value; all little-endian. Small letters are single values, capitals arrays
behind their number of items (uint32).

Images (GwyDataField) and the planes of volumes (GwyBrick) are kept from the
top row to the bottom, each from left to right. Gwyddion knows no bias: that
of an image is looked for in its metadata and title, that of a volume is its
third axis, where its unit is V.

Source: "Format of Gwyddion files" in the Gwyddion user guide,
http://gwyddion.net/documentation/user-guide-en/gwyfile-format.html. The
package gwyfile 0.3.0 takes sizes on trust, does not step over arrays of
characters, and copies what follows once for every component.
"""

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.axes import (
    Framed,
    bias_of,
    recording_of,
    stacked,
    title_parts,
)
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Direction, Recording, printable
from stm_keras.io.units import nm_per, to_si, volts_per

MAGIC = b"GWYP"
_SINGLE = {"b": "<B", "c": "<B", "i": "<i", "q": "<q", "d": "<d"}
_ARRAYS = {"C": "u1", "I": "<i4", "Q": "<i8", "D": "<f8"}
_DEEPEST = 20  # objects in objects; real files have some four

_KEY = re.compile(r"/([0-9]{1,9})/data|/brick/([0-9]{1,9})")
_SWEEP_POINTS = 3  # at least, to differentiate
_MOST_STEPS = 20


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
        items[name], place = _item(content, letter, place + 1, stop, depth)
    return GwyObject(kind, items), stop


def _item(
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


@dataclass(frozen=True, eq=False)
class _Entry:
    """An image or volume, its title, metadata and log; a mask or none."""

    data: GwyObject
    title: str
    texts: dict[str, str]
    steps: tuple[str, ...]
    masked: bool


@dataclass(frozen=True, eq=False)
class _Maps:
    """Maps of one entry: shape, what they are and where they lie."""

    name: str
    direction: Direction
    bias_v: NDArray[np.float64]
    values: NDArray[np.float64]
    unit: str
    extent_nm: tuple[float, float] | None
    placement: Placement | None
    entry: _Entry


def open_gwy(path: Path) -> Recording:
    """Read a Gwyddion file.

    Args:
        path: the file.

    Returns:
        Each image or volume as a channel. Images of one name, size and
        direction whose biases are known and differ make one channel.

    Raises:
        InputError: for a damaged or truncated file, or one without images.
        OSError: where the file cannot be read.
    """
    maps = [_maps(path, entry) for entry in _entries(read_objects(path))]
    masked = dict.fromkeys(one.name for one in maps if one.entry.masked)
    return recording_of(
        path,
        "Gwyddion file",
        stacked([_framed(one) for one in maps]),
        # A mask is a selection of any purpose, not what was not measured.
        notes=tuple(f"the mask of {name} is not applied" for name in masked),
        none="holds no image and no volume; curve maps, XYZ data and graphs "
        "are not read. Save the maps as images",
    )


def _entries(container: GwyObject) -> list[_Entry]:
    """All images and volumes in the order of their numbers."""
    found: list[tuple[tuple[bool, int], _Entry]] = []
    for key in container.items:
        match, data = _KEY.fullmatch(key), container.child(key)
        if match is None or data is None:
            continue
        if data.kind not in ("GwyDataField", "GwyBrick"):
            continue
        image, brick = match.groups()
        base = f"/{image}" if image else f"/brick/{brick}"
        title = container.items.get(f"{key}/title")
        meta, log = (
            container.child(name) for name in (f"{base}/meta", f"{key}/log")
        )
        texts = {} if meta is None else meta.texts()
        entry = _Entry(
            data,
            printable(title) if isinstance(title, str) else f"Data {image}",
            {printable(k): printable(v) for k, v in texts.items()},
            () if log is None else _steps(log),
            container.child(f"{base}/mask") is not None,
        )
        found.append(((image is None, int(image or brick)), entry))
    return [entry for _, entry in sorted(found, key=lambda pair: pair[0])]


def _steps(log: GwyObject) -> tuple[str, ...]:
    """Names of the functions in a log of "proc::level(...)@time"."""
    lines = log.items.get("strings")
    texts = lines if isinstance(lines, list) else []
    names = [
        printable(text.split("(")[0].strip())
        for text in texts
        if isinstance(text, str)
    ]
    return tuple(names[:_MOST_STEPS])


def _maps(path: Path, entry: _Entry) -> _Maps:
    """Maps of an entry, its sizes checked against its data."""
    data, volume = entry.data, entry.data.kind == "GwyBrick"
    sides = ("zres", "yres", "xres") if volume else ("yres", "xres")
    shape = tuple(data.count(side) for side in sides)
    values = data.array("data")
    held = 0 if values is None else values.size
    if values is None or min(shape) < 1 or math.prod(shape) != held:
        raise InputError(
            f"{path}: {entry.title!r} promises {' x '.join(map(str, shape))} "
            f"points, the file holds {held}. It is damaged: save it again."
        )
    name, direction, in_title = title_parts(entry.title)
    factor, unit = to_si(_unit(data, "w" if volume else "z"))
    if volume:
        bias_v = _sweep_v(data, shape[0])
    else:
        known = bias_of(entry.texts)
        bias_v = np.array([in_title if math.isnan(known) else known])
    extent_nm, placement = _frame(data, volume)
    values = values.reshape(-1, *shape[-2:])
    return _Maps(
        name,
        direction,
        bias_v,
        values if factor == 1 else values * factor,
        printable(unit),
        extent_nm,
        placement,
        entry,
    )


def _unit(data: GwyObject, axis: str) -> str:
    child = data.child(f"si_unit_{axis}")
    text = "" if child is None else child.items.get("unitstr", "")
    return text if isinstance(text, str) else ""


def _sweep_v(brick: GwyObject, size: int) -> NDArray[np.float64]:
    """The third axis of a volume [V]; NaN where it is no voltage.

    Point k lies at zoff + k zreal / zres, as in Gwyddion's own ktor(), or
    where the calibration says.
    """
    for value in brick.items.values():
        if isinstance(value, GwyObject) and value.kind == "GwyDataLine":
            points = value.array("data")
            scale = volts_per(_unit(value, "y"))
            if points is not None and points.size == size and scale:
                return points * scale
    factor = volts_per(_unit(brick, "z"))
    step = brick.number("zreal", math.nan) / size
    first = brick.number("zoff", 0.0)
    points = np.arange(size, dtype=np.float64)
    return (first + step * points) * (factor or math.nan)


def _frame(
    data: GwyObject, volume: bool
) -> tuple[tuple[float, float] | None, Placement | None]:
    """Height and width [nm], and the place of the frame.

    Gwyddion's y axis points down from the top left corner at (xoff, yoff),
    and zero offsets are not written.
    """
    units = [
        nm_per(_unit(data, a)) for a in (("y", "x") if volume else ("xy",))
    ]
    down, right = units[0], units[-1]
    sides = [data.number(side, math.nan) for side in ("yreal", "xreal")]
    if down is None or right is None or not min(sides) > 0:
        return None, None
    height, width = sides[0] * down, sides[1] * right
    if "xoff" not in data.items and "yoff" not in data.items:
        return (height, width), None
    left, top = data.number("xoff", 0) * right, data.number("yoff", 0) * down
    centre = (left + width / 2, -(top + height / 2))
    known = all(map(math.isfinite, centre))
    return (height, width), Placement(centre) if known else None


def _framed(maps: _Maps) -> Framed:
    steps = ", ".join(maps.entry.steps)
    channel = Channel(
        maps.name,
        maps.unit,
        maps.bias_v,
        lambda: maps.values,
        maps.direction,
        sweep=len(maps.values) >= _SWEEP_POINTS,
        note=f"in Gwyddion: {steps}" if steps else "",
    )
    shape = (maps.values.shape[1], maps.values.shape[2])
    return Framed(
        channel, shape, maps.extent_nm, maps.placement, maps.entry.texts
    )
