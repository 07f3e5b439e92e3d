"""Physical constants and the units that numbers carry here.

Files and results carry nm and V; energies are in eV; the simulation counts
lengths in pixels and wave numbers in rad/px.
"""

import math
from collections.abc import Sequence

from scipy import constants

ELECTRON_MASS_KG: float = constants.m_e
HBAR_J_S: float = constants.hbar
ELEMENTARY_CHARGE_C: float = constants.e
BOLTZMANN_EV_PER_K: float = constants.k / constants.e

WAVE_NUMBER_PER_NM_PER_SQRT_EV: float = (
    math.sqrt(2 * ELECTRON_MASS_KG * ELEMENTARY_CHARGE_C) / HBAR_J_S * 1e-9
)
"""k [rad/nm] of a free electron is this times sqrt(E [eV]): 5.1232 (CODATA)."""


def plainly(value: float) -> str:
    """A number for people: two figures, and no power of ten.

    Example:
        >>> plainly(180.3), plainly(2.46), plainly(0.0341)
        ('180', '2.5', '0.034')
    """
    return f"{float(f'{value:.2g}'):.15g}" if abs(value) >= 1e-4 else "0"


def counted(expected: float) -> str:
    """An expected number of things, in words.

    Args:
        expected: it, at least 0.

    Returns:
        Nothing where it is hardly one.

    Example:
        >>> counted(0.02), counted(0.3), counted(0.9), counted(2.5)
        ('', 'perhaps 1', '1', '2 or 3')
        >>> counted(4.1), counted(26.8)
        ('about 4', 'about 27')
    """
    if expected < 0.1:
        return ""
    if expected < 0.6:
        return "perhaps 1"
    low = math.floor(expected)
    if expected < 10 and low and 0.25 <= expected - low <= 0.75:
        return f"{low} or {low + 1}"
    whole = round(expected)
    return "1" if whole == 1 else f"about {plainly(whole)}"


def height_by_width(sides: Sequence[float], unit: str) -> str:
    """Two sides for people, in the order that all options have.

    Args:
        sides: height and width.
        unit: of both.

    Example:
        >>> height_by_width((20, 30), "nm"), height_by_width((64, 64), "px")
        ('20 x 30 nm (height x width)', '64 x 64 px')
    """
    high, wide = (f"{side:.5g}" for side in sides)
    return f"{high} x {wide} {unit}" + (
        " (height x width)" if high != wide else ""
    )
