"""A fit of rings grows by all that is worth a look."""

import numpy as np

from stm_keras.analysis.pursuit_fit import RingFit
from stm_keras.analysis.pursuit_search import RingSearch, as_score, starts

NEAR_PX = 5.0
"""Impurities this near to a new one are refined along with it."""

SEARCH_STEPS, FINAL_STEPS = 2, 5
STEP_PX = 5e-3
"""Steps that each refinement makes at most, and the step that ends it."""

PIXELS_PER_IMPURITY = 50
"""The search ends at one impurity in so many pixels."""


def grow(
    fit: RingFit,
    *,
    stop: float,
    min_distance_px: float = 1.0,
    settled: float = 0.0,
) -> None:
    """Add rings where one more explains most of what is left.

    Orthogonal matching pursuit from whatever rings there are, see
    `stm_keras.studies.baselines.pursuit`; in the end all positions are refined.

    Args:
        fit: it grows.
        stop: the search ends where no ring would have this score, see
            `as_score`.
        min_distance_px: no ring starts nearer to another than this [px].
        settled: see `RingFit.refine`.
    """
    shape = fit.measured.shape[1:]
    search = RingSearch(shape, fit.wave_numbers, fit.template)
    inverse = search.gram(fit.measured)
    most = most_rings(fit.measured)
    while len(fit.positions) < most:
        gain = search.gain(fit.residual, inverse, fit.noise)
        new = starts(
            as_score(gain, len(fit.wave_numbers)),
            fit.positions,
            least=stop,
            min_distance_px=min_distance_px,
        )
        new = new[: most - len(fit.positions)]
        if not len(new):
            break
        old = len(fit.positions)
        fit.add(new)
        gaps = np.linalg.norm(fit.positions[:, None] - new, axis=-1)
        near = np.flatnonzero(gaps.min(axis=1) <= NEAR_PX)
        near = np.union1d(near, np.arange(old, len(fit.positions)))
        fit.refine(near, SEARCH_STEPS, STEP_PX, settled)
        if fit.template.hole_px:
            inverse = search.gram(fit.measured)
    fit.refine(np.arange(len(fit.positions)), FINAL_STEPS, STEP_PX, settled)


def most_rings(maps: np.ndarray) -> int:
    """How many rings may be fitted to maps [V, H, W]."""
    return max(maps[0].size // PIXELS_PER_IMPURITY, 1)
