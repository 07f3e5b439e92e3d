"""Createc images (.dat): a text header, then images in counts.

The header's first line tells how the images are kept: "[Paramco32]" float32
in one zlib stream, "[Paramet32]" the same unpacked, "[Parameter]" int16; all
little-endian. One unused number comes first. Then follow, each [rows,
columns] with row 0 the top of the frame, all quantities of the forward
direction and, where recorded, all of the backward direction. A backward image
is kept with its left edge first, as the forward one is.

Readers disagree about nearly every scale in the header;
`docs/formats/createc.md` says what the numbers of real files decide.
"""

import math
import re
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.recording import Channel, Recording, printable
from stm_keras.io.units import finite_number
from stm_keras.io.unpacking import unpacking_limit
from stm_keras.maps import Placement, placed
from stm_keras.units import height_by_width

HEADER_BYTES = 16384  # where there is no mark behind the header
_MARK = re.compile(rb"[\n\0]DATA")  # "C:\STMDATA\..." is a path
_NO_CURRENT_A = 1e-3  # no tip bears as much

_ANGSTROM_NM = 0.1
_RANGE_V = 20.0  # every converter spans -10 V to +10 V
_OLD_DAC_BITS = 16
_DAC_BITS = range(8, 33)
_WHOLE = 0.02  # how far a number of bits may be from a whole one
_SAME_MV = 0.01  # the header rounds to this

# What is recorded, by its bit in Channelselectval: name and kind.
_SIGNALS: Mapping[int, tuple[str, str]] = {
    0: ("Topography", "height"),
    1: ("Current", "current"),
    2: ("ADC1", "voltage"),
    3: ("ADC2", "voltage"),
    4: ("ADC3", "voltage"),
    5: ("Lock-in X", "voltage"),
    6: ("second harmonic X", "voltage"),
    7: ("df", "counts"),
    8: ("Damping", "counts"),
    9: ("Amplitude", "counts"),
    10: ("Bias feedback", "counts"),
    11: ("Aux1", "counts"),
    12: ("Aux2", "counts"),
    15: ("ADC4", "voltage"),
    16: ("ADC5", "voltage"),
    17: ("ADC6", "voltage"),
    18: ("ADC7", "voltage"),
    32: ("Lock-in Y", "voltage"),
    33: ("second harmonic Y", "voltage"),
}

_PACKED = b"[Paramco32]"
_SAMPLES = {_PACKED: "<f4", b"[Paramet32]": "<f4", b"[Parameter]": "<i2"}
_MAX_PLANES = 128  # 64 quantities in two directions
_CHUNK_BYTES = 1 << 16


class Fields:
    """The header's fields, found by any of the names they have.

    A line is "internal name / shown name=value" or "name[unit]=value"; names
    are compared in small letters and without the unit.
    """

    def __init__(self, content: bytes) -> None:
        self._fields: dict[str, str] = {}
        self.memo: list[str] = []
        for line in content.decode("cp1252", "replace").splitlines():
            names, equals, value = line.partition("=")
            if not equals:
                continue
            value = value.strip(" \0")
            if names.startswith("memo") and value:
                self.memo.append(printable(value))
            for name in names.split(" / "):
                self._fields.setdefault(_plain(name), value)

    def text(self, *names: str) -> str:
        """The first field of these names that is not empty."""
        for name in names:
            if value := self._fields.get(_plain(name), ""):
                return printable(value)
        return ""

    def number(self, *names: str) -> float | None:
        """The first of these fields that is a finite number."""
        for name in names:
            # German decimals
            value = finite_number(self.text(name).replace(",", "."))
            if value is not None:
                return value
        return None

    def count(self, *names: str) -> int:
        """The first of these fields that is a number, as a whole one."""
        return int(self.number(*names) or 0)


def frame_shape(fields: Fields, path: Path) -> tuple[int, int]:
    """Rows and columns of every image [px].

    Raises:
        InputError: where the header has no such numbers.
    """
    shape = fields.count("Num.Y"), fields.count("Num.X")
    if min(shape) < 1:
        raise InputError(
            f"{path}: no size in pixels in the header (Num.X, Num.Y). The "
            "file is damaged or no Createc image."
        )
    return shape


def frame_extent_nm(fields: Fields) -> tuple[float, float] | None:
    """Height and width of the frame [nm]; None where the header has none."""
    sides = []
    for axis in "YX":
        length = fields.number(f"Length {axis}[A]") or _from_dac(fields, axis)
        if not length:
            return None
        sides.append(abs(length) * _ANGSTROM_NM)
    return sides[0], sides[1]


