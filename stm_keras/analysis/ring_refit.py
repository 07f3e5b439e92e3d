"""Detections of a network, judged by a fit of rings to all the maps at once.

Where white noise is all that hides the rings, a fit of the waves reaches the
Cramér-Rao bound, and what it says of their number is near the best that can
be said; a network that must do for any maps is not. Where cores, drift or
lines are in the maps, the fit is wrong and does not know it; then what it
leaves is not white, which is looked at before anything is believed.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from threadpoolctl import threadpool_limits

from stm_keras.analysis.detections import Detections
from stm_keras.analysis.joined_maps import joined, standardised_maps
from stm_keras.analysis.pursuit_fit import RingFit
from stm_keras.analysis.pursuit_growth import (
    FINAL_STEPS,
    STEP_PX,
    grow,
    most_rings,
)
from stm_keras.analysis.ring_candidates import (
    Rings,
    Weights,
    candidates,
    judged,
)
from stm_keras.analysis.ring_inclusion import inclusion_probabilities
from stm_keras.analysis.ring_template import EQ3, SCATTERING, RingTemplate

WEIGHTS = {
    EQ3: Weights(0.34, 0.44, 0.13, -0.60),
    SCATTERING: Weights(0.35, 0.57, -0.19, -1.67),
}
"""The waves that are tried, of which that counts which leaves least, and what
is made of its rings; from docs/experiments.md, 11."""

WHITE = 4.0
"""What is left is taken for white where neighbours correlate by no more than so
many of the standard deviations that chance gives, 1 / sqrt(pixels of all maps):
Eq. 3 in white noise does nearly always, and cores show through noise."""

MOST_CORRELATED = 0.08
"""And by no more than this, where there are few pixels."""

HOPELESS = 0.12
"""Where more is left before positions are refined, refining would take seconds
and not make it white: of 177 fits that were, none began above 0.08."""

SURE = 0.05
"""Less sure detections are not where the fit begins."""

STOP = 3.0
"""The search for more rings ends at this score, see `as_score`; at 2 the most
that may be tried are, for three times the time and no more impurities."""

NEEDED = 0.2
"""Rings at least so probable to the fit are refined once more without the
others, which would only give them room to err."""

MARGIN_PX = 4
"""Rings may lie so far outside of the frame, or those of the border would be
taken for others inside."""

MAX_MAPS = 16
"""Of more maps, means of neighbours in k are fitted, for the time's sake."""

MOST_NUMBERS = 100_000_000
"""In the columns of a fit; a larger one would want too much memory."""

FIRST_STEPS, LAST_STEPS = 2, 6
PROMISING = 3.0
"""Positions are refined further where the first steps bring what is left within
so many times what would be white."""

SETTLED = 1.0
"""Refining ends where chi^2 of all maps changes by less: positions are then
within a fraction of their standard deviations, and rings that are none wander
on for ever."""

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
            return (
                "rings were fitted to all maps, and count for positions and "
                f"probabilities: {left}"
            )
        return f"rings were fitted to all maps, and count for nothing: {left}"


def refit_rings(maps: ArrayLike, ring: ArrayLike, found: Detections) -> Refit:
    """Fit rings to maps, and believe the fit where it may be.

    It begins with the detections, looks for more, and says of each how
    probable it is (`inclusion_probabilities`); that and what the network said
    are put together (`candidates`, `judged`).

    Args:
        maps: [V, H, W], float; NaN = not measured.
        ring: 2k of each map, [V] [rad/px]; 0 or NaN where unknown: such maps
            are left out.
        found: what the network detected in them.

    Raises:
        InputError: for maps or wave numbers that do not fit together.
    """
    # Small matrices: threads wait for each other longer than they compute.
    with threadpool_limits(limits=1, user_api="blas"):
        fit = fit_detections(maps, ring, found)
        if fit is None:
            return Refit(found, math.nan, False)
        correlation = residual_correlation(fit)
        if correlation > most_correlated(fit):
            return Refit(found, correlation, False)
        rings = judge(fit)
    measured: np.ndarray = np.any(np.isfinite(maps), axis=0)
    every = candidates(found, rings, measured)
    better = judged(every, WEIGHTS[fit.template])
    return Refit(better, correlation, True)


def fit_detections(
    maps: ArrayLike, ring: ArrayLike, found: Detections
) -> RingFit | None:
    """Fit rings around detections, with the waves that leave least.

    Args:
        maps: see `refit_rings`.
        ring: see `refit_rings`.
        found: see `refit_rings`.

    Returns:
        Positions count from the corner of a frame larger by `MARGIN_PX` at
        each side. None where no map's 2k is known, or there is too
        much to fit.
    """
    stack, k = _known(np.asarray(maps), np.asarray(ring, np.float64))
    if not len(k):
        return None
    border = [(0, 0), (MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX)]
    stack = np.pad(stack, border, constant_values=np.nan)
    most = most_rings(stack)
    if stack.size * (2 * most + 1) > MOST_NUMBERS:
        return None
    sure = np.flatnonzero(found.probabilities >= SURE)[:most]
    best = min(
        (_fitted(stack, k, wave, found.positions[sure]) for wave in WEIGHTS),
        key=lambda fit: float(np.log(fit.noise).mean()),
    )
    every = np.arange(len(sure))
    if residual_correlation(best) <= HOPELESS:
        best.refine(every, FIRST_STEPS, STEP_PX, SETTLED)
        if residual_correlation(best) <= PROMISING * most_correlated(best):
            best.refine(every, LAST_STEPS, STEP_PX, SETTLED)
    return best


def judge(fit: RingFit) -> Rings:
    """Look for more rings, and say how probable each is.

    Args:
        fit: as `fit_detections` gives it; it grows.
    """
    grow(fit, stop=STOP, settled=SETTLED)
    positions, deviations = fit.positions.copy(), fit.deviations()
    probabilities = inclusion_probabilities(fit, deviations)
    needed = probabilities >= NEEDED
    alone = fit.of(needed)
    every = np.arange(len(alone.positions))
    alone.refine(every, FINAL_STEPS, STEP_PX, SETTLED)
    positions[needed], deviations[needed] = alone.positions, alone.deviations()
    return Rings(positions - MARGIN_PX, deviations, probabilities)


def is_white(fit: RingFit) -> bool:
    """Whether what a fit leaves is white noise, as far as can be told."""
    return residual_correlation(fit) <= most_correlated(fit)


def most_correlated(fit: RingFit) -> float:
    """Up to this correlation of neighbours what a fit leaves is white."""
    pixels = max(np.count_nonzero(fit.measured), 1)
    return min(MOST_CORRELATED, WHITE / math.sqrt(pixels))


def residual_correlation(fit: RingFit) -> float:
    """Largest correlation of neighbouring pixels in what a fit leaves."""
    left = fit.residual / fit.noise[:, None, None]
    return max(_correlation(left, fit.measured, lag) for lag in _LAGS)


def _fitted(
    stack: np.ndarray, k: np.ndarray, wave: RingTemplate, places: np.ndarray
) -> RingFit:
    fit = RingFit(stack, k, wave)
    fit.add(places + MARGIN_PX)
    return fit


def _known(maps: np.ndarray, ring: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Maps of known 2k, of equal spread, and their k; one empty map if none."""
    known = np.nan_to_num(ring) > 0
    if known.any():
        stack, k = standardised_maps(maps[known], ring[known] / 2)
        if len(k):
            return joined(stack, k, MAX_MAPS)
    return np.zeros((1, 0, 0)), np.zeros(0)


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
