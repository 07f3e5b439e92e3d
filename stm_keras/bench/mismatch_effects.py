"""What no training set holds: cores of another shape, noise of another kind."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
from scipy import ndimage

from stm_keras.simulation.draws import Draws
from stm_keras.simulation.friedel import normalise
from stm_keras.simulation.instrument import Part
from stm_keras.simulation.ranges import Range, check_ranges, draw
from stm_keras.simulation.short_range import CoreRanges, add_cores, window_at

_RIM_RADIUS: Range = (0.8, 1.4)  # of the disc [1/k at the mean k]
_RIM_AMPLITUDE: Range = (1.0, 6.0)  # as the matched cores'
_EDGE_PX = 0.35
_BARE = CoreRanges(amplitude=(0.0, 0.0))


@dataclass(frozen=True, kw_only=True)
class SmoothNoise(Part):
    """Noise smooth along both axes, independent in every map.

    Trainings know white noise, 1/f^slope, and noise smooth along the scan
    line; a hump in the spectrum alike in all directions is none of them.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
        sigma_px: width of the Gaussian that smooths it [px].
    """

    amplitude: Range = (0.25, 0.25)
    sigma_px: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=(0.0, 1000.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`; eagerly only."""
        amplitude = scale * draws.uniform([1, 1, 1, 1], self.amplitude)
        white = np.asarray(draws.normal(maps.shape))
        width = (0.0, 0.0, self.sigma_px, self.sigma_px)
        noise = ndimage.gaussian_filter(white, width, mode="wrap")
        return maps + amplitude * (noise / (noise.std() or 1.0))


def add_rim_cores(
    maps: np.ndarray,
    positions: np.ndarray,
    wave_numbers: np.ndarray,
    rng: np.random.Generator,
    *,
    scale: float,
) -> np.ndarray:
    """Cores that are flat discs with a rim of the other sign.

    Those of all training sets are Gaussians (`short_range.add_cores`). The
    wave is damped beneath them as there.

    Args:
        maps: float32 [V, H, W], modulation of the LDOS.
        positions: of the impurities, float [n, 2] [px].
        wave_numbers: k of each map, [V] [rad/px].
        rng: source of randomness.
        scale: what amplitudes are multiples of, in the maps' unit.

    Returns:
        float32 [V, H, W], a new array.
    """
    maps = add_cores(maps, positions, wave_numbers, rng, _BARE, scale=scale)
    for centre in positions:
        radius = float(draw(_RIM_RADIUS, rng)) / wave_numbers.mean()
        height = scale * float(draw(_RIM_AMPLITUDE, rng))
        height *= float(rng.choice((-1.0, 1.0)))
        window = window_at(centre, 3 * radius, maps.shape[1:])
        if window is None:
            continue
        slices, row, col = window
        r = np.hypot(row, col)
        disc = (1 - np.tanh((r - radius) / _EDGE_PX)) / 2
        rim = np.exp(-(((r - 1.6 * radius) / (0.3 * radius)) ** 2) / 2)
        maps[:, *slices] += np.float32(height) * (disc - 0.6 * rim)
    return maps


def decaying_field(
    rng: np.random.Generator,
    *,
    size_px: int,
    n_impurities: int,
    wave_numbers: np.ndarray,
    exponent: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 3 of arXiv:2006.15898 with another exponent of the decay.

    Args:
        rng: source of randomness; the draw does not depend on `exponent`.
        size_px: side of the field [px].
        n_impurities: how many.
        wave_numbers: k of each map, float64 [V] [rad/px].
        exponent: p in (|r - r_w| + 1 px)^-p; Eq. 3 has 2.

    Returns:
        Maps, float32 [V, H, W] in [-1, 1], and positions, float64 [n, 2].
    """
    places = rng.uniform(-0.5, size_px - 0.5, (n_impurities, 2))
    shape = (len(wave_numbers), n_impurities, 1, 1)
    amplitudes = rng.uniform(0.5, 1.5, shape)
    phases = rng.uniform(0, 2 * np.pi, shape)
    axis = np.arange(size_px)
    r = np.hypot(
        axis[:, None] - places[:, 0, None, None],
        axis - places[:, 1, None, None],
    )
    k = np.asarray(wave_numbers)[:, None, None, None]
    waves = amplitudes * np.cos(2 * k * r + phases) / (r + 1) ** exponent
    return normalise(waves.sum(axis=1).astype(np.float32)), places
