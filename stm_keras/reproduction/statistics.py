"""Bootstrap over independent trainings."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

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
