"""Choose how high a peak must be to count as a detection."""

from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.analysis.matching import as_positions
from stm_keras.analysis.metrics import Score, score_positions
from stm_keras.analysis.peaks import Peaks
from stm_keras.errors import InputError

N_THRESHOLDS = 32


def standardised(score: ArrayLike) -> np.ndarray:
    """S in its own standard deviations above its mean.

    S grows with the number of maps and with their clarity, in the background
    as at the impurities, so that no one value of it parts the two. In units
    of its spread one threshold serves maps clearer than those of the
    training as well (measured, see docs/network.md).

    Args:
        score: S, [..., H, W]; NaN where not measured.

    Returns:
        float64 of the same shape; 0 for a flat layer.
    """
    values = np.asarray(score, dtype=np.float64)
    values = values - np.nanmean(values, axis=(-2, -1), keepdims=True)
    spread = np.nanstd(values, axis=(-2, -1), keepdims=True)
    return values / np.where(spread > 0, spread, 1.0)


class Threshold(NamedTuple):
    """A threshold and what it gives.

    Attributes:
        value: peaks with a score above it count, in the score's unit.
        score: of the maps that it was chosen on, pooled.
    """

    value: float
    score: Score


def best_threshold(
    found: Sequence[Peaks], truth: Sequence[np.ndarray], *, tolerance: float
) -> Threshold | None:
    """Find the threshold with the highest pooled Jaccard index.

    Give maps that will not be tested on: a threshold chosen on the test set
    makes any method look better than it is.

    Args:
        found: all peaks of every map.
        truth: for each map the true positions [n, 2], row and column [px].
        tolerance: of the matching [px].

    Returns:
        The best of `N_THRESHOLDS` that keep from a quarter to four times as
        many peaks as there are true positions; None without any peak.
    """
    trials = [
        Threshold(value, pooled_score(found, truth, value, tolerance))
        for value in _candidates(found, sum(map(len, truth)))
    ]
    if not trials:
        return None
    return max(trials, key=lambda trial: trial.score.jaccard)


def pooled_score(
    found: Sequence[Peaks],
    truth: Sequence[np.ndarray],
    threshold: float,
    tolerance: float,
) -> Score:
    """The score of all maps together at one threshold.

    Args:
        found: peaks of every map.
        truth: for each map the true positions [n, 2], row and column [px].
        threshold: peaks with a score above it count.
        tolerance: of the matching [px].
    """
    return reduce(
        add,
        (
            score_positions(
                peaks.positions[peaks.scores > threshold],
                positions,
                tolerance=tolerance,
            )
            for peaks, positions in zip(found, truth, strict=True)
        ),
        Score(tolerance=tolerance),
    )


def _candidates(found: Sequence[Peaks], n_truth: int) -> list[float]:
    heights = np.sort(np.concatenate([peaks.scores for peaks in found]))[::-1]
    if not len(heights):
        return []
    kept = np.geomspace(max(n_truth / 4, 1), 4 * max(n_truth, 1), N_THRESHOLDS)
    return keeping(heights, kept)


def keeping(heights: np.ndarray, counts: np.ndarray) -> list[float]:
    """Thresholds that keep given numbers of peaks.

    Args:
        heights: scores of all peaks, the highest first, at least one.
        counts: how many to keep, any order; rounded, from 1 to all.
    """
    kept = np.unique(np.clip(np.round(counts).astype(int), 1, len(heights)))
    below = np.append(heights, heights[-1] - 1.0)
    # Half-way to the next peak, so that rounding cannot decide.
    return ((below[kept - 1] + below[kept]) / 2).tolist()


def tuning_truth(
    positions_list: Sequence[ArrayLike], *beside: Sequence[ArrayLike]
) -> list[np.ndarray]:
    """True positions of the maps that a finder is to be tuned on.

    Args:
        positions_list: of each stack, [n, 2] [px].
        beside: what else is given a stack, such as the maps.

    Returns:
        Each as float64 [n, 2].

    Raises:
        InputError: for lists of differing lengths, something that is no
            list of positions, or no position at all.
    """
    lengths = [len(given) for given in (*beside, positions_list)]
    if len(set(lengths)) > 1:
        raise InputError(
            "Give one array of maps, of positions and of any wave numbers a "
            f"stack. Received lists of {', '.join(map(str, lengths))}."
        )
    truth = [as_positions(p, "positions_list") for p in positions_list]
    if not any(map(len, truth)):
        raise InputError("The training maps hold no position to tune on.")
    return truth
