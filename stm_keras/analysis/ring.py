"""The ring of standing waves in the Fourier transform of a map.

Scattering off impurities writes waves of wave number q = 2k into a map; in
its power spectrum they lie on a ring (Petersen et al., Phys. Rev. B 57, R6858
(1998)). Its radius gives k without knowing the surface.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy import stats

from stm_keras.errors import InputError

_MIN_SIDE_PX = 16
# Where a ring is looked for: at least so many periods in the frame, so that
# there is spectrum below it, and up to this share of the Nyquist limit.
_MIN_PERIODS = 4.0
_MAX_NYQUIST_SHARE = 0.85
# What is looked for: a Gaussian hump of this width in ln q, standing on a
# parabola of ln power over ln q that is fitted so far to both sides of it.
_RING_WIDTH = 0.06
_SMEARING = 0.6  # by the window, in steps of the transform (Hann: 1.44 FWHM)
_WINDOW = 0.55
_GRID_STEP = 0.01
# A ring must stand out by so many standard deviations (about 40 places are
# tried, so 3.5 would still come by chance) and by this factor over its
# background (where a tip's blur ends and white noise begins, the background
# bends by up to a factor of 2.7).
MIN_PROMINENCE = 4.0
MIN_CONTRAST = 3.0
# Share of a circle's modes left out at either end of the order of power: a
# lattice or pickup stands out in few of them, a ring in most.
_TRIM = 0.2
# Variance of ln P times the number of modes in a mean trimmed so, for power P
# distributed exponentially as that of noise (untrimmed: pi^2 / 6).
_VAR_LOG = 1.58
# A mode and its mirror image are one, and a Hann window ties 1.5 neighbours
# to one along each axis (its equivalent noise bandwidth).
_MODES_PER_INDEPENDENT = 2 * 1.5**2


@dataclass(frozen=True)
class Ring:
    """A ring found in a map's power spectrum.

    Attributes:
        q_per_nm: its radius 2k [rad/nm].
        contrast: power on the ring over the background's, no unit.
        prominence: how far it stands out, in standard deviations of what
            the background alone would show; a measure of certainty.
    """

    q_per_nm: float
    contrast: float
    prominence: float


def measure_ring(
    image: ArrayLike, pixel_nm: float | tuple[float, float]
) -> Ring | None:
    """Find the ring of standing waves in a levelled map.

    The trimmed mean of ln power over circles is compared with a smooth
    background. Trimmed and of the logarithm, it keeps single spots (a
    lattice, pickup) from passing for a ring.

    Args:
        image: one map [H, W], any unit; NaN is "not measured".
        pixel_nm: side of a pixel [nm], or its height and width.

    Returns:
        The most prominent ring, or None where nothing stands out.

    Raises:
        InputError: for another shape, a pixel that is not positive, or a map
            without a measured pixel.
    """
    values = np.asarray(image, dtype=np.float64)
    pixel = np.broadcast_to(np.asarray(pixel_nm, dtype=np.float64), (2,))
    if values.ndim != 2 or not np.isfinite(values).any():
        raise InputError(
            "A ring is measured in one map [H, W] with measured pixels. "
            f"Received the shape {list(values.shape)}."
        )
    if not (np.isfinite(pixel) & (pixel > 0)).all():
        raise InputError(
            f"The pixel must be positive. Received: {pixel_nm} nm."
        )
    if min(values.shape) < _MIN_SIDE_PX or np.nanmin(values) == np.nanmax(
        values
    ):
        return None
    log_q, log_power, n_modes = _radial_spectrum(values, pixel)
    frame_nm = float((values.shape * pixel).min())
    lowest = np.log(_MIN_PERIODS * 2 * np.pi / frame_nm)
    highest = np.log(_MAX_NYQUIST_SHARE * np.pi / pixel.max())
    centres = np.arange(lowest, highest, _GRID_STEP)
    smearing = _SMEARING * 2 * np.pi / frame_nm / np.exp(centres)
    widths = np.hypot(_RING_WIDTH, smearing)
    spectrum = log_q, log_power, n_modes
    humps = [
        _fit_hump(*spectrum, centre, width)
        for centre, width in zip(centres, widths, strict=True)
    ]
    best = _most_prominent(humps)
    if best is None:
        return None
    return Ring(
        q_per_nm=_power_centre(*spectrum, centres[best], widths[best]),
        contrast=float(np.exp(humps[best].height)),
        prominence=humps[best].prominence,
    )


def _radial_spectrum(
    values: NDArray[np.float64], pixel: NDArray[np.float64]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Power over circles: ln q, trimmed mean of ln power, modes [n]."""
    height, width = values.shape
    # Without its first and last zero, the window keeps the edge pixels.
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    measured = np.isfinite(values)
    mean = np.average(values[measured], weights=window[measured])
    waves = np.where(measured, values - mean, 0) * window
    power = np.abs(np.fft.fft2(waves / np.abs(waves).max())) ** 2
    q_rows, q_cols = (
        2 * np.pi * np.fft.fftfreq(n, side)
        for n, side in zip(values.shape, pixel, strict=True)
    )
    q = np.hypot(q_rows[:, np.newaxis], q_cols)
    step = 2 * np.pi / (values.shape * pixel).max()
    # The window smears the mean and the tilt over the first 1.5 steps; beyond
    # the Nyquist circle there are but the corners.
    used = (q > 1.5 * step) & (q < np.pi / pixel.max()) & (power > 0)
    bins = np.rint(2 * q[used] / step).astype(int)
    order = np.argsort(bins, kind="stable")
    starts = np.flatnonzero(np.diff(bins[order], prepend=-1))
    log_q = np.log(q[used])[order]
    log_power = np.log(power[used])[order]
    circles = np.split(np.stack([log_q, log_power], axis=1), starts[1:])
    return (
        np.array([circle[:, 0].mean() for circle in circles]),
        np.array([stats.trim_mean(circle[:, 1], _TRIM) for circle in circles]),
        np.array([len(circle) for circle in circles]),
    )


