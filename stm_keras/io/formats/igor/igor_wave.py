"""Igor binary waves: a version, a header, numbers, and texts behind them.

Source: WaveMetrics, Technical Note 003, "Igor Binary Format" (IgorBin.h).
Version 5 holds up to four axes, the older ones a single row of numbers. The
byte order is that of the machine that wrote the file and shows in the
version's word. A sum over the header's 16-bit words is zero.

The package igor2 0.5.15 does not check that sum, does not know 64-bit
integers, and takes some ten bytes of memory for each byte of a note.
"""

import math
import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError

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
