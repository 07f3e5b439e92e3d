"""What `realism.py` measures in a map, real or simulated, in the same way."""

from typing import NamedTuple

import numpy as np
from scipy.optimize import curve_fit
from scipy.stats import theilslopes

from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import level
from stm_keras.qpi.ring import measure_ring

PROFILE_NM = (0.9, 4.0)
"""Distances over which the decay is fitted: beyond the core, and where there
is still more wave than noise."""

_BIN_NM = 0.08


class Decay(NamedTuple):
    """A fit of c + a cos(q r + phase) / r^p to a radial profile.

    Attributes:
        power: p, no unit.
        error: its standard error.
        q_per_nm: q [rad/nm], to be compared with 2k.
        phase_rad: phase modulo pi [rad], the phase shift of s-wave scatterers
            that are all alike; pi/2 for black dots.
        curve: the fit at the distances it was made over, [2, m], nm and the
            profile's unit.
    """

    power: float
    error: float
    q_per_nm: float
    phase_rad: float
    curve: np.ndarray


class Spectrum(NamedTuple):
    """Power spectra of a map, as variance for each rad/nm.

    Attributes:
        q: [n] rad/nm, of the mean over circles.
        circles: [n] power summed over circles; its integral over q is the
            variance within the largest circle.
        fast: q and power along the fast scan axis (rows), [2, m].
        slow: likewise along the slow axis, [2, m].
    """

    q: np.ndarray
    circles: np.ndarray
    fast: np.ndarray
    slow: np.ndarray


def weight_off_cores(
    image: np.ndarray, cores: np.ndarray, radius_px: float
) -> np.ndarray:
    """Weight [H, W]: 0 at cores [n, 2] and where not measured, else 1."""
    row, col = np.indices(image.shape)
    weight = np.isfinite(image).astype(float)
    for y, x in cores:
        weight *= -np.expm1(-((np.hypot(row - y, col - x) / radius_px) ** 4))
    return weight


def profile_around(
    image: np.ndarray, cores: np.ndarray, pixel_nm: float, apart_nm: float
) -> tuple[np.ndarray, np.ndarray]:
    """Mean over circles around all impurities, those of others left out.

    Args:
        image: [H, W], mean zero; NaN = not measured.
        cores: impurities [n, 2] (row, col) [px].
        pixel_nm: side of a pixel [nm].
        apart_nm: pixels nearer to another impurity do not count [nm].

    Returns:
        Distances [m] [nm] and the means [m], the image's unit.
    """
    row, col = np.indices(image.shape)
    r = pixel_nm * np.hypot(row - cores[:, :1, None], col - cores[:, 1:, None])
    two = np.partition(r, 1, axis=0)[:2]  # the nearest two to each pixel
    edges = np.arange(0, PROFILE_NM[1] + 2 * _BIN_NM, _BIN_NM)
    total, count = np.zeros(len(edges) - 1), np.zeros(len(edges) - 1)
    for own in r:
        other = np.where(own == two[0], two[1], two[0])
        use = np.isfinite(image) & (other > apart_nm)
        total += np.histogram(own[use], edges, weights=image[use])[0]
        count += np.histogram(own[use], edges)[0]
    seen = count > 0
    return (edges[:-1] + _BIN_NM / 2)[seen], total[seen] / count[seen]


def decay_of(r_nm: np.ndarray, profile: np.ndarray, q_per_nm: float) -> Decay:
    """Fit a decaying wave to a profile; `q_per_nm` starts the fit."""
    use = (r_nm > PROFILE_NM[0]) & (r_nm < PROFILE_NM[1])
    r, values = r_nm[use], profile[use]

    def wave(r, c, a, b, q, p):  # noqa: ANN001, ANN202 (scipy's signature)
        return c + (a * np.cos(q * r) + b * np.sin(q * r)) / r**p

    start = (0.0, 0.5, 0.5, q_per_nm, 1.0)
    best, covariance = curve_fit(wave, r, values, start, maxfev=20000)
    return Decay(
        float(best[4]),
        float(np.sqrt(covariance[4, 4])),
        float(best[3]),
        float(np.arctan2(-best[2], best[1]) % np.pi),
        np.stack([r, wave(r, *best)]),
    )


def spectrum_of(
    image: np.ndarray, weight: np.ndarray, pixel_nm: float
) -> Spectrum:
    """Power spectra of what a weight [H, W] leaves of a map [H, W]."""
    n_rows, n_cols = image.shape
    window = weight * np.outer(np.hanning(n_rows), np.hanning(n_cols))
    waves = np.nan_to_num(image)
    waves = (waves - np.average(waves, weights=window)) * window
    power = np.abs(np.fft.fft2(waves)) ** 2
    power /= image.size * (window**2).sum()  # its sum is the variance
    qy, qx = (2 * np.pi * np.fft.fftfreq(n, pixel_nm) for n in image.shape)
    step = 2 * np.pi / (max(image.shape) * pixel_nm)
    bins = np.rint(np.hypot(qy[:, None], qx) / step).astype(int)
    most = min(image.shape) // 2
    circles = np.bincount(bins.ravel(), power.ravel())[1:most] / step
    axes = []
    for q, along in ((qx, power.sum(axis=0)), (qy, power.sum(axis=1))):
        half = slice(1, len(q) // 2)
        axes.append(np.stack([q[half], 2 * along[half] / q[1]]))
    return Spectrum(step * np.arange(1, most), circles, axes[0], axes[1])


def slope_of(spectrum: np.ndarray, low: float, high: float) -> float:
    """Exponent of power against q between two q [rad/nm]; [2, m]."""
    q, power = spectrum
    use = (q > low) & (q < high)
    # The median of all pairs' slopes: a line of pickup does not weigh.
    return float(theilslopes(np.log(power[use]), np.log(q[use])).slope)


def rms_between(spectrum: Spectrum, low: float, high: float) -> float:
    """Rms of what lies between two q [rad/nm], the map's unit."""
    use = (spectrum.q > low) & (spectrum.q < high)
    step = spectrum.q[1] - spectrum.q[0]
    return float(np.sqrt((spectrum.circles[use] * step).sum()))


class Sample(NamedTuple):
    """A map in units of its waves, and what was measured in it."""

    name: str
    image: np.ndarray
    extent_nm: tuple[float, float]
    cores_nm: np.ndarray
    q_per_nm: float  # nan where no ring stands out
    profile: tuple[np.ndarray, np.ndarray]
    decay: Decay
    spectrum: Spectrum


def measure(
    name: str, raw: ConductanceMaps, cores: np.ndarray, two_k: float
) -> Sample:
    """Measure the first of some maps; `two_k` [rad/nm] is expected in it."""
    maps = level(raw, "plane")
    image, pixel = maps.data[0].astype(float), float(np.mean(maps.pixel_nm))
    core_nm = 3 / two_k  # 1.5 / k
    weight = weight_off_cores(image, cores, core_nm / pixel)
    image -= np.average(np.nan_to_num(image), weights=weight)
    waves = rms_between(
        spectrum_of(image, weight, pixel), 0.7 * two_k, 1.3 * two_k
    )
    image /= waves
    ring = measure_ring(image, pixel)
    profile = profile_around(image, cores, pixel, core_nm)
    return Sample(
        name,
        image,
        maps.extent_nm,
        (cores + 0.5) * pixel,
        np.nan if ring is None else ring.q_per_nm,
        profile,
        decay_of(*profile, two_k),
        spectrum_of(image, weight, pixel),
    )
