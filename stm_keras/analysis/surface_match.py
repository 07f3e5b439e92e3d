"""Which known surface measured rings belong to."""

from dataclasses import dataclass

import numpy as np

from stm_keras.analysis.dispersion import Rings
from stm_keras.surfaces import SURFACES, Surface

MATCH_TOLERANCE = 0.05
"""Relative error of lengths that a scanner may well have: rings of a surface
may lie so far off, and two standard deviations farther."""


@dataclass(frozen=True)
class Deviation:
    """How far measured rings lie from those of a surface.

    Attributes:
        name: key of `SURFACES`, or as the user gave its numbers.
        surface: the surface.
        relative: mean of (measured - expected) / expected, no unit.
        relative_sigma: its standard deviation.
        typical: root of the weighted median of its square, no unit.
        n_below_edge: rings seen where the surface has no states.
    """

    name: str
    surface: Surface
    relative: float
    relative_sigma: float
    typical: float
    n_below_edge: int

    @property
    def fits(self) -> bool:
        """Whether the rings may well be those of this surface."""
        allowed = MATCH_TOLERANCE + 2 * self.relative_sigma
        return self.n_below_edge == 0 and self.typical <= allowed


def deviations_from_surfaces(rings: Rings) -> list[Deviation]:
    """Compare rings with every known surface, the nearest first.

    Args:
        rings: one or more.
    """
    found = [deviation_from(name, s, rings) for name, s in SURFACES.items()]
    return sorted(found, key=lambda d: (d.n_below_edge, d.typical))


def deviation_from(name: str, surface: Surface, rings: Rings) -> Deviation:
    """Compare rings with one surface.

    Args:
        name: of the surface, see `Deviation`.
        surface: the surface.
        rings: one or more.
    """
    above = rings.bias_v > surface.band_edge_ev
    below = int((~above).sum())
    if not above.any():
        return Deviation(name, surface, np.nan, np.nan, np.inf, below)
    expected = 2 * surface.wave_number(rings.bias_v[above])
    off = rings.q_per_nm[above] / expected - 1
    covariance = rings.covariance[np.ix_(above, above)]
    covariance = covariance / np.outer(expected, expected)
    weights = 1 / np.diag(covariance)
    weights /= weights.sum()
    return Deviation(
        name,
        surface,
        relative=float(weights @ off),
        relative_sigma=float(np.sqrt(weights @ covariance @ weights)),
        # Half of the rings may be anything: a median is not moved by it.
        typical=float(np.sqrt(_weighted_median(off**2, weights))),
        n_below_edge=below,
    )


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2)])
