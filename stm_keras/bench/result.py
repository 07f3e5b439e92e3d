"""What one finder did in one cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, reduce
from operator import add
from typing import Any

import numpy as np

from stm_keras.analysis.metrics import Score


@dataclass(frozen=True)
class CellResult:
    """Counts of every test case, and what follows from them.

    Attributes:
        suite: of the cell.
        cell: its name.
        finder: its name.
        tolerance_px: farthest match [px].
        counts: for each case what `Score` holds: true positions, found ones,
            pairs, hits, sum of squared distances [px^2].
        seconds: mean time that finding took in a case [s].
        settings: what the tuning chose.
        best_possible: Jaccard index at the best threshold on the test cases
            themselves, which no user could know; NaN where not asked for.
        bound: pairs whose bound lies within the tolerance: their number, the
            sum of their squared distances, and that of their bounds [px^2].
        z: of (found - true) / deviation over rows and columns of all pairs:
            number, sum, sum of squares.
        calibration: for each tenth of the probability: detections, sum of
            their probabilities, and how many are true.
        run: what the result depends on beside the code.
    """

    suite: str
    cell: str
    finder: str
    tolerance_px: float
    counts: list[list[float]]
    seconds: float
    settings: dict[str, Any] = field(default_factory=dict)
    best_possible: float = math.nan
    bound: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    z: list[float] = field(default_factory=lambda: [0.0, 0.0, 0.0])
    calibration: list[list[float]] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)

    @property
    def key(self) -> tuple[str, str, str]:
        """Suite, cell and finder."""
        return self.suite, self.cell, self.finder

    @cached_property
    def scores(self) -> list[Score]:
        """One a case."""
        return [
            Score(
                *(int(n) for n in row[:4]),
                squared_error=row[4],
                tolerance=self.tolerance_px,
            )
            for row in self.counts
        ]

    @cached_property
    def score(self) -> Score:
        """Of all cases together."""
        return reduce(add, self.scores, Score(tolerance=self.tolerance_px))

    @property
    def over_bound(self) -> float:
        """RMSE over the square root of the bound; NaN where not known."""
        n, squared, bound = self.bound
        return math.sqrt(squared / bound) if n and bound else math.nan

    @property
    def z_deviation(self) -> float:
        """Standard deviation of the z-scores; NaN where not known."""
        n, total, squares = self.z
        if n < 2:
            return math.nan
        return math.sqrt(max(squares / n - (total / n) ** 2, 0.0))

    @property
    def calibration_error(self) -> float:
        """Expected calibration error; NaN where not known.

        The mean over detections of |mean probability - share of true ones| of
        their tenth (M. P. Naeini et al., AAAI 2015).
        """
        bins = np.array(self.calibration).reshape(-1, 3)
        total = bins[:, 0].sum()
        if not total:
            return math.nan
        return float(np.abs(bins[:, 1] - bins[:, 2]).sum() / total)

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CellResult":
        """Undo `as_dict`."""
        return cls(**{f.name: values[f.name] for f in fields(cls)})


def jaccard_difference(
    ours: CellResult, other: CellResult, *, seed: int = 0, n: int = 2000
) -> tuple[float, float, float]:
    """Difference of the pooled Jaccard indices, with a 95 % interval.

    Cases are drawn with replacement, the same for both (paired bootstrap).

    Args:
        ours: of one finder.
        other: of another in the same cell.
        seed: of the draws.
        n: number of draws.

    Returns:
        Difference, lower and upper end; both ends NaN for a single case.
    """
    difference = ours.score.jaccard - other.score.jaccard
    tables = [np.array(r.counts)[:, :3] for r in (ours, other)]
    cases = len(tables[0])
    if cases < 2 or len(tables[1]) != cases:
        return difference, math.nan, math.nan
    draws = np.random.default_rng(seed).integers(cases, size=(n, cases))
    first, second = (_jaccard(table[draws].sum(axis=1)) for table in tables)
    low, high = np.quantile(first - second, (0.025, 0.975))
    return difference, float(low), float(high)


def _jaccard(sums: np.ndarray) -> np.ndarray:
    """Of each row: true positions, found ones, pairs; see `Score.jaccard`."""
    union = sums[:, 0] + sums[:, 1] - sums[:, 2]
    return np.where(union > 0, sums[:, 2] / np.maximum(union, 1), 1.0)


def of_cell(
    results: Sequence[CellResult], suite: str, cell: str
) -> dict[str, CellResult]:
    """Results of one cell, by finder."""
    return {r.finder: r for r in results if (r.suite, r.cell) == (suite, cell)}
