"""Detections of a network, fitted as rings to all the maps at once.

Where white noise is all that hides the rings, a fit of the waves reaches the
Cramér-Rao bound, and a network that must do for any maps does not. Where cores,
drift or lines are in the maps, the fit is wrong and does not know it; then
what it leaves is not white, which is looked at before anything is believed.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.analysis.detections import Detections, distinct
from stm_keras.analysis.joined_maps import joined, standardised_maps
from stm_keras.analysis.pursuit_fit import RingFit
from stm_keras.analysis.ring_template import EQ3, SCATTERING

TEMPLATES = EQ3, SCATTERING
"""The waves that are tried; what leaves least is taken."""

WHITE = 0.08
"""What is left is taken for white up to this correlation of neighbours. Eq. 3
in white noise stays below, virtual experiments are far above."""

HOPELESS = 0.3
"""Where more is left before positions are refined, refining would take seconds
and not make it white."""

LEAST_PROBABILITY = 0.05
"""Less sure detections stay out of the fit, and as they are."""

INFLATION = 1.5
"""Of the fit's own standard deviations, which know nothing of impurities that
were missed; what makes the true places of two kinds of fields likeliest, see
`benchmarks/ring_refit.py`."""

MAX_MAPS = 16
"""Of more maps, means of neighbours in k are fitted, for the time's sake."""

MOST_NUMBERS = 100_000_000
"""In the columns of a fit; a larger one would want too much memory."""

_STEPS, _STEP_PX = 8, 5e-3
_PIXELS_PER_IMPURITY = 50
_LEAST_DEVIATION_PX = 1e-3
_LAGS = (0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)


class Refit(NamedTuple):
    """What a fit of rings made of detections.

    Attributes:
        detections: the surest first; those of the network where the fit is
            not believed.
        correlation: of neighbouring pixels in what the fit leaves, the
            largest of several lags, no unit; NaN where nothing was fitted.
        believed: whether what is left is white.
    """

    detections: Detections
    correlation: float
    believed: bool

    @property
    def verdict(self) -> str:
        """What to say of it, in a line."""
        if math.isnan(self.correlation):
            return "no rings were fitted to the maps"
        left = f"neighbours correlate by {self.correlation:.2g} in what is left"
        if self.believed:
            return f"rings were fitted to all maps, and move positions: {left}"
        return f"rings were fitted to all maps, and count for nothing: {left}"


def refit_rings(maps: ArrayLike, ring: ArrayLike, found: Detections) -> Refit:
    """Fit the rings of detections, and believe the fit where it may be.

    Positions are the means of the network's and the fit's, weighed by their
    variances, those of the fit inflated (`INFLATION`). Both come from the same
    maps, and how their errors hang together is not known: deviations are those
    of covariance intersection with equal weights (S. J. Julier and J. K.
    Uhlmann, American Control Conference 1997, DOI 10.1109/ACC.1997.609105).
    Probabilities stay.

    Args:
        maps: [V, H, W], float; NaN = not measured.
        ring: 2k of each map, [V] [rad/px]; 0 or NaN where unknown: such maps
            are left out.
        found: what the network detected in them.

    Raises:
        InputError: for maps or wave numbers that do not fit together.
    """
    fitted, fit = fit_rings(maps, ring, found)
    if fit is None:
        return Refit(found, math.nan, False)
    correlation = residual_correlation(fit)
    if correlation > WHITE:
        return Refit(found, correlation, False)
    return Refit(_combined(found, fitted, fit), correlation, True)


def fit_rings(
    maps: ArrayLike, ring: ArrayLike, found: Detections
) -> tuple[np.ndarray, RingFit | None]:
    """Fit rings around detections, with the waves that leave least.

    Args:
        maps: see `refit_rings`.
        ring: see `refit_rings`.
        found: see `refit_rings`.

    Returns:
        Indices of what was fitted, the surest first, int [m]; and the fit,
        None where there is nothing to fit or too much.
    """
    stack, k = _known(np.asarray(maps), np.asarray(ring, np.float64))
    sure = np.flatnonzero(found.probabilities >= LEAST_PROBABILITY)
    fitted = sure[: max(stack[0].size // _PIXELS_PER_IMPURITY, 1)]
    columns = 2 * len(fitted) + 1
    if not (len(k) and len(fitted)) or stack.size * columns > MOST_NUMBERS:
        return fitted, None
    fits = [RingFit(stack, k, template) for template in TEMPLATES]
    for fit in fits:
        fit.add(found.positions[fitted])
    best = min(fits, key=lambda fit: float(np.log(fit.noise).mean()))
    if residual_correlation(best) <= HOPELESS:
        best.refine(np.arange(len(fitted)), _STEPS, _STEP_PX)
    return fitted, best


def residual_correlation(fit: RingFit) -> float:
    """Largest correlation of neighbouring pixels in what a fit leaves."""
    left = fit.residual / fit.noise[:, None, None]
    return max(_correlation(left, fit.measured, lag) for lag in _LAGS)


def weighed_mean(
    found: Detections, fitted: np.ndarray, fit: RingFit, inflation: float
) -> tuple[np.ndarray, np.ndarray]:
    """Positions of the network and of a fit together, and their deviations.

    Args:
        found: what the network detected.
        fitted: indices of what was fitted, in its order, int [m].
        fit: of these.
        inflation: of the fit's standard deviations.

    Returns:
        Positions and deviations of row and column, float64 [m, 2] [px] each.
    """
    own = np.maximum(inflation * fit.deviations(), _LEAST_DEVIATION_PX)
    mine, its = 1 / found.deviations[fitted] ** 2, 1 / own**2
    places = mine * found.positions[fitted] + its * fit.positions
    return places / (mine + its), np.sqrt(2 / (mine + its))


def _known(maps: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps of known 2k, of equal spread, and their k; one empty map if none."""
    known = np.nan_to_num(ring) > 0
    if known.any():
        stack, k = standardised_maps(maps[known], ring[known] / 2)
        if len(k):
            return joined(stack, k, MAX_MAPS)
    return np.zeros((1, 0, 0)), np.zeros(0)


def _combined(
    found: Detections, fitted: np.ndarray, fit: RingFit
) -> Detections:
    """What the network and a believed fit say together."""
    positions, deviations = found.positions.copy(), found.deviations.copy()
    positions[fitted], deviations[fitted] = weighed_mean(
        found, fitted, fit, INFLATION
    )
    kept = distinct(positions)
    return Detections(
        positions[kept],
        found.probabilities[kept],
        deviations[kept],
        found.pixels[kept],
    )


def _correlation(
    left: np.ndarray, seen: np.ndarray, lag: tuple[int, int]
) -> float:
    """Mean product of pixels so far apart, both measured."""
    down, right = lag
    height, width = left.shape[1:]
    one = np.s_[:, down:, max(right, 0) : width + min(right, 0)]
    other = np.s_[:, : height - down, max(-right, 0) : width - max(right, 0)]
    pairs = np.count_nonzero(seen[one] & seen[other])
    product = float((left[one] * left[other]).sum(dtype=np.float64))
    return abs(product) / max(pairs, 1)
