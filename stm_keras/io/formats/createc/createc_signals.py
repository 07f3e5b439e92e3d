"""Which quantities a Createc image holds, and what one count of each is."""

from collections.abc import Mapping
from dataclasses import dataclass

from stm_keras.io.formats.createc.createc_header import Fields, volts_per_count

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
