"""The mean wave around an impurity of each kind, for QPI."""

from typing import NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial.distance import cdist

from stm_keras.waves.fit import WaveFit
from stm_keras.waves.model import Medium, circular, scatter
from stm_keras.waves.model import distances as distances_to
from stm_keras.waves.species import Species

_PERIODS = 3.0
"""Half the side of the kernel, in periods 2 pi / q."""


class Kernel(NamedTuple):
    """Waves about impurities of K kinds in V maps, in the maps' unit.

    Attributes:
        fitted: Re c H0^2 with the kind's mean amplitude, float32
            [K, V, h, w]; NaN in the core.
        std: its deviation, [K, V, h, w].
        measured: mean of the maps about the members, the waves of all other
            impurities taken off [K, V, h, w]; NaN where no member is seen.
        std_measured: deviation of that mean, from the spread of the members.
        fourier: transform of `fitted`, its phase referenced to the
            impurity's own place, complex64 [K, V, h, w]; 0 in the core.
        offset_nm: of rows and columns from the impurity [h] [nm].
        q_per_nm: of rows and columns of `fourier` [h] [rad/nm].
        members: how many of each kind [K].
    """

    fitted: np.ndarray
    std: np.ndarray
    measured: np.ndarray
    std_measured: np.ndarray
    fourier: np.ndarray
    offset_nm: np.ndarray
    q_per_nm: np.ndarray
    members: np.ndarray


def mean_kernel(fit: WaveFit, species: Species) -> Kernel:
    """Mean waves of all kinds.

    Args:
        fit: of the impurities.
        species: of the same.
    """
    used = np.flatnonzero(np.isfinite(fit.q_per_nm))
    period = 2 * np.pi / np.nanmin(fit.q_per_nm) / fit.pixel_nm
    half = int(np.ceil(_PERIODS * period))
    offset = np.arange(-half, half + 1)
    shape = (species.n_kinds, len(fit.bias_v), len(offset), len(offset))
    fitted, std, measured, error = (
        np.full(shape, np.nan, np.float32) for _ in range(4)
    )
    core = float(np.median(fit.core_nm)) / fit.pixel_nm
    r = np.hypot(*np.meshgrid(offset, offset, indexing="ij"))
    for v in used.tolist():
        square = circular(r.astype(np.float32), _medium(fit, v))[0] ** 2
        parts = _around(fit, v, offset)
        for kind in range(species.n_kinds):
            own = species.member == kind
            mean, covariance = _mean(fit, own, v)
            wave = np.stack([square.real, -square.imag], -1)
            fitted[kind, v] = wave @ (mean.real, mean.imag)
            std[kind, v] = np.sqrt(
                np.einsum("hwa,ab,hwb->hw", wave, covariance, wave)
            )
            measured[kind, v], error[kind, v] = _average(parts[own])
    fitted[..., r < core] = std[..., r < core] = np.nan
    filled = np.nan_to_num(np.fft.ifftshift(fitted, axes=(-2, -1)))
    return Kernel(
        fitted,
        std,
        measured,
        error,
        np.fft.fftshift(np.fft.fft2(filled), axes=(-2, -1)).astype(
            np.complex64
        ),
        offset * fit.pixel_nm,
        np.fft.fftshift(2 * np.pi * np.fft.fftfreq(len(offset), fit.pixel_nm)),
        species.counts,
    )


def _medium(fit: WaveFit, v: int) -> Medium:
    """Of single scattering, in the fit's pixels."""
    gamma = fit.pixel_nm / (2 * fit.mean_free_path_nm)
    return Medium(float(fit.q_per_nm[v]) / 2 * fit.pixel_nm, gamma)


def _mean(fit: WaveFit, own: np.ndarray, v: int) -> tuple[complex, np.ndarray]:
    """Weighted mean amplitude of some impurities, and its covariance."""
    precision = np.linalg.inv(fit.covariance[own, v])
    c = fit.amplitudes[own, v]
    z = np.stack([c.real, c.imag], -1)
    covariance = np.linalg.inv(precision.sum(axis=0))
    mean = covariance @ np.einsum("nab,nb->a", precision, z)
    return complex(*mean), covariance


def _around(fit: WaveFit, v: int, offset: np.ndarray) -> np.ndarray:
    """The map about each impurity, others' waves taken off, [n, h, w]."""
    shape = fit.maps.shape[1:]
    positions = (fit.positions_px + 0.5) / fit.joined - 0.5
    pixels = np.argwhere(np.ones(shape, bool)).astype(np.float64)
    r = distances_to(positions, pixels)
    medium = _medium(fit, v)
    scale = fit.scale[v]
    if np.isfinite(scale):
        medium = medium._replace(kappa=float(1 / scale))
    waves = scatter(fit.amplitudes[:, v], positions, r, medium)
    single = (waves.g * waves.h).real
    rows, cols = np.meshgrid(offset, offset, indexing="ij")
    near = cdist(pixels, positions)
    out = np.empty((len(positions), *rows.shape))
    for j, (row, col) in enumerate(positions):
        others = np.delete(near, j, axis=1)
        image = fit.residual[v].ravel() + single[j]
        image[(others < fit.core_nm.min() / fit.pixel_nm).any(axis=1)] = np.nan
        out[j] = ndimage.map_coordinates(
            image.reshape(shape),
            [rows + row, cols + col],
            order=1,
            cval=np.nan,
        )
    return out


def _average(parts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean of what is seen of several, and its deviation."""
    known = np.isfinite(parts)
    count = known.sum(axis=0)
    some = np.maximum(count, 1)
    mean = np.where(known, parts, 0).sum(axis=0) / some
    square = np.where(known, (parts - mean) ** 2, 0).sum(axis=0)
    error = np.sqrt(square / np.maximum(count - 1, 1) / some)
    return (
        np.where(count > 0, mean, np.nan),
        np.where(count > 1, error, np.nan),
    )
