"""Find impurities by their rings, with the wave numbers known.

A point scatterer leaves Re[C exp(2 i k r) / r] in a map of wave number k,
far from it (G. A. Fiete and E. J. Heller, Rev. Mod. Phys. 75, 933 (2003)),
C having a phase that a finder does not know. What does not depend on the
phase is the energy in both quadratures,

    E(r0) = sum_V [<m_V, c_V>^2 + <m_V, s_V>^2] / |c_V|^2,

c_V and s_V being cos and sin(2 k_V |r - r0|) under a common envelope. It is
what a network has to beat: it uses all voltages and the dispersion, and
knows no cores, no decoys and no neighbouring impurities.
"""

import numpy as np
from numpy.typing import ArrayLike
from scipy.signal import fftconvolve

from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.errors import InputError
from stm_keras.ring_model import check_maps, check_wave_numbers
from stm_keras.scoring import (
    standardised,
)

RADII_PX = (4.0, 6.0, 9.0, 13.0)
"""Radii of the template worth trying, in steps of about 1.5."""

CORE_PX = 1.0
"""Within it the envelope is level: waves do not hold there."""


def ring_energy(
    maps: ArrayLike, wave_numbers: ArrayLike, *, radius_px: float
) -> np.ndarray:
    """Energy of the rings around every pixel, whatever their phase.

    Args:
        maps: [V, H, W], float; NaN = not measured, which counts as the mean.
        wave_numbers: k of each map [rad/px], [V]; rings have 2k.
        radius_px: of the template [px].

    Returns:
        float64 [H, W], no unit: every map has variance 1 first.

    Raises:
        InputError: where shapes do not fit, a number is not positive, or a
            value is infinite.
    """
    stack, k = _checked(maps, wave_numbers, radius_px)
    reach = int(np.ceil(radius_px))
    row, col = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    r = np.hypot(row, col)
    envelope = (r <= radius_px) / np.maximum(r, CORE_PX)
    measured = np.isfinite(stack)
    energy = np.zeros(stack.shape[1:])
    for image, present, wave in zip(stack, measured, k, strict=True):
        # A template that the frame cuts has less to answer with.
        inside = fftconvolve(present.astype(float), envelope**2, mode="same")
        template = envelope * np.exp(2j * wave * r)
        answer = fftconvolve(_filled(image), template, mode="same")
        energy += np.abs(answer) ** 2 / np.maximum(inside, 1e-12)
    return energy


def _checked(
    maps: ArrayLike, wave_numbers: ArrayLike, radius_px: float
) -> tuple[np.ndarray, np.ndarray]:
    stack = check_maps(maps)
    k = check_wave_numbers(wave_numbers, len(stack))
    if not (np.isfinite(radius_px) and radius_px >= CORE_PX):
        raise InputError(
            f"`radius_px` must be {CORE_PX:g} or more. Received: {radius_px}."
        )
    return stack, k


def _filled(image: np.ndarray) -> np.ndarray:
    """A map of mean 0 and variance 1, 0 where it was not measured."""
    if not np.isfinite(image).any():
        return np.zeros(image.shape)
    centred = np.nan_to_num(image - np.nanmean(image), nan=0.0)
    return centred / (float(np.nanstd(image)) or 1.0)


def find_rings(
    maps: ArrayLike,
    wave_numbers: ArrayLike,
    *,
    radius_px: float,
    threshold: float | None = None,
    max_peaks: int | None = None,
    refine: bool = True,
) -> Peaks:
    """Find the centres of rings.

    Args:
        maps: [V, H, W], float; NaN = not measured.
        wave_numbers: k of each map [rad/px], [V].
        radius_px: of the template [px].
        threshold: the least energy that counts, in standard deviations of
            the frame's energy above its mean.
        max_peaks: see `find_peaks`.
        refine: place them between the pixels, see `find_peaks`.

    Returns:
        The centres; their scores are in the unit of `threshold`.

    Raises:
        InputError: see `ring_energy`.

    Examples:
        >>> row, col = np.mgrid[:40, :40]
        >>> r = np.hypot(row - 12, col - 25)
        >>> maps = [np.cos(2 * k * r + k) / (r + 1) for k in (0.7, 0.8)]
        >>> found = find_rings(maps, (0.7, 0.8), radius_px=9, max_peaks=1)
        >>> found.positions.round(1)
        array([[12., 25.]])
    """
    energy = ring_energy(maps, wave_numbers, radius_px=radius_px)
    return find_peaks(
        standardised(energy),
        threshold=threshold,
        max_peaks=max_peaks,
        refine=refine,
    )
