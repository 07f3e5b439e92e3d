"""Igor binary waves (.ibw): images and stacks, as Igor and Asylum save them.

A version, a header, numbers, and texts behind them. Version 5 holds up to
four axes, the older ones a single row of numbers. The byte order is that of
the machine that wrote the file and shows in the version's word. A sum over
the header's 16-bit words is zero.

Axis 0 of a wave ("rows") is x and counts fastest, axis 1 ("columns") is y,
which rises from the bottom, as in Igor's own graphs and in Gwyddion's reader;
axis 2 is the bias where its unit is V, or the list of channels where it has
labels, as in files of Asylum Research's instruments.

Source: WaveMetrics, Technical Note 003, "Igor Binary Format" (IgorBin.h). The
package igor2 0.5.15 does not check that sum, does not know 64-bit integers,
and takes some ten bytes of memory for each byte of a note.
"""

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.axes import (
    Axis,
    Framed,
    Layout,
    NotMapsError,
    bias_of,
    layout_of,
    recording_of,
    title_parts,
)
from stm_keras.io.channels import channel_key
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Recording, printable
from stm_keras.io.units import NM_PER_M, finite_number, scaled, to_si, volts_per

_DIMENSIONS = 4
_FILE_HEADER, _WAVE_HEADER = 64, 320  # of version 5 [byte]
_DATA_START = _FILE_HEADER + _WAVE_HEADER
_OLD = (1, 2, 3)
_COMPLEX, _UNSIGNED = 0x01, 0x40
_TYPES = {
    **{0x02: "f4", 0x04: "f8", 0x08: "i1", 0x10: "i2", 0x20: "i4"},
    **{0x80: "i8", 0x48: "u1", 0x50: "u2", 0x60: "u4", 0xC0: "u8"},
}
_LABEL_BYTES = 32

_SWEEP_POINTS = 3  # at least, to differentiate
_MOST_NOTES = 40
_MOST_POINTS = 1 << 16  # along an axis
_NOTE = re.compile(r"\s*([^:=]{1,60}?)\s*[:=]\s*(.{1,200})")
# Asylum keeps one unit for all channels of a file, or none.
_UNITS = (
    (re.compile(r"^(height|zsensor|z$|topo|deflection)"), "m"),
    (re.compile(r"^current"), "A"),
    (re.compile(r"^(userin|bias|potential)"), "V"),
    (re.compile(r"^phase"), "deg"),
    (re.compile(r"^frequency"), "Hz"),
)


@dataclass(frozen=True, eq=False)
class Wave:
    """A wave as its file describes it.

    Attributes:
        name: of the wave.
        values: real numbers with as many axes as the wave; axis 0 is Igor's
            rows, which an image shows along x.
        scales: (step, first) of each axis, in its unit.
        units: of each axis; empty where there is none.
        data_unit: of the numbers.
        labels: of the points of each axis; empty where there are none.
        note: the text that goes with the wave.
    """

    name: str
    values: NDArray[np.floating]
    scales: tuple[tuple[float, float], ...]
    units: tuple[str, ...]
    data_unit: str
    labels: tuple[tuple[str, ...], ...]
    note: str


def read_wave(path: Path) -> Wave:
    """Read an Igor binary wave; the numbers are a view into its content.

    Raises:
        InputError: for another kind of file, a damaged or truncated one, or
            one of texts or complex numbers.
        OSError: where the file cannot be read.
    """
    content = path.read_bytes()
    order = _checked_order(content, path)
    # checksum, wfmSize, formulaSize, noteSize, dataEUnitsSize,
    # dimEUnitsSize[4], dimLabelsSize[4]; the rest is for waves of texts.
    sizes = struct.unpack_from(order + "h4i4i4i", content, 2)
    wave = _FILE_HEADER
    code = struct.unpack_from(order + "h", content, wave + 16)[0]
    sides = struct.unpack_from(order + "4i", content, wave + 68)
    n = next((i for i, side in enumerate(sides) if not side), _DIMENSIONS)
    steps = struct.unpack_from(order + "4d", content, wave + 84)
    firsts = struct.unpack_from(order + "4d", content, wave + 116)
    units = [_text(content[wave + 148 + 4 * i :][:4]) for i in range(n + 1)]
    values = _numbers(content, path, order, code, sides[:n], sizes[1])
    note, long_units, labels = _texts(content, path, values.nbytes, sizes)
    units = [a or b for a, b in zip(long_units, units, strict=False)]
    return Wave(
        name=_text(content[wave + 28 : wave + 60]),
        values=values,
        scales=tuple(zip(steps[:n], firsts[:n], strict=True)),
        units=tuple(units[1:]),
        data_unit=units[0],
        labels=labels[:n],
        note=note,
    )