def volts_per_count(fields: Fields) -> float:
    """What one count of the converters is [V].

    DAC-Type tells the number of bits. Where it is missing, the frame's length
    in angstrom and in counts tell it together; else it is that of the first
    instruments, 16.
    """
    digits = re.match(r"[0-9]+", fields.text("DAC-Type"))
    bits = int(digits[0][:9]) if digits else None
    if bits is None:
        bits = _bits_of_length(fields)
    if bits is None or bits not in _DAC_BITS:
        bits = _OLD_DAC_BITS
    return _RANGE_V / 2**bits


def bias_v(fields: Fields) -> tuple[float, list[str]]:
    """Sample bias [V], and lines for `provenance`; NaN where unknown.

    BiasVoltage is what the scan was run with; CHModeBias takes its place
    while the height is kept constant. Biasvolt, at the header's end, is a
    copy: it counts where the first is missing.
    """
    if fields.count("Scantype") == 2:
        return math.nan, [
            "warning: a scan at several voltages in turn (Scantype=2), which "
            "the header does not assign to the images"
        ]
    if fields.count("CHMode"):
        height = fields.number("CHModeBias[mV]")
        if height is not None:
            return height * 1e-3, ["bias of the constant-height mode"]
    value = fields.number("BiasVoltage", "BiasVolt.[mV]", "Biasvolt[mV]")
    copy = fields.number("Biasvolt[mV]")
    if value is None:
        return math.nan, []
    if copy is None or abs(copy - value) <= _SAME_MV:
        return value * 1e-3, []
    return value * 1e-3, [
        f"warning: two biases in the header, {value:g} mV (BiasVoltage, "
        f"taken) and {copy:g} mV (Biasvolt)"
    ]


def placement(
    fields: Fields, extent_nm: tuple[float, float] | None
) -> Placement | None:
    """Where the frame lies.

    The offset is that of the middle of the frame's upper edge, counted to the
    left and up; the frame turns about that point, counter-clockwise.
    """
    offsets = [
        _from_dac(fields, axis, counts=fields.number(f"Offset{axis}"))
        for axis in "XY"
    ]
    if extent_nm is None or offsets[0] is None or offsets[1] is None:
        return None
    angle = fields.number("Rotation") or 0.0
    x, y = -offsets[0] * _ANGSTROM_NM, offsets[1] * _ANGSTROM_NM
    of_edge = placed((x, y), angle)
    return of_edge and of_edge.moved(extent_nm[0] / 2, 0.0)


def _plain(name: str) -> str:
    return re.sub(r"\[.*?\]", "", name).strip(" :\0").lower()


def _bits_of_length(fields: Fields) -> int | None:
    """Bits of the converter, by the frame's length in angstrom and counts."""
    length, per_volt = fields.number("Length x[A]"), _from_dac(fields, "X", 1)
    if not length or not per_volt:
        return None
    ratio = abs(_RANGE_V * per_volt / length)
    if not 1 <= ratio < math.inf:
        return None
    exact = math.log2(ratio)
    return round(exact) if abs(exact - round(exact)) < _WHOLE else None


def _from_dac(
    fields: Fields,
    axis: str,
    volts: float | None = None,
    *,
    counts: float | None = None,
) -> float | None:
    """A length in counts of the converter as one in angstrom.

    Without `counts`, the length of the frame's side.
    """
    step, n = fields.number(f"Delta {axis}"), fields.number(f"Num.{axis}")
    if counts is None and step is not None and n is not None:
        counts = step * n
    gain = fields.number(f"Gain{axis}")
    piezo = fields.number(f"{axis}piezoconst")  # [angstrom / V]
    if counts is None or gain is None or piezo is None:
        return None
    return counts * (volts or volts_per_count(fields)) * gain * piezo


@dataclass(frozen=True)
class Signal:
    """One recorded quantity.

    Attributes:
        name: of the quantity.
        unit: SI unit of the scaled values; empty for plain counts.
        scale: what one count is [unit].
    """

    name: str
    unit: str
    scale: float


