"""Units and biases as RHK files write them."""

import math
import re

from stm_keras.io.formats.rhk.rhk_pages import Page
from stm_keras.io.recording import printable
from stm_keras.io.si_units import to_si

_OWN = {"Vrms": "V", "Vp": "V", "N/sec": "1/s"}  # the last counts events
_VOLTAGE = re.compile(r"([-+]?\d+\.?\d*(?:[eE][-+]?\d+)?)\s*(\w*)")


def si_unit(text: str) -> tuple[str, float]:
    """The SI unit of a unit in a file, and what one of it is in SI.

    Args:
        text: such as "m", "nm" or "Vrms".

    Returns:
        A unit that is not known stays as it is, with a factor of 1.
    """
    factor, unit = to_si(_OWN.get(text, text))
    return printable(unit), factor


def page_bias_v(page: Page) -> float:
    """Sample bias of an image [V]; NaN where the file does not tell it.

    A slice of a spectroscopic map names its own voltage; the bias of its
    header is that of the feedback.
    """
    if match := _VOLTAGE.match(page.texts["sliced voltage"]):
        unit, factor = si_unit(match[2] or "V")
        voltage = float(match[1]) * factor
        if unit == "V" and math.isfinite(voltage):
            return voltage
    return page.bias_v if math.isfinite(page.bias_v) else math.nan
