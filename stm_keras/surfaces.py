"""Surface states with a parabolic band, and the paper's measurement of one."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.errors import InputError
from stm_keras.units import WAVE_NUMBER_PER_NM_PER_SQRT_EV


@dataclass(frozen=True)
class Surface:
    """A two-dimensional surface state with a parabolic band.

    Attributes:
        name: for people, such as "Au(111)".
        effective_mass: m*/m_e, no unit.
        band_edge_ev: energy of the band's bottom against the Fermi level [eV].
        source: where the two numbers come from.
    """

    name: str
    effective_mass: float
    band_edge_ev: float
    source: str

    def wave_number(self, bias_v: ArrayLike) -> np.ndarray:
        """Wave number k(V) = sqrt(2 m* (eV - E0)) / hbar.

        Args:
            bias_v: sample bias [V], any shape.

        Returns:
            k [rad/nm], float64, the shape of `bias_v`.

        Raises:
            InputError: where a bias lies at or below the band edge: there is
                no travelling wave, and so no ring to see.
        """
        bias = np.asarray(bias_v, dtype=np.float64)
        energy_ev = bias - self.band_edge_ev
        if bias.size and not energy_ev.min() > 0:
            raise InputError(
                f"The bias {bias.min():g} V lies at or below the band edge of "
                f"{self.name} ({self.band_edge_ev:g} V): no standing waves "
                "there. Leave these maps out or choose another surface."
            )
        return WAVE_NUMBER_PER_NM_PER_SQRT_EV * np.sqrt(
            self.effective_mass * energy_ev
        )


SURFACES: dict[str, Surface] = {
    "au111": Surface("Au(111)", 0.26, -0.520, "arXiv:2006.15898, appendix"),
    "cu111": Surface("Cu(111)", 0.38, -0.44, "standard literature value"),
    "ag111": Surface("Ag(111)", 0.40, -0.065, "standard literature value"),
}
"""Surfaces by the name that the command line takes."""


_MASSES = 0.01, 10.0
_EDGES_EV = -5.0, 5.0


def surface(name: str) -> Surface:
    """Look a surface up by name, or make one of its two numbers.

    Args:
        name: a key of `SURFACES`; case, blanks and brackets do not count, so
            "Au(111)" is "au111". Or m*/m_e and E0 [eV] of one that is not
            known here: "0.38,-0.44".

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    if "," in name:
        return _own_surface(name)
    key = "".join(c for c in name.lower() if c.isalnum())
    if key not in SURFACES:
        raise InputError(
            f"Unknown surface: {name!r}. Known: {', '.join(SURFACES)}; of "
            "another give m*/m_e and E0 [eV], such as 0.38,-0.44."
        )
    return SURFACES[key]


def _own_surface(text: str) -> Surface:
    try:
        mass, edge = (float(part) for part in text.split(","))
    except ValueError:
        mass = edge = np.nan
    (lightest, heaviest), (lowest, highest) = _MASSES, _EDGES_EV
    if not (lightest <= mass <= heaviest and lowest <= edge <= highest):
        raise InputError(
            f"A surface by its numbers is m*/m_e from {lightest:g} to "
            f"{heaviest:g} and E0 from {lowest:g} to {highest:g} eV, such as "
            f"0.38,-0.44. Received: {text!r}"
        )
    name = f"m* = {mass:g} m_e, E0 = {edge:g} eV"
    return Surface(name, mass, edge, "as given")


# The paper's Au(111) measurement (arXiv:2006.15898, appendix).
PAPER_EXTENT_NM = 37.5
PAPER_SIZE_PX = 80
PAPER_PIXEL_NM = PAPER_EXTENT_NM / PAPER_SIZE_PX
PAPER_BIAS_V: tuple[float, ...] = tuple(
    round(-0.230 + 0.002 * i, 3) for i in range(126)
)


def paper_wave_numbers() -> np.ndarray:
    """Wave numbers k [rad/px] of the paper's 126 maps, float64 [126]."""
    return SURFACES["au111"].wave_number(PAPER_BIAS_V) * PAPER_PIXEL_NM
