"""When to stop, and which epoch to keep, without the experiment's truth.

What a user can know of a training on an experiment is the loss on simulated
fields, the entropy of the predictions on the experiment, whether detections
stay where they are when the tiles move or half of the voltages is left out,
and how many there are on phase-randomised maps (`scores.Signs`). A rule makes
one number of these for every epoch; the epoch with the greatest is kept.
Beside the rules stands the bootstrap over independent trainings.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.studies.tables import Row

RULE = "trusted detections"
"""The rule that the project recommends; see docs/reproduction.md."""

NONSENSE = 0.5
"""Surrogates with this share of the detections say: do not believe them."""


def trusted(row: Row) -> float:
    """Number of detections that can be trusted, a frame.

    A detection that half of the voltages do not show, or that comes as often
    from maps whose rings were scattered over the frame, is no impurity,
    however sure the network is of it. The number counts because a network
    that detects next to nothing is stable too.
    """
    true_share = 1.0 - min(row["false_share"], 1.0)
    return row["n_found"] * row["stable_voltages"] * true_share


RULES: dict[str, Callable[[Row], float]] = {
    "last": lambda row: row["epoch"],
    "least simulated loss": lambda row: -row["val_l0"],
    "least entropy": lambda row: -row["entropy"],
    "stable tiling": lambda row: row["stable_tiling"],
    "stable voltages": lambda row: row["stable_voltages"],
    "fewest on surrogates": lambda row: -row["false_share"],
    "trusted detections": trusted,
}


class Choice(NamedTuple):
    """The epoch that a rule keeps.

    Attributes:
        epoch: from 1.
        row: its row of the table of points.
        nonsense: whether the guard would warn of it.
    """

    epoch: int
    row: Row
    nonsense: bool


def choose(rows: Sequence[Row], rule: str = RULE) -> Choice:
    """Choose an epoch of one run.

    The signs of single epochs are noisy: each rule, other than `last`, looks
    at the mean over an epoch and its two neighbours.

    Args:
        rows: of one run and the set "shown", by epoch.
        rule: a key of `RULES`.
    """
    values = np.array([RULES[rule](row) for row in rows], np.float64)
    if rule != "last":
        values = _smoothed(values)
    row = rows[int(np.argmax(values))]
    return Choice(row["epoch"], row, is_nonsense(row))


def oracle(rows: Sequence[Row], metric: str) -> Choice:
    """The epoch that is best by the truth: what no rule can beat."""
    row = max(rows, key=lambda row: row[metric])
    return Choice(row["epoch"], row, is_nonsense(row))


def is_nonsense(row: Row) -> bool:
    """Guard against confident nonsense.

    Low entropy says only that a network is sure. This asks what it is sure
    of: phase-randomised maps hold no impurity, so that a network which finds
    half as many in them, at the same S, does not see impurities.
    """
    return row["false_share"] >= NONSENSE


def _smoothed(values: np.ndarray) -> np.ndarray:
    padded = np.pad(values, 1, mode="edge")
    return (padded[:-2] + padded[1:-1] + padded[2:]) / 3


N_RESAMPLES = 10_000
LEVEL = 0.95


class Estimate(NamedTuple):
    """A mean and its percentile bootstrap interval.

    Attributes:
        mean: over the runs.
        low: lower end of the interval.
        high: upper end.
        n: number of runs.
    """

    mean: float
    low: float
    high: float
    n: int

    def __str__(self) -> str:
        if self.n < 2:  # one run says nothing of its spread
            return f"{self.mean:.3f}"
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def signed(self) -> str:
        """The same for a difference, with its sign."""
        if self.n < 2:
            return f"{self.mean:+.3f}"
        return f"{self.mean:+.3f} [{self.low:+.3f}, {self.high:+.3f}]"


def mean_interval(values: ArrayLike, *, seed: int = 0) -> Estimate:
    """Mean over runs with a 95 % interval.

    For a paired difference give the differences of the pairs. A run is drawn
    with all that belongs to it: its epochs are not independent.

    Args:
        values: one number a run, float [n]; NaN is left out.
        seed: of the resampling.

    Returns:
        The estimate; both ends are NaN for fewer than two runs.
    """
    runs = np.asarray(values, np.float64)
    runs = runs[np.isfinite(runs)]
    if not len(runs):
        return Estimate(np.nan, np.nan, np.nan, 0)
    mean = float(runs.mean())
    if len(runs) < 2:
        return Estimate(mean, np.nan, np.nan, 1)
    low, high = _band(runs[:, None], seed)
    return Estimate(mean, float(low[0]), float(high[0]), len(runs))


def curve_band(
    values: np.ndarray, *, seed: int = 0
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean curve over runs with a pointwise 95 % band.

    Args:
        values: [runs, epochs], float.
        seed: of the resampling.

    Returns:
        Mean, lower and upper end, each [epochs]; the ends are the mean for a
        single run.
    """
    mean = values.mean(axis=0)
    if len(values) < 2:
        return mean, mean, mean
    return mean, *_band(values, seed)


def _band(values: np.ndarray, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    draws = rng.integers(len(values), size=(N_RESAMPLES, len(values)))
    # Counts of each run in each resample: a matrix product, not a gather.
    counts = np.zeros((N_RESAMPLES, len(values)))
    np.add.at(counts, (np.arange(N_RESAMPLES)[:, None], draws), 1.0)
    means = counts @ values / len(values)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2], axis=0)
    return low, high