def signals(fields: Fields, n_planes: int) -> list[Signal]:
    """The quantities that were recorded, in the order of the file.

    Args:
        fields: the header.
        n_planes: number of images in the file, of both directions.

    Returns:
        As many as there are images, or half as many where each was recorded
        in both directions.
    """
    mask = fields.count("Channelselectval")
    bits = [bit for bit in range(64) if mask >> bit & 1]
    if not bits:  # old files: number of quantities, in fixed order
        bits = list(range(min(fields.count("Chan(1,2,4)"), n_planes)))
    if len(bits) not in (n_planes, n_planes / 2):
        return [Signal(f"image {n}", "", 1.0) for n in range(n_planes)]
    volt = volts_per_count(fields)
    return [_signal(fields, bit, volt) for bit in bits]


def _signal(fields: Fields, bit: int, volt: float) -> Signal:
    name, kind = _SIGNALS.get(bit, (f"channel {bit}", "counts"))
    if kind == "height":
        piezo, gain = fields.number("ZPiezoconst"), fields.number("GainZ")
        if piezo and gain:
            return Signal(name, "m", volt * gain * piezo * 1e-10)
    gain = fields.number("Gainpreamp", "GainPre 10^")  # log10 of [V / A]
    if kind == "current" and gain is not None and abs(gain) < 30:
        return Signal(name, "A", volt / 10**gain)
    if kind == "voltage":
        return Signal(name, "V", volt)
    return Signal(name, "", 1.0)


@dataclass(frozen=True)
class Layout:
    """How the images lie in the file.

    Attributes:
        dtype: of one sample.
        start: where they begin [byte].
        packed: whether they are one zlib stream.
        n_planes: number of images.
        shape: rows and columns of each [px].
    """

    dtype: np.dtype
    start: int
    packed: bool
    n_planes: int
    shape: tuple[int, int]

    @property
    def plane_bytes(self) -> int:
        """Size of one image [byte]."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def needed_bytes(self) -> int:
        """Size of all images and the unused number before them [byte]."""
        return self.dtype.itemsize + self.n_planes * self.plane_bytes


def _header_end(content: bytes) -> int:
    """Where the images begin [byte]: behind the last mark; 0 for nowhere."""
    marks = list(_MARK.finditer(content))
    if marks:
        return marks[-1].end()
    return HEADER_BYTES if len(content) >= HEADER_BYTES else 0


def find_layout(path: Path, content: bytes, fields: Fields) -> Layout:
    """How the images lie, checked against the file's size."""
    magic = next((m for m in _SAMPLES if content.startswith(m)), None)
    if magic is None or not _header_end(content):
        raise InputError(
            f"{path}: no whole Createc header, which ends with DATA or after "
            f"{HEADER_BYTES} bytes. The file is damaged or still being written."
        )
    n_planes = fields.count("Channels")
    if not 1 <= n_planes <= _MAX_PLANES:
        raise InputError(
            f"{path}: the header promises {n_planes} images (Channels). The "
            "file is damaged or no Createc image."
        )
    layout = Layout(
        np.dtype(_SAMPLES[magic]),
        len(content),
        magic == _PACKED,
        n_planes,
        frame_shape(fields, path),
    )
    held = path.stat().st_size - len(content)
    if layout.packed:
        held = unpacking_limit(held)
    if layout.needed_bytes > held:
        raise InputError(
            f"{path}: the header promises {n_planes} images of "
            f"{height_by_width(layout.shape, 'px')}, more than the file can "
            "hold. It is truncated, damaged or still being written."
        )
    return layout


def planes(path: Path, layout: Layout) -> Iterator[NDArray[np.generic]]:
    """The images one by one, in counts: [H, W] of the file's type."""
    with path.open("rb") as file:
        file.seek(layout.start)
        stream = _Stream(path, file, packed=layout.packed)
        stream.read(layout.dtype.itemsize)  # the unused number
        for _ in range(layout.n_planes):
            content = stream.read(layout.plane_bytes)
            yield np.frombuffer(content, layout.dtype).reshape(layout.shape)


class _Stream:
    """Reads just as much of the images as is asked for, unpacked."""

    def __init__(self, path: Path, file: BinaryIO, *, packed: bool) -> None:
        self._path = path
        self._file = file
        self._unpack = zlib.decompressobj() if packed else None

    def read(self, size: int) -> bytearray:
        content = bytearray()
        while len(content) < size:
            piece = self._piece(size - len(content))
            if not piece:
                raise InputError(
                    f"{self._path}: its images end early. The file is "
                    "truncated, or still being written."
                )
            content += piece
        return content

    def _piece(self, size: int) -> bytes:
        if self._unpack is None:
            return self._file.read(size)
        piece = b""
        while not piece and not self._unpack.eof:
            packed = self._unpack.unconsumed_tail
            packed = packed or self._file.read(_CHUNK_BYTES)
            if not packed:
                break
            try:
                piece = self._unpack.decompress(packed, size)
            except zlib.error as error:
                raise InputError(
                    f"{self._path}: its packed images are damaged ({error}). "
                    "Copy the file again."
                ) from error
        return piece


