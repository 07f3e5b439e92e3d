"""Score a tuned finder on the test cases of a cell: `CellResult`."""

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property, reduce
from operator import add
from typing import Any, Literal

import numpy as np
from scipy.spatial.distance import cdist

from stm_keras.detections import match
from stm_keras.ring_model import fit_amplitudes
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.baselines.bounds import position_bound
from stm_keras.studies.bench.cases import Case, Cell, Found
from stm_keras.studies.bench.finders import Finder, tuned_threshold

N_BINS = 10
LEAST_PROBABILITY = 0.05
"""Detections below it do not count for the calibration: there are any number
of them, all rightly improbable."""


@dataclass(frozen=True)
class CellResult:
    """What one finder did in one cell: counts of every test case, and more.

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
        promised_false: how many of what counts are expected to be false, by
            their probabilities, in all cases; NaN where not known.
        ood_scores: of each case, above 1 out of distribution; empty where
            the finder does not know.
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
    promised_false: float = math.nan
    ood_scores: list[float] = field(default_factory=list)
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
    def out_of_distribution(self) -> float:
        """Share of cases of which the finder says so; NaN: not known."""
        if not self.ood_scores:
            return math.nan
        return float(np.mean(np.array(self.ood_scores) > 1))

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


def of_cell(
    results: Sequence[CellResult], suite: str, cell: str
) -> dict[str, CellResult]:
    """Results of one cell, by finder."""
    return {r.finder: r for r in results if (r.suite, r.cell) == (suite, cell)}


def score_cell(cell: Cell, finder: Finder, cases: Sequence[Case]) -> CellResult:
    """Score a finder in a cell.

    Args:
        cell: the cell.
        finder: tuned.
        cases: its test cases, at least one, of one tolerance.
    """
    finder.find(cases[0])  # what is done once, such as compiling
    started = time.perf_counter()
    found = [finder.find(case) for case in cases]
    seconds = (time.perf_counter() - started) / len(cases)
    found = [counted(f, c) for f, c in zip(found, cases, strict=True)]
    bound, z = np.zeros(3), np.zeros(3)
    for one, case in zip(found, cases, strict=True):
        bound += _against_bound(one, case)
        z += _standardised_errors(one, case)
    counts = [_counts(f, c) for f, c in zip(found, cases, strict=True)]
    asked = cell.shows_best or finder.probabilities
    every = [counted(finder.everything(c), c) for c in cases] if asked else []
    return CellResult(
        suite=cell.suite,
        cell=cell.name,
        finder=finder.name,
        tolerance_px=cases[0].tolerance_px,
        counts=counts,
        seconds=seconds,
        settings=finder.settings,
        best_possible=(
            _best(every, cases, counts) if cell.shows_best else math.nan
        ),
        bound=bound.tolist(),
        z=z.tolist(),
        calibration=_calibration(every, cases) if finder.probabilities else [],
        promised_false=(
            float(sum((1 - f.scores).sum() for f in found))
            if finder.probabilities
            else math.nan
        ),
        ood_scores=[u for u in map(finder.ood_score, cases) if u is not None],
    )


def counted(found: Found, case: Case) -> Found:
    """What was found, without what lies at ignored places alone.

    Args:
        found: in a case.
        case: with the places that count neither way, if any.
    """
    if case.ignored is None or not len(case.ignored):
        return found
    pairs = match(found.positions, case.positions, case.tolerance_px).pairs
    gaps = cdist(found.positions, case.ignored)
    nearest = gaps.min(axis=1)
    nearest[pairs[:, 0]] = np.inf
    keep = nearest > case.ignored_px
    return found.where(keep)


def _counts(found: Found, case: Case) -> list[float]:
    score = score_positions(
        found.positions, case.positions, tolerance=case.tolerance_px
    )
    return [
        score.n_reference,
        score.n_predicted,
        score.true_positives,
        score.hits,
        score.squared_error,
    ]


def _best(
    every: Sequence[Found],
    cases: Sequence[Case],
    counts: Sequence[Sequence[float]],
) -> float:
    """The highest Jaccard index of any threshold, the tuned one among them."""
    best = tuned_threshold(every, cases, tolerance_px=cases[0].tolerance_px)
    true, found, pairs = np.sum(counts, axis=0)[:3]
    tuned = float(pairs / max(true + found - pairs, 1))
    return tuned if best is None else max(best.score.jaccard, tuned)


def position_variances(case: Case) -> np.ndarray | None:
    """The Cramér-Rao bound: least var(row) + var(col) of each true position.

    Args:
        case: with its noise-free maps and the width of its noise, where the
            bound applies.

    Returns:
        float64 [n] [px^2], inf where the maps do not determine a position;
        None where the bound does not apply.
    """
    if case.clean is None or case.sigma is None:
        return None
    k = case.wave_numbers
    height, width = case.clean.shape[1:]
    covariance = position_bound(
        case.positions,
        fit_amplitudes(case.clean, case.positions, k),
        k,
        shape=(height, width),
        sigma=case.sigma,
    )
    return np.einsum("nii->n", covariance)


def _against_bound(found: Found, case: Case) -> np.ndarray:
    """Pairs, their squared distances and their bounds; see `CellResult`."""
    variances = position_variances(case)
    if variances is None:
        return np.zeros(3)
    pairs, distances = match(found.positions, case.positions, case.tolerance_px)
    limits = variances[pairs[:, 1]]
    # Beyond the tolerance pairs are cut off, and the bound says nothing.
    known = limits < case.tolerance_px**2
    return np.array(
        [known.sum(), np.square(distances[known]).sum(), limits[known].sum()]
    )


def _standardised_errors(found: Found, case: Case) -> np.ndarray:
    """Number, sum and sum of squares of the z-scores of the pairs."""
    if found.deviations is None:
        return np.zeros(3)
    pairs = match(found.positions, case.positions, case.tolerance_px).pairs
    first, second = pairs.T
    error = found.positions[first] - case.positions[second]
    z = error / found.deviations[first]
    return np.array([z.size, z.sum(), np.square(z).sum()])


def _calibration(
    every: Sequence[Found], cases: Sequence[Case]
) -> list[list[float]]:
    bins = np.zeros((N_BINS, 3))
    for found, case in zip(every, cases, strict=True):
        true = first_come(found, case)
        p = found.scores
        place = np.minimum((p * N_BINS).astype(int), N_BINS - 1)
        counted = p >= LEAST_PROBABILITY
        for column, weights in enumerate((np.ones(len(p)), p, true)):
            bins[:, column] += np.bincount(
                place[counted], weights[counted], N_BINS
            )
    return bins.tolist()


def first_come(found: Found, case: Case) -> np.ndarray:
    """Which detections are true, the surest choosing first, bool [n].

    A doubtful neighbour must not take the impurity from a sure detection, as
    a matching by distance would let it.
    """
    true = np.zeros(len(found.scores), bool)
    free = np.ones(len(case.positions), bool)
    for i in np.argsort(-found.scores, kind="stable"):
        gaps = np.linalg.norm(case.positions - found.positions[i], axis=1)
        gaps[~free] = np.inf
        if len(gaps) and gaps.min() <= case.tolerance_px:
            free[np.argmin(gaps)] = False
            true[i] = True
    return true


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
