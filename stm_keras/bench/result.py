"""What one finder did in one cell."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, reduce
from operator import add
from typing import Any, Literal

import numpy as np

from stm_keras.scoring import Score


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
        unlikeness: how unlike the training's each case is, above 1 off the
            finder's ground; empty where it does not know.
        run: what the result depends on beside the code.
        made: when and on what it was made, see `BenchOptions.circumstances`.
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
    unlikeness: list[float] = field(default_factory=list)
    run: dict[str, Any] = field(default_factory=dict)
    made: dict[str, Any] = field(default_factory=dict)

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

    @property
    def off_ground(self) -> float:
        """Share of cases of which the finder says so; NaN: not known."""
        if not self.unlikeness:
            return math.nan
        return float(np.mean(np.array(self.unlikeness) > 1))

    def as_dict(self) -> dict[str, Any]:
        """As plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CellResult":
        """Undo `as_dict`; an older version may lack what has a default.

        Raises:
            TypeError: where something else lacks.
        """
        known = (f.name for f in fields(cls))
        return cls(**{name: values[name] for name in known if name in values})


def paired_difference(
    ours: CellResult,
    other: CellResult,
    name: Literal["jaccard", "rmse"],
    *,
    seed: int = 0,
    n: int = 2000,
) -> tuple[float, float, float]:
    """Difference of a pooled number, ours less the other's.

    Its 95 % interval comes from cases drawn with replacement, the same ones
    for both (paired bootstrap).

    Args:
        ours: of one finder.
        other: of another one in the same cell, or of the same finder in a
            cell with the same impurities.
        name: of the number; the RMSE is in px.
        seed: of the draws.
        n: number of draws.

    Returns:
        Difference, lower and upper end; both ends NaN for a single case, all
        three where there is no pair to have an RMSE.
    """
    difference = getattr(ours.score, name) - getattr(other.score, name)
    tables = [np.array(r.counts) for r in (ours, other)]
    cases = len(tables[0])
    if cases < 2 or len(tables[1]) != cases or math.isnan(difference):
        return difference, math.nan, math.nan
    pooled = _POOLED[name]
    draws = np.random.default_rng(seed).integers(cases, size=(n, cases))
    first, second = (pooled(table[draws].sum(axis=1)) for table in tables)
    low, high = np.nanquantile(first - second, (0.025, 0.975))
    return difference, float(low), float(high)


def _jaccard(sums: np.ndarray) -> np.ndarray:
    """Of rows of `CellResult.counts`; see `Score.jaccard`."""
    union = sums[:, 0] + sums[:, 1] - sums[:, 2]
    return np.where(union > 0, sums[:, 2] / np.maximum(union, 1), 1.0)


def _rmse(sums: np.ndarray) -> np.ndarray:
    """Of rows of `CellResult.counts`; NaN without pairs."""
    pairs = np.where(sums[:, 2] > 0, sums[:, 2], np.nan)
    return np.sqrt(sums[:, 4] / pairs)


_POOLED = {"jaccard": _jaccard, "rmse": _rmse}


def of_cell(
    results: Sequence[CellResult], suite: str, cell: str
) -> dict[str, CellResult]:
    """Results of one cell, by finder."""
    return {r.finder: r for r in results if (r.suite, r.cell) == (suite, cell)}
