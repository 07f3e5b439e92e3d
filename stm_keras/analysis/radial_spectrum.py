"""Power of a map over circles in its Fourier transform."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

# Share of a circle's modes left out at either end of the order of power: a
# lattice or pickup stands out in few of them, a ring in most.
TRIM = 0.2
N_SECTORS = 16
"""Sectors of directions that a spectrum can be had without, one by one."""

# A Hann window ties 1.5 neighbours to one along each axis (its equivalent
# noise bandwidth).
_MODES_PER_INDEPENDENT = 1.5**2
# Variance of ln P times the number of modes in a mean trimmed so, for power P
# distributed exponentially as that of noise (untrimmed: pi^2 / 6).
_VAR_LOG = 1.58


@dataclass(frozen=True, eq=False)
class Circles:
    """Where the modes of a transform lie, by circles half a step wide.

    Attributes:
        step: of the transform along the frame's longer side [rad/nm].
        log_q: mean of ln q [rad/nm] of each circle, [n].
        weights: inverse variance of the trimmed mean of ln power, [n].
        modes: places of the modes in the flattened half transform, [m].
        circle: the circle of each mode, [m].
        sector: sector of directions of each mode, [m], below `N_SECTORS`.
    """

    step: float
    log_q: NDArray[np.float64]
    weights: NDArray[np.float64]
    modes: NDArray[np.intp]
    circle: NDArray[np.intp]
    sector: NDArray[np.intp]


@lru_cache(maxsize=8)
def circles_of(shape: tuple[int, int], pixel: tuple[float, float]) -> Circles:
    """The circles of a frame.

    Args:
        shape: rows and columns [px].
        pixel: height and width of a pixel [nm].
    """
    q_rows = 2 * np.pi * np.fft.fftfreq(shape[0], pixel[0])[:, np.newaxis]
    q_cols = 2 * np.pi * np.fft.rfftfreq(shape[1], pixel[1])
    q = np.hypot(q_rows, q_cols)
    sides = [n * side for n, side in zip(shape, pixel, strict=True)]
    step = 2 * np.pi / max(sides)
    # The window smears the mean and the tilt over the first 1.5 steps; beyond
    # the Nyquist circle there are but the corners. Of a mode on the axis and
    # its mirror image, which are one, the half transform holds both.
    once = (q_cols > 0) | (q_rows > 0)
    used = np.flatnonzero((q > 1.5 * step) & (q < np.pi / max(pixel)) & once)
    _, circle = np.unique(
        np.rint(2 * q.flat[used] / step).astype(int), return_inverse=True
    )
    angle = np.arctan2(*np.broadcast_arrays(q_rows, q_cols)).flat[used]
    sector = ((angle / np.pi + 0.5) * N_SECTORS).astype(np.intp) % N_SECTORS
    n_modes = np.bincount(circle)
    log_q = np.bincount(circle, np.log(q.flat[used])) / n_modes
    weights = n_modes / (_VAR_LOG * _MODES_PER_INDEPENDENT)
    return Circles(step, log_q, weights, used, circle, sector)


def mode_powers(
    values: NDArray[np.float64], circles: Circles
) -> NDArray[np.float64]:
    """Logarithm of the power of each mode of a map under a Hann window.

    Args:
        values: [H, W], any unit, of more than one value; NaN is "not
            measured".
        circles: of the frame.

    Returns:
        float64 [m], in the order of `circles.modes`.
    """
    height, width = values.shape
    # Without its first and last zero, the window keeps the edge pixels.
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    measured = np.isfinite(values)
    mean = np.average(values[measured], weights=window[measured])
    waves = np.where(measured, values - mean, 0) * window
    power = np.abs(np.fft.rfft2(waves / np.abs(waves).max())) ** 2
    return np.log(power.flat[circles.modes] + np.finfo(np.float64).tiny)


def radial_spectrum(
    log_power: NDArray[np.float64], circles: Circles
) -> NDArray[np.float64]:
    """Trimmed mean of ln power over each circle, float64 [n]."""
    order = np.lexsort((log_power, circles.circle))
    return _trimmed_means(
        log_power[order], circles.circle[order], circles.log_q.size
    )


def spectra_without_sectors(
    log_power: NDArray[np.float64], circles: Circles, near: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The spectrum once more without each sector of directions.

    Args:
        log_power: of each mode.
        circles: of the frame.
        near: the circles that are wanted, bool [n].

    Returns:
        float64 [N_SECTORS, number of wanted circles]. A circle of which one
        sector holds every mode keeps them.
    """
    modes = near[circles.circle]
    power, sector = log_power[modes], circles.sector[modes]
    circle = (np.cumsum(near) - 1)[circles.circle[modes]]
    order = np.lexsort((power, circle))
    power, circle, sector = power[order], circle[order], sector[order]
    n = int(near.sum())
    whole = _trimmed_means(power, circle, n)
    spectra = np.empty((N_SECTORS, n))
    for left_out in range(N_SECTORS):
        kept = sector != left_out
        means = _trimmed_means(power[kept], circle[kept], n)
        spectra[left_out] = np.where(np.isnan(means), whole, means)
    return spectra


def _trimmed_means(
    values: np.ndarray, group: np.ndarray, n_groups: int
) -> np.ndarray:
    """Trimmed mean by group of values sorted by group, then size."""
    counts = np.bincount(group, minlength=n_groups)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(values.size) - starts[group]
    cut = (TRIM * counts).astype(int)[group]
    kept = (rank >= cut) & (rank < counts[group] - cut)
    number = np.bincount(group[kept], minlength=n_groups)
    total = np.bincount(group[kept], values[kept], minlength=n_groups)
    with np.errstate(invalid="ignore"):
        return total / number
