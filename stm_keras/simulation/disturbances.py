"""What spoils maps: noise, scan-line offsets, tip jumps, a tilt.

Amplitudes are in units of the standard deviation of the maps without them.
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.fft

from stm_keras.simulation.instrument import Part
from stm_keras.simulation.ranges import Range, check_ranges, draw

_AMPLITUDE_LIMITS: Range = (0.0, 1000.0)


@dataclass(frozen=True, kw_only=True)
class WhiteNoise(Part):
    """Gaussian noise, independent in every pixel of every map.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
    """

    amplitude: Range = (0.1, 0.5)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS)

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        amplitude = scale * float(draw(self.amplitude, rng))
        noise = rng.standard_normal(maps.shape, dtype=np.float32)
        return maps + np.float32(amplitude) * noise


def power_law_fields(
    shape: tuple[int, int, int], exponent: float, rng: np.random.Generator
) -> np.ndarray:
    """Draw random fields whose power falls as 1/f^exponent.

    Args:
        shape: (V, H, W), number and size of the fields.
        exponent: of the power against spatial frequency, zero or above.
        rng: source of randomness.

    Returns:
        float32 [V, H, W]: each of mean 0 and standard deviation 1, and
        independent of the others.
    """
    n_maps, height, width = shape
    # Twice the size, cut afterwards: opposite edges of a field made by a
    # Fourier transform are neighbours, those of a scan are not.
    rows = scipy.fft.next_fast_len(2 * height, True) or 2 * height
    cols = scipy.fft.next_fast_len(2 * width, True) or 2 * width
    frequency = np.hypot(
        scipy.fft.fftfreq(rows)[:, None], scipy.fft.rfftfreq(cols)
    )
    frequency[0, 0] = np.inf  # no mean
    transfer = (frequency ** (-exponent / 2)).astype(np.float32)
    white = rng.standard_normal((n_maps, rows, cols), dtype=np.float32)
    wave = np.asarray(scipy.fft.rfft2(white)) * transfer
    field = np.asarray(scipy.fft.irfft2(wave, s=(rows, cols)))
    field = field[:, :height, :width]
    field -= field.mean(axis=(1, 2), keepdims=True)
    width_of_field = field.std(axis=(1, 2), keepdims=True)
    # A single pixel is all mean: nothing is left of it.
    return field / np.where(width_of_field > 0, width_of_field, 1)


@dataclass(frozen=True, kw_only=True)
class OneOverFNoise(Part):
    """Noise correlated over the frame, its power falling as 1/f^exponent.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
        exponent: of the power against spatial frequency, no unit.
    """

    amplitude: Range = (0.1, 0.5)
    exponent: Range = (0.8, 1.6)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS, exponent=(0.0, 4.0))

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        amplitude = scale * float(draw(self.amplitude, rng))
        exponent = float(draw(self.exponent, rng))
        n_maps, height, width = maps.shape
        field = power_law_fields((n_maps, height, width), exponent, rng)
        return maps + np.float32(amplitude) * field


@dataclass(frozen=True, kw_only=True)
class ScanLineOffsets(Part):
    """An offset of every scan line (row), drawn anew in every map.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
    """

    amplitude: Range = (0.05, 0.2)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS)

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        amplitude = scale * float(draw(self.amplitude, rng))
        return maps + amplitude * rng.normal(size=(*maps.shape[:2], 1))


@dataclass(frozen=True, kw_only=True)
class TipJumps(Part):
    """A new state of the tip from some row of a map on, to its end.

    The maps after it start from the new state; an offset or a contrast of a
    whole map tells nothing about positions, so it is not carried on.

    Attributes:
        jumps_per_map: mean number of jumps in a map.
        offset: greatest jump of the offset, either sign [standard deviations
            of the maps].
        contrast: greatest relative change of the contrast about the map's
            mean, either sign, below 1, no unit.
    """

    jumps_per_map: Range = (0.0, 0.2)
    offset: Range = (0.1, 1.0)
    contrast: Range = (0.0, 0.3)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            jumps_per_map=(0.0, 100.0),
            offset=_AMPLITUDE_LIMITS,
            contrast=(0.0, 0.99),
        )

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        n_maps, height, _ = maps.shape
        mean = maps.mean(axis=(1, 2), keepdims=True)
        offset = np.zeros((n_maps, height, 1))
        contrast = np.ones((n_maps, height, 1))
        counts = rng.poisson(float(draw(self.jumps_per_map, rng)), n_maps)
        for m in np.repeat(np.arange(n_maps), counts if height > 1 else 0):
            row = rng.integers(1, height)
            sign = rng.choice((-1.0, 1.0), 2)
            offset[m, row:] += sign[0] * scale * draw(self.offset, rng)
            contrast[m, row:] *= 1 + sign[1] * draw(self.contrast, rng)
        return mean + contrast * (maps - mean) + offset


@dataclass(frozen=True, kw_only=True)
class BackgroundTilt(Part):
    """A plane, alike in all maps, in a uniform direction.

    Attributes:
        amplitude: standard deviation of the plane over the frame [standard
            deviations of the maps].
    """

    amplitude: Range = (0.0, 0.5)

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=_AMPLITUDE_LIMITS)

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        amplitude = scale * float(draw(self.amplitude, rng))
        angle = rng.uniform(0, 2 * math.pi)
        row, col = (np.arange(n) - (n - 1) / 2 for n in maps.shape[1:])
        plane = math.sin(angle) * row[:, None] + math.cos(angle) * col
        width = plane.std()
        return maps + (amplitude / width if width > 0 else 0) * plane
