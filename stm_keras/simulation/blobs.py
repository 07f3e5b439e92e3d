"""Smooth blobs of random shape: cores of impurities, and decoys."""

import math
from dataclasses import dataclass

import numpy as np

from stm_keras.simulation.ranges import Range, check_ranges, draw

_CUT_SIGMAS = 5.0
"""Blobs end here: what is left of a Gaussian is 4e-6 of its height."""


@dataclass(frozen=True, kw_only=True)
class BlobRanges:
    """Ranges of a smooth blob, an anisotropic Gaussian.

    Attributes:
        amplitude: height at the middle bias [standard deviations of the
            maps]; the sign is random.
        sigma: standard deviation of its narrow axis [1/k at the mean k].
        anisotropy: wide axis over narrow axis, 1 or more, no unit; the
            direction is uniform.
        dispersion: how far the height changes with k: its cubic polynomial
            over the range of k has coefficients up to this times the height,
            either sign. Beyond 1 the sign may change within the range.
    """

    amplitude: Range = (0.5, 6.0)
    sigma: Range = (0.3, 0.9)
    anisotropy: Range = (1.0, 1.6)
    dispersion: Range = (0.0, 0.6)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            amplitude=(0.0, 1000.0),
            sigma=(0.01, 20.0),
            anisotropy=(1.0, 10.0),
            dispersion=(0.0, 10.0),
        )


def window_at(
    centre: np.ndarray, reach_px: float, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """Part of the frame within reach, with its offsets from the centre.

    Args:
        centre: float [2] (row, column) [px].
        reach_px: half the side of the square [px].
        shape: (H, W) of the frame [px].

    Returns:
        Slices, row offsets [h, 1] and column offsets [1, w] [px]; None where
        the frame is out of reach.
    """
    low = np.maximum(np.ceil(centre - reach_px), 0).astype(int)
    high = np.minimum(np.floor(centre + reach_px) + 1, shape).astype(int)
    if (low >= high).any():
        return None
    row, col = (
        np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)
    )
    slices = slice(low[0], high[0]), slice(low[1], high[1])
    return slices, row[:, None], col[None, :]


def _heights(
    ranges: BlobRanges, wave_numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Height of a blob in each map, [V], smooth in k."""
    middle = (wave_numbers.min() + wave_numbers.max()) / 2
    half = max(float(np.ptp(wave_numbers)) / 2, 1e-12)
    powers = np.vander((wave_numbers - middle) / half, 4, increasing=True)
    change = rng.uniform(-1, 1, 3) * draw(ranges.dispersion, rng)
    height = rng.choice((-1.0, 1.0)) * draw(ranges.amplitude, rng)
    return height * (1 + powers[:, 1:] @ change)


def add_blob(
    maps: np.ndarray,
    centre: np.ndarray,
    wave_numbers: np.ndarray,
    rng: np.random.Generator,
    ranges: BlobRanges,
    scale: float,
) -> None:
    """Add a blob of random shape to maps, in place.

    Args:
        maps: float32 [V, H, W], changed.
        centre: float [2] middle of the blob (row, column) [px].
        wave_numbers: float [V] wave number k of each map [rad/px].
        rng: source of randomness.
        ranges: what is drawn from.
        scale: what amplitudes are multiples of, in the maps' unit.
    """
    narrow = float(draw(ranges.sigma, rng)) / wave_numbers.mean()
    wide = narrow * float(draw(ranges.anisotropy, rng))
    angle = rng.uniform(0, math.pi)
    heights = scale * _heights(ranges, wave_numbers, rng)
    window = window_at(centre, _CUT_SIGMAS * wide, maps.shape[1:])
    if window is None:
        return
    slices, row, col = window
    along = (row * math.sin(angle) + col * math.cos(angle)) / wide
    across = (row * math.cos(angle) - col * math.sin(angle)) / narrow
    shape = np.exp(-(along**2 + across**2) / 2)
    maps[:, *slices] += heights[:, None, None] * shape