class _Hump(NamedTuple):
    """A hump in ln power on a parabola, whose coefficients are `background`.

    Its prominence is its height in standard deviations.
    """

    height: float
    prominence: float
    background: np.ndarray


def _fit_hump(
    log_q: np.ndarray,
    log_power: np.ndarray,
    n_modes: np.ndarray,
    centre: float,
    width: float,
) -> _Hump:
    """Fit a hump at `centre`; of height 0 without spectrum to both sides."""
    near = np.abs(log_q - centre) < _WINDOW
    x = log_q[near] - centre
    if min((x < -2 * width).sum(), (x > 2 * width).sum()) < 3:
        return _Hump(0.0, 0.0, np.zeros(3))
    hump = np.exp(-0.5 * (x / width) ** 2)
    terms = np.stack([np.ones_like(x), x, x**2, hump], axis=1)
    weights = n_modes[near] / (_VAR_LOG * _MODES_PER_INDEPENDENT)
    covariance = np.linalg.pinv(terms.T @ (weights[:, np.newaxis] * terms))
    solution = covariance @ (terms.T @ (weights * log_power[near]))
    height = float(solution[-1])
    deviation = float(np.sqrt(max(covariance[-1, -1], 0.0)))
    return _Hump(height, height / (deviation or np.inf), solution[:3])


def _most_prominent(humps: list[_Hump]) -> int | None:
    """Place of the hump to call a ring, if any is one."""
    prominence = np.array(
        [
            hump.prominence if hump.height > np.log(MIN_CONTRAST) else 0.0
            for hump in humps
        ]
    )
    if prominence.size < 3 or prominence.max() < MIN_PROMINENCE:
        return None
    best = int(np.argmax(prominence))
    # What still grows at the end of the range has its peak elsewhere.
    return best if 0 < best < prominence.size - 1 else None


def _power_centre(
    log_q: np.ndarray,
    log_power: np.ndarray,
    n_modes: np.ndarray,
    centre: float,
    width: float,
) -> float:
    """Mean q [rad/nm] of the power above the background, near a hump."""
    near = np.abs(log_q - centre) < 2 * width
    offset = log_q[near] - centre
    hump = _fit_hump(log_q, log_power, n_modes, centre, width)
    # Relative to the hump's top, so that no power under- or overflows.
    top = np.polynomial.polynomial.polyval(0.0, hump.background) + hump.height
    background = np.polynomial.polynomial.polyval(offset, hump.background)
    excess = np.exp(log_power[near] - top) - np.exp(background - top)
    weights = np.clip(excess, 0, None)
    if not weights.any():
        return float(np.exp(centre))
    return float(np.average(np.exp(log_q[near]), weights=weights))