def open_dat(path: Path) -> Recording:
    """Read the header of a Createc image, and check that its images are there.

    Args:
        path: the file.

    Returns:
        Channels of one map each, V = 1. Rows that were not scanned are NaN.

    Raises:
        InputError: for a damaged or truncated file, or one whose header does
            not fit its size.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(HEADER_BYTES)
    content = content[: _header_end(content)]
    fields = Fields(content)
    layout = find_layout(path, content, fields)
    empty = _unscanned_rows(path, layout, fields)
    bias, notes = bias_v(fields)
    extent = frame_extent_nm(fields)
    channels = _channels(path, layout, fields, empty, bias)
    return Recording(
        source=str(path),
        format="Createc image",
        shape=layout.shape,
        extent_nm=extent,
        channels=tuple(channels),
        placement=placement(fields, extent),
        metadata=_metadata(fields),
        notes=(*notes, *_doubts(fields, empty)),
        feedback=_feedback(fields),
    )


def _read_plane(
    path: Path,
    layout: Layout,
    number: int,
    signal: Signal,
    empty: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """One image in SI units: float32 [1, H, W], NaN where not scanned."""
    for index, plane in enumerate(planes(path, layout)):
        if index == number:
            with np.errstate(invalid="ignore", over="ignore"):
                scale = np.float32(signal.scale)
                image = np.multiply(plane, scale, dtype=np.float32)
            image[empty] = np.nan
            return image[np.newaxis]
    raise InputError(f"{path}: cut short while it was read. Try again.")


def _channels(
    path: Path,
    layout: Layout,
    fields: Fields,
    empty: NDArray[np.bool_],
    bias: float,
) -> list[Channel]:
    """A channel for each image, forward before backward."""
    recorded = signals(fields, layout.n_planes)
    return [
        Channel(
            (signal := recorded[number % len(recorded)]).name,
            signal.unit,
            np.array([bias]),
            partial(_read_plane, path, layout, number, signal, empty),
            "forward" if number < len(recorded) else "backward",
        )
        for number in range(layout.n_planes)
    ]


def _unscanned_rows(
    path: Path, layout: Layout, fields: Fields
) -> NDArray[np.bool_]:
    """Rows that are zero in all images, or that the scan did not reach."""
    rows = layout.shape[0]
    empty = np.ones(rows, dtype=bool)
    for plane in planes(path, layout):
        empty &= ~(plane != 0).any(axis=1)
    following = fields.count("ImageYPosMax")  # counted from 1
    if 1 < following <= rows:
        empty[following - 1 :] = True
    if empty.all():
        raise InputError(f"{path}: no scanned row, all images hold zeros.")
    return empty


def _metadata(fields: Fields) -> dict[str, str]:
    """What is worth showing to a person."""
    found = {
        "title": fields.text("Titel"),
        "set point": _set_point(fields),
        "comment": " ".join(fields.memo),
    }
    return {name: text for name, text in found.items() if text}


def _feedback(fields: Fields) -> bool | None:
    """Whether the tip followed the surface; None where unknown."""
    if fields.count("CHMode") or fields.count("FBOff"):
        return False
    return True if fields.text("CHMode") else None


def _set_point(fields: Fields) -> str:
    """What the feedback held; its unit is known where that is the current."""
    value = fields.number("SetPoint", "Current[A]")
    channel = fields.count("FBChannel")
    if value is None:
        return ""
    if channel:
        return f"{value:g} (feedback on channel {channel}, unit unknown)"
    return f"{value:g} A" if abs(value) < _NO_CURRENT_A else ""


def _doubts(fields: Fields, empty: NDArray[np.bool_]) -> list[str]:
    """Lines for `provenance` about what the header leaves open."""
    notes = []
    if empty.any():
        notes.append(
            f"warning: unfinished: {empty.sum()} of {empty.size} rows were "
            "not scanned"
        )
    if fields.number("ScanmodeSine"):
        notes.append("warning: scanned with a sine: uneven columns in x")
    if fields.text("ScanYDirec") and not fields.count("ScanYDirec"):
        notes.append(
            "warning: ScanYDirec=0, of which no file was at hand to check: "
            "the image may be upside down"
        )
    return notes