def _checked_order(content: bytes, path: Path) -> str:
    """The byte order, where the header's sum says that it is one."""
    order = "<" if content[:1] != b"\0" else ">"
    version = struct.unpack(order + "h", content[:2])[0] if content[1:] else 0
    if version in _OLD:
        raise InputError(
            f"{path}: Igor waves of version {version} hold one row of numbers "
            "and no maps. Save the maps as one wave from Igor 3 or later."
        )
    if version != 5 or len(content) < _DATA_START:
        raise InputError(
            f"{path} is no Igor binary wave, or cut short. Copy it again."
        )
    words = np.frombuffer(content, order + "u2", _DATA_START // 2)
    if int(words.sum(dtype=np.uint64)) & 0xFFFF:
        raise InputError(
            f"{path}: the sum over its header is wrong. It is no Igor binary "
            "wave, or damaged: save it again."
        )
    return order


def _numbers(
    content: bytes,
    path: Path,
    order: str,
    code: int,
    sides: tuple[int, ...],
    wave_bytes: int,
) -> NDArray[np.floating]:
    """The wave's numbers, their size checked against the file's."""
    if code not in _TYPES:
        what = "complex numbers" if code & _COMPLEX else "texts or references"
        raise InputError(
            f"{path} holds {what}. Save the maps as a wave of real numbers."
        )
    dtype = np.dtype(order + _TYPES[code])
    promised = math.prod(sides) * dtype.itemsize if sides else 0
    held = len(content) - _DATA_START
    if (
        min(sides, default=0) < 1
        or promised != wave_bytes - _WAVE_HEADER
        or promised > held
    ):
        raise InputError(
            f"{path} promises {' x '.join(map(str, sides)) or 'no'} points, "
            f"{promised} bytes, and holds {held}. It is truncated, damaged or "
            "still being written: copy it again."
        )
    count = math.prod(sides)
    numbers = np.frombuffer(content, dtype, count, _DATA_START)
    return numbers.reshape(sides, order="F")  # rows count fastest


def _texts(
    content: bytes, path: Path, data_bytes: int, sizes: tuple[int, ...]
) -> tuple[str, list[str], tuple[tuple[str, ...], ...]]:
    """Note, units of more than three letters, and labels by axis."""
    lengths = sizes[2:13]
    if min(lengths) < 0 or sum(lengths) > len(content) - (
        _DATA_START + data_bytes
    ):
        raise InputError(
            f"{path}: the texts behind its numbers are cut short. Copy it "
            "again."
        )
    parts, place = list[bytes](), _DATA_START + data_bytes
    for length in lengths:
        parts.append(content[place : place + length])
        place += length
    _, note, *units = parts[:7]
    # The first label of an axis is that of the axis itself.
    labels = tuple(
        tuple(
            _text(part[i : i + _LABEL_BYTES])
            for i in range(_LABEL_BYTES, len(part), _LABEL_BYTES)
        )
        for part in parts[7:]
    )
    return _text(note), [_text(unit) for unit in units], labels


def _text(content: bytes) -> str:
    """Text up to its NUL; Igor 7 writes UTF-8, older ones a code page."""
    content = content.split(b"\0", 1)[0]
    try:
        return content.decode()
    except UnicodeDecodeError:
        return content.decode("cp1252", "replace")


def open_ibw(path: Path) -> Recording:
    """Read an Igor binary wave.

    Args:
        path: the file.

    Returns:
        One channel; of a wave with labelled layers one for each.

    Raises:
        InputError: for a damaged or truncated file, or a wave that is
            neither an image nor a stack.
        OSError: where the file cannot be read.
    """
    wave = read_wave(path)
    if wave.values.ndim < 2 or max(wave.values.shape) > _MOST_POINTS:
        shape = " x ".join(map(str, wave.values.shape))
        raise InputError(
            f"{path}: a wave of {shape} points is no image. Give a wave of "
            f"two or three axes of at most {_MOST_POINTS} points."
        )
    notes = _notes(wave.note)
    labels = wave.labels[-1] if len(wave.scales) > 2 else ()
    layers = wave.values.shape[-1]
    in_layers = len(labels) == layers and any(labels)
    axes = _axes(wave)[: -1 if in_layers else None]
    try:
        layout = layout_of(axes)
    except NotMapsError as error:
        raise InputError(
            f"{path}: the wave {error}. Maps are waves of x, y and, for "
            "several, the bias with the unit V, or layers with labels."
        ) from error
    extent_nm = layout.extent_nm or _asylum_extent_nm(notes)
    chosen = (
        [
            (labels[i] or f"Layer {i}", wave.values[..., i])
            for i in range(layers)
        ]
        if in_layers
        else [(wave.name, wave.values)]
    )
    framed = [
        Framed(
            _channel(name, values, layout, wave, notes),
            layout.shape,
            extent_nm,
            _placement(wave, layout),
        )
        for name, values in chosen
    ]
    return recording_of(path, "wave from Igor", framed, metadata=notes)


def _axes(wave: Wave) -> list[Axis]:
    names = ("x", "y", "", "")
    return [
        Axis(
            "bias" if volts_per(unit) is not None and i > 1 else names[i],
            size,
            # A scale without a unit may be anything, above all a number.
            first + step * np.arange(size) if unit or i < 2 else None,
            unit,
        )
        for i, (size, (step, first), unit) in enumerate(
            zip(wave.values.shape, wave.scales, wave.units, strict=True)
        )
    ]


def _channel(
    title: str,
    values: NDArray[np.floating],
    layout: Layout,
    wave: Wave,
    notes: dict[str, str],
) -> Channel:
    name, direction, in_title = title_parts(printable(title))
    unit = next(
        (u for pattern, u in _UNITS if pattern.match(channel_key(name))), ""
    )
    labelled = title != wave.name
    factor, unit = to_si((unit if labelled else "") or wave.data_unit)
    bias_v = layout.bias_v
    if bias_v.size == 1 and np.isnan(bias_v).all():
        known = bias_of(notes)
        bias_v = np.array([in_title if np.isnan(known) else known])
    return Channel(
        name,
        printable(unit),
        bias_v,
        partial(_load, values, layout, factor),
        direction,
        sweep=bias_v.size >= _SWEEP_POINTS,
    )


def _load(
    values: NDArray[np.floating], layout: Layout, factor: float
) -> NDArray[np.floating]:
    return scaled(layout.arranged(values), factor)


def _notes(text: str) -> dict[str, str]:
    """Lines "name: value" of a note, which end with a carriage return."""
    matches = [_NOTE.fullmatch(line) for line in re.split(r"[\r\n]+", text)]
    pairs = [match.groups() for match in matches if match]
    return {printable(k): printable(v.strip()) for k, v in pairs[:_MOST_NOTES]}


def _asylum_extent_nm(notes: dict[str, str]) -> tuple[float, float] | None:
    """Height and width from the note, where the axes have no unit."""
    slow, fast = (
        finite_number(notes.get(key))
        for key in ("SlowScanSize", "FastScanSize")
    )
    if slow is None or fast is None or min(slow, fast) <= 0:
        return None
    return slow * NM_PER_M, fast * NM_PER_M


def _placement(wave: Wave, layout: Layout) -> Placement | None:
    """Where the frame lies; axes that begin at 0 do not tell."""
    firsts: Sequence[float] = [first for _, first in wave.scales[:2]]
    if layout.centre_nm is None or not any(firsts):
        return None
    return Placement(layout.centre_nm)
