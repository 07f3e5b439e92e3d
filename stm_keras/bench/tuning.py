"""The threshold that every finder gets: highest Jaccard index when tuning."""

from collections.abc import Sequence

import numpy as np

from stm_keras.analysis.peaks import Peaks
from stm_keras.bench.case import Case, Found, positions_of
from stm_keras.scoring import (
    Threshold,
    best_threshold,
    keeping,
    pooled_score,
)

_REACH = 0.12
"""Counts this far about that of `best_threshold` are tried, which itself
tries counts a tenth apart: too coarse for a finder that misses fewer."""

_N_FINE = 49


def tuned_threshold(
    found: Sequence[Found], cases: Sequence[Case], *, tolerance_px: float
) -> Threshold | None:
    """The threshold with the highest pooled Jaccard index.

    Args:
        found: everything that was found in each case.
        cases: with their truth.
        tolerance_px: farthest match [px].

    Returns:
        The threshold and its score; None where nothing was found at all.
    """
    peaks = [Peaks(one.positions, one.scores) for one in found]
    truth = positions_of(cases)
    coarse = best_threshold(peaks, truth, tolerance=tolerance_px)
    if coarse is None:
        return None
    trials = [
        Threshold(value, pooled_score(peaks, truth, value, tolerance_px))
        for value in _values_about(peaks, coarse.value)
    ]
    return max([coarse, *trials], key=lambda trial: trial.score.jaccard)


def _values_about(peaks: Sequence[Peaks], value: float) -> list[float]:
    """Thresholds that keep about as many peaks as a given one."""
    heights = np.sort(np.concatenate([p.scores for p in peaks]))[::-1]
    count = int((heights > value).sum())
    span = np.linspace((1 - _REACH) * count, (1 + _REACH) * count, _N_FINE)
    return keeping(heights, span)
