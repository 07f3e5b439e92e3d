"""What a network found in maps at its own pixel."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, eq=False)
class Found:
    """Impurities at the network's pixel, the surest first.

    Attributes:
        score: S, float32 [H, W]; NaN where a map has no measurement.
        positions: row, column [px], float64 [n, 2].
        scores: how sure each is, float64 [n]: the probability, or S in
            standard deviations above its mean.
        threshold: the least of them that counted.
        floor: S that a detection had to exceed as well; -inf for none.
        deviations: standard deviations of row and column [px], float64
            [n, 2]; None from a network that does not tell.
        expected_false: expected number of false ones; None likewise.
        surrogates: detections in each map of the same spectrum without an
            impurity, float64 [s]; None where none was tried.
        notes: what to know about it, warnings among them.
    """

    score: np.ndarray
    positions: np.ndarray
    scores: np.ndarray
    threshold: float
    floor: float = -np.inf
    deviations: np.ndarray | None = None
    expected_false: float | None = None
    surrogates: np.ndarray | None = None
    notes: tuple[str, ...] = ()
