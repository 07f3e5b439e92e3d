"""The text header of a Createc image: which numbers say what.

Readers disagree about nearly every scale in it; `docs/formats.md` says what
the numbers of real files decide.
"""

import math
import re
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.io.placement import Placement
from stm_keras.io.recording import printable

HEADER_BYTES = 16384

_ANGSTROM_NM = 0.1
_RANGE_V = 20.0  # every converter spans -10 V to +10 V
_OLD_DAC_BITS = 16
_DAC_BITS = range(8, 33)
_WHOLE = 0.02  # how far a number of bits may be from a whole one
_SAME_MV = 0.01  # the header rounds to this


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
            text = self.text(name).replace(",", ".")  # German decimals
            try:
                value = float(text)
            except ValueError:
                continue
            if math.isfinite(value):
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
    digits = re.match(r"\d+", fields.text("DAC-Type"))
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
    if not (math.isfinite(x) and math.isfinite(y)):
        return None
    return Placement((x, y), angle).moved(extent_nm[0] / 2, 0.0)


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
