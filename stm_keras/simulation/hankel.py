"""H0^(1), the outgoing circular wave, in single precision and fast.

H0^(1)(x) = a(x) exp(ix) with an amplitude a that does not oscillate: for
small x it is linear in ln x, for large x it is sqrt(2 / (pi i x)) (NIST
DLMF 10.2.5, 10.8.2). A table of a, uniform in ln x and interpolated
linearly, therefore serves every x (`hankel0`).

A field needs H0^(1)(k r) for many wave numbers k at the same distances r.
`RadialGrid` lays one grid over r for all k, so that cell and place of the
interpolation are found once for each distance; what is left for each k is
the wave on the grid, two gathers and one multiplication.
"""

import math
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special

from stm_keras.errors import InputError

MAX_ARGUMENT = 1e4
"""Above it float32 no longer resolves the phase of exp(ix)."""

TABLE_ERROR = 5e-6
"""Largest interpolation error that a `RadialGrid` is laid out for."""

_MIN_LOG = math.log(1e-6)  # below, a is linear in ln x: extrapolated
_LOG_STEP = 0.004  # interpolation error of a: below 2e-6
_BLOCK = 16384  # arguments worked on at once


@cache
def _amplitudes() -> tuple[np.ndarray, np.ndarray]:
    """Values of a = exp(-ix) H0(x) on the grid of ln x, and their steps."""
    count = math.ceil((math.log(MAX_ARGUMENT) - _MIN_LOG) / _LOG_STEP) + 2
    x = np.exp(_MIN_LOG + _LOG_STEP * np.arange(count))
    values = special.hankel1e(0, x)
    return values.astype(np.complex64), np.diff(values).astype(np.complex64)


