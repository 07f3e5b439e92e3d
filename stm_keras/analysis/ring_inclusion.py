"""How probable is it that each ring of a fit is an impurity's?

Each is there or not, and its amplitudes are drawn from a normal distribution
if it is. What is there is sampled, one ring after the other, with amplitudes
integrated out (stochastic search variable selection: E. I. George and R. E.
McCulloch, JASA 88, 881 (1993), DOI 10.1080/01621459.1993.10476353); with it
the noise, the strength of the rings in each map, and their number. A ring as
weak as noise makes is so told from an impurity's by how strong others are,
which no threshold on chi^2 can.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.analysis.pursuit_fit import RingFit, ring_rows
from stm_keras.analysis.ring_model import NormalEquations

SWEEPS = 60
"""Of Gibbs sampling over all rings; the first quarter does not count."""

DENSITY_PER_PX2 = 5e-3
_NUMBER_SHAPE = 2.0
"""Impurities in a pixel before the maps are seen: mean and shape of a gamma
distribution."""

STRENGTH = 1.0, 300.0
"""Between these lies the variance of an amplitude over that of a pixel's
noise, log-uniform. Weaker rings are seen by no one."""

_MAP_SHAPE = 4.0
"""Of the inverse gamma distribution of the maps' own strengths about that of
all: they differ by half."""

_OFFSET_VARIANCE = 1.0
"""Of maps of unit variance."""

PLACES = 4.0
"""A ring may be anywhere in so many times the area that its position's
standard deviations span. Other maxima nearby are tried by none; of 1, 4 and 8
this made the probabilities true on tuning stacks of `stmk bench`, eta 0.5."""

_LEAST_PX, _MOST_PX = 0.02, 0.5
"""Bounds of these standard deviations."""


class _Blocks(NamedTuple):
    """The two columns of every ring, given the others that are there.

    Attributes:
        fit: u^T S^-1 u, what the ring explains, float64 [V, n].
        size: ln det S, float64 [V, n]. S is what its columns' products leave.
    """

    fit: np.ndarray
    size: np.ndarray


def inclusion_probabilities(
    fit: RingFit,
    deviations: np.ndarray | None = None,
    seed: int = 0,
    sweeps: int = SWEEPS,
) -> np.ndarray:
    """The posterior probability that each ring is an impurity's.

    Args:
        fit: of maps of unit variance, with all rings worth a look.
        deviations: `fit.deviations()` where they are known already.
        seed: of the sampling; the same gives the same.
        sweeps: over all rings.

    Returns:
        float64 [n].
    """
    if not len(fit.positions):
        return np.zeros(0)
    if deviations is None:
        deviations = fit.deviations()
    sampler = _Sampler(fit, deviations, np.random.default_rng(seed))
    taken = [sampler.sweep() for _ in range(sweeps)][sweeps // 4 :]
    return np.mean(taken, axis=0)


class _Sampler:
    """State of the sampling.

    The normal equations of all columns are kept swept by those of the rings
    that are there: the rest of the table then holds what remains for the
    others to explain (J. H. Goodnight, Am. Stat. 33, 149 (1979), DOI
    10.1080/00031305.1979.10482685).
    """

    def __init__(
        self,
        fit: RingFit,
        deviations: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._normal: NormalEquations = fit.normal
        widths = np.clip(deviations, _LEAST_PX, _MOST_PX)
        area = float(fit.measured.any(axis=0).sum())
        self._expected = DENSITY_PER_PX2 * area
        self._shares = PLACES * 2 * np.pi * widths.prod(axis=1) / area
        self._there = np.zeros(len(widths), bool)
        self._noise = fit.noise**2
        self._strength = np.full(len(fit.noise), STRENGTH[0] * np.e)
        self._map_factor = np.ones(len(fit.noise))
        self._number = self._expected

    def sweep(self) -> np.ndarray:
        """Decide on each ring once; the probabilities at that, float64 [n]."""
        self._start()
        taken = self._decide()
        self._draw_others()
        return taken

    def _start(self) -> None:
        """The table of what is there, under the present strengths."""
        gram, right, squares, _ = self._normal
        last = gram.shape[1]
        table = np.empty((len(gram), last + 1, last + 1))
        table[:, :last, :last] = gram
        table[:, last, :last] = table[:, :last, last] = right
        table[:, last, last] = squares
        rings = np.arange(1, last)
        table[:, rings, rings] += 1 / self._strength[:, None]
        table[:, 0, 0] += self._noise / _OFFSET_VARIANCE
        self._table = table
        there = ring_rows(np.flatnonzero(self._there)).ravel()
        self._swept(np.append(0, there), 1)

    def _swept(self, rows: np.ndarray, sign: int) -> None:
        """Sweep the table by some rows, or back with the other sign."""
        table = self._table
        lines = table[:, rows].copy()
        inverse = np.linalg.inv(lines[:, :, rows])
        solved = inverse @ lines
        table -= lines.swapaxes(1, 2) @ solved
        table[:, rows] = sign * solved
        table[:, :, rows] = sign * solved.swapaxes(1, 2)
        table[:, rows[:, None], rows] = -inverse

    def _decide(self) -> np.ndarray:
        """Each ring in its turn, in random order."""
        n = len(self._there)
        order, draws = self._rng.permutation(n), self._rng.logistic(size=n)
        odds = self._odds()
        taken, turn = odds.copy(), 0
        while True:
            rest = order[turn:]
            taken[rest] = odds[rest]
            changed = (draws[rest] < odds[rest]) != self._there[rest]
            if not changed.any():
                break
            # Up to the first that changes its mind all odds hold.
            first = int(changed.argmax())
            ring = rest[first]
            sign = -1 if self._there[ring] else 1
            self._swept(ring_rows(np.array([ring])).ravel(), sign)
            self._there[ring] ^= True
            odds, turn = self._odds(), turn + first + 1
        return 1 / (1 + np.exp(-np.clip(taken, -50, 50)))

    def _odds(self) -> np.ndarray:
        """Log odds of every ring, given the others, float64 [n]."""
        explained, size = self._blocks()
        free = -2 * np.log(self._strength)[:, None]
        gain = (explained / self._noise[:, None] - size + free) / 2
        return gain.sum(axis=0) + np.log(self._number * self._shares)

    def _blocks(self) -> _Blocks:
        table = self._table
        row, column = ring_rows(np.arange(len(self._there))).T
        a, b, c = (
            table[:, row, row],
            table[:, row, column],
            table[:, column, column],
        )
        x, y = table[:, row, -1], table[:, column, -1]
        determinant = a * c - b * b
        explained = (c * x * x - 2 * b * x * y + a * y * y) / determinant
        # Of a ring that is there the table has -S^-1 and the amplitudes.
        sign = np.where(self._there, -1, 1)
        return _Blocks(sign * explained, sign * np.log(np.abs(determinant)))

    def _draw_others(self) -> None:
        """The number of rings, the noise and the strengths, given the rings."""
        rng, there = self._rng, np.flatnonzero(self._there)
        shape = _NUMBER_SHAPE
        self._number = rng.gamma(len(there) + shape) / (
            1 + shape / self._expected
        )
        rows = np.append(0, ring_rows(there).ravel())
        amplitudes = self._drawn_amplitudes(rows)
        gram, right, squares, counts = self._normal
        left = squares - 2 * (amplitudes * right[:, rows]).sum(axis=1)
        left += np.einsum(
            "vi,vij,vj->v", amplitudes, gram[:, rows[:, None], rows], amplitudes
        )
        # A map without noise must not divide by zero.
        left = np.maximum(left, 1e-12 * np.maximum(squares, 1e-300))
        self._noise = left / 2 / rng.gamma(np.maximum(counts, 1) / 2)
        power = (amplitudes[:, 1:] ** 2).sum(axis=1) / self._noise
        tried = np.geomspace(*STRENGTH, 40)
        fits = -(power / self._map_factor).sum() / 2 / tried
        fits -= len(there) * len(power) * np.log(tried)
        weights = np.exp(fits - fits.max())
        common = rng.choice(tried, p=weights / weights.sum())
        self._map_factor = (_MAP_SHAPE - 1 + power / common / 2) / rng.gamma(
            _MAP_SHAPE + len(there), size=len(power)
        )
        self._strength = common * self._map_factor

    def _drawn_amplitudes(self, rows: np.ndarray) -> np.ndarray:
        """Offsets and amplitudes of what is there, float64 [V, m]."""
        inverse = -self._table[:, rows[:, None], rows]
        variance = inverse * self._noise[:, None, None]
        variance += 1e-15 * np.eye(len(rows))
        normal = self._rng.standard_normal((len(variance), len(rows), 1))
        wander = np.linalg.cholesky(variance) @ normal
        return self._table[:, rows, -1] + wander[:, :, 0]
