"""Let a tuned finder look at the test cases of a cell, and count."""

import math
import time
from collections.abc import Sequence

import numpy as np

from stm_keras.bench.bound import position_variances
from stm_keras.bench.case import Case, Cell, Found
from stm_keras.bench.finders import Finder
from stm_keras.bench.result import CellResult
from stm_keras.bench.tuning import tuned_threshold
from stm_keras.detections import match
from stm_keras.scoring import score_positions

N_BINS = 10
LEAST_PROBABILITY = 0.05
"""Detections below it do not count for the calibration: there are any number
of them, all rightly improbable."""


def score_cell(
    cell: Cell,
    finder: Finder,
    cases: Sequence[Case],
) -> CellResult:
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
    bound, z = np.zeros(3), np.zeros(3)
    for one, case in zip(found, cases, strict=True):
        bound += _against_bound(one, case)
        z += _standardised_errors(one, case)
    counts = [_counts(f, c) for f, c in zip(found, cases, strict=True)]
    asked = cell.shows_best or finder.probabilities
    every = [finder.everything(case) for case in cases] if asked else []
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
        unlikeness=[u for u in map(finder.unlikeness, cases) if u is not None],
    )


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
    """Which detections are true, the surest choosing first.

    A doubtful neighbour must not take the impurity from a sure detection, as
    a matching by distance would let it.

    Args:
        found: all detections.
        case: with the truth.

    Returns:
        bool [n].
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
