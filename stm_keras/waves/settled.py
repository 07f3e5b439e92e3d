"""Masks as wide as what the waves leave about each object asks for.

A first fit sees all but the narrowest cores. Where it leaves more about an
object than elsewhere, and more than a part of the waves there, the object
shows what is no wave, and its mask is widened as far as that goes.
"""

import numpy as np

from stm_keras.waves.iteration import Fit, nuisances_of
from stm_keras.waves.masks import MOST_PERIODS
from stm_keras.waves.model import distances, scatter
from stm_keras.waves.normal import left_by
from stm_keras.waves.prepared import Prepared

_MORE = 1.5
"""Of a ring that is hidden: its spread, in that of all pixels used."""

_OF_WAVES = 0.6
"""And in that of the waves there. A tail that is small against them may be
seen: the waves gain more by a narrow mask than it spoils."""


def settled_radii(
    fit: Fit, ready: Prepared, of_waves: float = _OF_WAVES
) -> np.ndarray:
    """Radii of masks about each object, float64 [n] [px].

    Args:
        fit: under the narrowest masks.
        ready: what was fitted.
        of_waves: part of the waves about an object below which what is left
            there is no matter.
    """
    pixels = ready.scene.pixels
    power, waves = np.zeros((2, len(pixels)))
    r = distances(fit.positions, pixels)
    for state, nuisance in zip(fit.states, nuisances_of(fit), strict=True):
        wave = scatter(state.c, fit.positions, r, state.medium).modulation
        left = left_by(state, nuisance, wave)
        unit = left.std() ** 2
        power += left**2 / unit / fit.n_maps
        waves += wave**2 / unit / fit.n_maps
    owner, nearest = r.argmin(axis=0), r.min(axis=0)
    period = np.pi / max(s.medium.k for s in fit.states)
    radii = ready.radii.copy()
    for j, least in enumerate(ready.radii):
        for inner in np.arange(least, MOST_PERIODS * period, 1.0):
            ring = (owner == j) & (nearest >= inner) & (nearest < inner + 1)
            total = np.count_nonzero(ring) * fit.n_maps
            if total < 3:
                continue
            limit = _MORE**2 * (1 + 2 * np.sqrt(2 / total))
            limit = max(limit, of_waves**2 * float(waves[ring].mean()))
            if power[ring].mean() > limit:
                radii[j] = inner + 1
    return radii