def interpolate(
    values: np.ndarray,
    steps: np.ndarray,
    index: np.ndarray,
    place: np.ndarray,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """values[index] + place * steps[index], in few passes over memory.

    Args:
        values: a wave on a grid, complex64 [M].
        steps: from each of its points to the next, complex64 [M - 1].
        index: cells, intp [...]; each lies in 0 .. M - 2.
        place: within the cell, float32 [...].
        out: two work arrays, complex64 [...]; the first gets the result.

    Returns:
        The wave, complex64 [...].
    """
    if out is None:
        wave, base = (np.empty(index.shape, np.complex64) for _ in range(2))
    else:
        wave, base = out
    # `mode="clip"` is NumPy's fast way; the indices lie inside anyway.
    steps.take(index, mode="clip", out=wave)
    wave *= place
    wave += values.take(index, mode="clip", out=base)
    return wave


def _wave(phase: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    """a(x) exp(i phase), complex64 [n], from float32 arrays [n]."""
    values, steps = _amplitudes()
    place = log_x - np.float32(_MIN_LOG)
    place *= np.float32(1 / _LOG_STEP)
    cell = np.floor(place)
    np.maximum(cell, 0, out=cell)
    place -= cell  # below the table it is negative: that extrapolates
    wave = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=wave.real)
    np.sin(phase, out=wave.imag)
    wave *= interpolate(values, steps, cell.astype(np.intp), place)
    return wave


def hankel0(x: ArrayLike) -> np.ndarray:
    """Hankel function of the first kind and order zero, H0^(1)(x).

    Args:
        x: arguments in (0, 10000], any shape; used in float32, no unit.

    Returns:
        H0^(1)(x), complex64, the shape of `x`; the error against
        `scipy.special.hankel1` is below 1e-5 (tested from 1e-6 to 10000).

    Raises:
        InputError: for an argument outside (0, 10000].
    """
    x = np.asarray(x, dtype=np.float32)
    if x.size and not (x.min() > 0 and x.max() <= MAX_ARGUMENT):
        raise InputError(
            f"`x` of `hankel0` must lie in (0, {MAX_ARGUMENT:g}]. Received: "
            f"from {x.min():g} to {x.max():g}. Are k and r both in pixels?"
        )
    flat = x.reshape(-1)
    wave = np.empty(flat.shape, np.complex64)
    for start in range(0, flat.size, _BLOCK):  # a block stays in the cache
        block = slice(start, start + _BLOCK)
        wave[block] = _wave(flat[block], np.log(flat[block]))
    return wave.reshape(x.shape)


def check_reach(max_k: float, max_r: float) -> None:
    """Refuse distances at which float32 does not resolve the phase.

    Args:
        max_k: the largest wave number [rad/px].
        max_r: the largest distance [px].

    Raises:
        InputError: where max_k * max_r is beyond `MAX_ARGUMENT`.
    """
    if not max_k * max_r <= MAX_ARGUMENT:
        raise InputError(
            f"Waves of k = {max_k:.3g} rad/px are computed as far as "
            f"{MAX_ARGUMENT / max_k:.4g} px from an impurity, and "
            f"{max_r:.4g} px are asked for. Take a smaller frame and margin."
        )


class RadialGrid:
    """A grid over the distance r that serves several wave numbers.

    It is uniform in sqrt(r): close near r = 0, where the wave diverges as
    ln r, and as close as the oscillation asks for far out.

    Attributes:
        r: distances of the grid's points, float64 [M], px.
    """

    def __init__(self, max_k: float, min_r: float, max_r: float) -> None:
        """Lay the grid.

        Args:
            max_k: the largest wave number [rad/px].
            min_r: the smallest distance, above 0 [px].
            max_r: the largest distance [px].

        Raises:
            InputError: where max_k * max_r is beyond `MAX_ARGUMENT`.
        """
        check_reach(max_k, max_r)
        self._start = math.sqrt(min_r)
        end = math.sqrt(max(max_r, min_r))
        # |d^2 H / d sqrt(r)^2| is at most 4 / (pi r) from the logarithm and
        # 4 k^2 r sqrt(2 / (pi k r)) from the oscillation; an interpolated
        # line misses by at most an eighth of it times the spacing squared.
        bend = max(
            4 / (math.pi * min_r),
            4 * math.sqrt(2 / math.pi) * max_k**1.5 * end,
        )
        self._spacing = math.sqrt(8 * TABLE_ERROR / bend)
        count = math.ceil((end - self._start) / self._spacing) + 2
        self.r = (self._start + self._spacing * np.arange(count)) ** 2
        self._log_r = np.log(self.r)

    def locate(self, r_squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cell and place in the cell, the same for every wave number.

        Args:
            r_squared: squared distances, float32 [...], px^2; overwritten.
                Distances beyond the grid's ends count as the ends.

        Returns:
            index: of the cell, intp [...].
            place: within the cell, in [0, 1], float32 [...].
        """
        place = np.sqrt(np.sqrt(r_squared, out=r_squared), out=r_squared)
        place -= np.float32(self._start)
        place *= np.float32(1 / self._spacing)
        end = np.nextafter(np.float32(len(self.r) - 1), np.float32(0))
        np.clip(place, 0, end, out=place)
        cell = np.floor(place)
        place -= cell
        return cell.astype(np.intp), place

    def wave(
        self, k: float, mean_free_path: float = math.inf
    ) -> tuple[np.ndarray, np.ndarray]:
        """H0^(1)(k r) exp(-r / 2l) on the grid, ready for `interpolate`.

        Args:
            k: wave number, above 0 and at most the grid's [rad/px].
            mean_free_path: l, above 0 [px]; `inf` for no damping.

        Returns:
            values: complex64 [M].
            steps: from each point to the next, complex64 [M - 1].
        """
        log_x = (self._log_r + math.log(k)).astype(np.float32)
        values = _wave((k * self.r).astype(np.float32), log_x)
        if math.isfinite(mean_free_path):
            decay = -0.5 / mean_free_path
            values *= np.exp((decay * self.r).astype(np.float32))
        return values, np.diff(values)
