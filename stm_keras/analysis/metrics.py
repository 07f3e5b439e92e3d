"""Scores of found against true positions, pooled over maps."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from functools import reduce
from operator import add
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from stm_keras.analysis.matching import as_positions, check_tolerance, match
from stm_keras.errors import InputError
from stm_keras.surfaces import PAPER_PIXEL_NM

Unit = Literal["px", "nm"]

EFFICIENCY_ALPHA: dict[str, float] = {"px": 1.0, "nm": 1 / PAPER_PIXEL_NM}
"""Weight of the RMSE in the efficiency [1/px, 1/nm].

An RMSE of one pixel of the paper's maps costs as much as a Jaccard index of
zero. (Sage et al. take 1 % per nm for molecules that a light microscope sees,
a scale that has no meaning here.)
"""

METRICS = (
    "hit_ratio",
    "recall",
    "precision",
    "jaccard",
    "f1",
    "rmse",
    "efficiency",
)
"""The names of the numbers that a `Score` derives from its counts."""


@dataclass(frozen=True)
class Score:
    """Counts over one or many maps, and the numbers that follow from them.

    A ratio that divides by zero is 1 where nothing was to be found and
    nothing was found, else 0; so an empty prediction has a precision of 0.

    Attributes:
        n_reference: true positions.
        n_predicted: found positions.
        true_positives: pairs, matched one to one within the tolerance.
        hits: true positions with a found one nearer than the tolerance; one
            found position may serve several.
        squared_error: sum of the squared distances of the pairs [unit^2].
        tolerance: the farthest that a pair may be apart [unit].
        unit: of lengths, "px" or "nm".
    """

    n_reference: int = 0
    n_predicted: int = 0
    true_positives: int = 0
    hits: int = 0
    squared_error: float = 0.0
    tolerance: float = 1.0
    unit: Unit = "px"

    def __add__(self, other: "Score") -> "Score":
        if (self.tolerance, self.unit) != (other.tolerance, other.unit):
            raise InputError(
                f"Scores at {self.tolerance:g} {self.unit} and at "
                f"{other.tolerance:g} {other.unit} cannot be pooled. Use one "
                "tolerance."
            )
        return Score(
            self.n_reference + other.n_reference,
            self.n_predicted + other.n_predicted,
            self.true_positives + other.true_positives,
            self.hits + other.hits,
            self.squared_error + other.squared_error,
            self.tolerance,
            self.unit,
        )

    def _share(self, part: float, whole: float) -> float:
        if whole:
            return part / whole
        return float(self.n_reference == self.n_predicted == 0)

    @property
    def hit_ratio(self) -> float:
        """The score of arXiv:2006.15898; it knows no false positives."""
        return self._share(self.hits, self.n_reference)

    @property
    def recall(self) -> float:
        """Share of the true positions that were found."""
        return self._share(self.true_positives, self.n_reference)

    @property
    def precision(self) -> float:
        """Share of the found positions that are true."""
        return self._share(self.true_positives, self.n_predicted)

    @property
    def jaccard(self) -> float:
        """TP / (TP + FP + FN)."""
        union = self.n_reference + self.n_predicted - self.true_positives
        return self._share(self.true_positives, union)

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.n_reference + self.n_predicted
        return self._share(2 * self.true_positives, total)

    @property
    def rmse(self) -> float:
        """Root mean square distance of the pairs [unit]; NaN without any."""
        if not self.true_positives:
            return math.nan
        return math.sqrt(self.squared_error / self.true_positives)

    @property
    def efficiency(self) -> float:
        """1 - sqrt((1 - J)^2 + (alpha RMSE)^2), at most 1, may be negative.

        J is the Jaccard index and alpha `EFFICIENCY_ALPHA` [1/unit]. Without
        a pair the RMSE counts as 0. Source: Sage et al., Nature Methods 16,
        387 (2019), DOI 10.1038/s41592-019-0364-4.
        """
        rmse = self.rmse if self.true_positives else 0.0
        alpha = EFFICIENCY_ALPHA[self.unit]
        return 1 - math.hypot(1 - self.jaccard, alpha * rmse)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "Score":
        """Undo `as_dict`; the derived numbers are not looked at."""
        return cls(**{f.name: values[f.name] for f in fields(cls)})

    def as_dict(self) -> dict[str, Any]:
        """Counts and numbers as plain Python values; the RMSE may be NaN."""
        numbers = {name: getattr(self, name) for name in METRICS}
        return asdict(self) | numbers


def score_positions(
    predicted: ArrayLike,
    reference: ArrayLike,
    *,
    tolerance: float,
    unit: Unit = "px",
) -> Score:
    """Score the positions found in one map.

    Args:
        predicted: [n, 2], float, found positions [unit].
        reference: [m, 2], float, true positions [unit].
        tolerance: a pair counts when it is no farther apart than this, a hit
            (the paper's) when it is strictly nearer [unit].
        unit: of all three.

    Returns:
        The counts of this map; add those of several maps to pool them.

    Raises:
        InputError: for positions of another shape or not finite, or a
            tolerance that is not positive and finite.
    """
    check_tolerance(tolerance)
    predicted = as_positions(predicted, "predicted")
    reference = as_positions(reference, "reference")
    distances = match(predicted, reference, tolerance).distances
    hits = 0
    if len(predicted) and len(reference):
        nearest = KDTree(predicted).query(reference)[0]
        hits = int(np.count_nonzero(nearest < tolerance))
    return Score(
        n_reference=len(reference),
        n_predicted=len(predicted),
        true_positives=len(distances),
        hits=hits,
        squared_error=float(np.square(distances).sum()),
        tolerance=tolerance,
        unit=unit,
    )


def bootstrap_interval(
    scores: Sequence[Score],
    name: str,
    rng: np.random.Generator,
    *,
    n_resamples: int = 2000,
    level: float = 0.95,
) -> tuple[float, float]:
    """Percentile bootstrap interval of a pooled number, over maps.

    Maps are drawn with replacement, because the positions within one map are
    not independent.

    Args:
        scores: one a map, all at one tolerance.
        name: one of `METRICS`.
        rng: the source of the draws.
        n_resamples: number of draws.
        level: the share that the interval covers.

    Returns:
        Lower and upper end. Draws whose number is NaN are left out; both ends
        are NaN for a single map, which says nothing about the spread.

    Raises:
        InputError: without scores, for an unknown name, or for scores at
            different tolerances.
    """
    if name not in METRICS:
        raise InputError(
            f"Unknown metric: {name!r}. Known: {', '.join(METRICS)}."
        )
    if not scores:
        raise InputError("No scores to resample: give one a map.")
    pooled = reduce(add, scores)
    counts = [field.name for field in fields(Score)][:5]
    table = np.array([[getattr(s, c) for c in counts] for s in scores])
    draws = rng.integers(len(scores), size=(n_resamples, len(scores)))
    sums = table[draws].sum(axis=1)
    values = np.array(
        [
            getattr(
                replace(pooled, **dict(zip(counts, row, strict=True))), name
            )
            for row in sums.tolist()
        ]
    )
    values = values[np.isfinite(values)]
    if len(scores) < 2 or not len(values):
        return math.nan, math.nan
    low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
