"""Units and biases as RHK files write them."""

import math
import re

from stm_keras.io.recording import printable
from stm_keras.io.rhk_pages import Page

_PREFIXES = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "μ": 1e-6,
    "m": 1e-3,
    "k": 1e3,
}
_UNITS = ("m", "A", "V", "S", "Hz")
_SAME = {"Vrms": "V", "Vp": "V", "N/sec": "1/s", "deg": "degree"}
_VOLTAGE = re.compile(r"([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)\s*(\w*)")


def si_unit(text: str) -> tuple[str, float]:
    """The SI unit of a unit in a file, and what one of it is in SI.

    Args:
        text: such as "m", "nm" or "Vrms".

    Returns:
        A unit that is not known stays as it is, with a factor of 1.
    """
    unit = _SAME.get(text, text)
    if unit in ("Å", "Ang", "Angstrom"):
        return "m", 1e-10
    if unit[:1] in _PREFIXES and unit[1:] in _UNITS:
        return unit[1:], _PREFIXES[unit[0]]
    return printable(unit), 1.0


def page_bias_v(page: Page) -> float:
    """Sample bias of an image [V]; NaN where the file does not tell it.

    A slice of a spectroscopic map names its own voltage; the bias of its
    header is that of the feedback.
    """
    if match := _VOLTAGE.match(page.texts["sliced voltage"]):
        unit, factor = si_unit(match[2] or "V")
        if unit == "V":
            return float(match[1]) * factor
    return page.bias_v if math.isfinite(page.bias_v) else math.nan
