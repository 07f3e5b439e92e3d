"""What a microscope does to maps: a part in general, tip blur and drift.

Each effect is a `Part`: a frozen set of ranges, called with maps and a source
of randomness.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.ndimage
from scipy.spatial.distance import pdist

from stm_keras.simulation.ranges import (
    Range,
    check_maps,
    check_ranges,
    draw,
    spread,
)


@dataclass(frozen=True, kw_only=True)
class Part(ABC):
    """One effect of an experiment on its maps.

    Attributes:
        enabled: the part's switch; False returns the maps as they came.
    """

    enabled: bool = True

    def __call__(
        self,
        maps: np.ndarray,
        rng: np.random.Generator,
        *,
        scale: float | None = None,
    ) -> np.ndarray:
        """Apply the effect.

        Args:
            maps: float32 [V, H, W], any unit; not changed.
            rng: source of randomness.
            scale: what amplitudes are multiples of, in the maps' unit; None
                takes the standard deviation of `maps` (`ranges.spread`).

        Returns:
            float32 [V, H, W], the unit of `maps`.

        Raises:
            InputError: for maps of another shape, or with NaN.
        """
        if not self.enabled:
            return maps
        check_maps(maps)
        scale = spread(maps) if scale is None else scale
        return self._apply(maps, rng, scale).astype(np.float32)

    @abstractmethod
    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        """Apply the effect to checked maps; arguments as in `__call__`."""


@dataclass(frozen=True, kw_only=True)
class TipBlur(Part):
    """Blur by a tip that is not a point: a Gaussian, alike in all maps.

    Attributes:
        sigma_px: standard deviation along the narrow axis [px].
        anisotropy: wide axis over narrow axis, 1 or more, no unit. The
            direction of the wide axis is uniform.
    """

    sigma_px: Range = (0.1, 0.6)
    anisotropy: Range = (1.0, 1.5)

    def __post_init__(self) -> None:
        check_ranges(self, sigma_px=(0.0, 20.0), anisotropy=(1.0, 10.0))

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        narrow = float(draw(self.sigma_px, rng))
        wide = narrow * float(draw(self.anisotropy, rng))
        angle = rng.uniform(0, math.pi)
        # In Fourier space a Gaussian far narrower than a pixel is still
        # exact. Mirrored margins keep opposite edges from mixing.
        pad = 8 + math.ceil(4 * wide)
        padded = np.pad(maps, ((0, 0), (pad, pad), (pad, pad)), "symmetric")
        shape = padded.shape[1:]
        row = 2 * math.pi * scipy.fft.fftfreq(shape[0])[:, None]
        col = 2 * math.pi * scipy.fft.rfftfreq(shape[1])
        along = wide * (row * math.sin(angle) + col * math.cos(angle))
        across = narrow * (row * math.cos(angle) - col * math.sin(angle))
        transfer = np.exp(-(along**2 + across**2) / 2).astype(np.float32)
        wave = np.asarray(scipy.fft.rfft2(padded.astype(np.float32))) * transfer
        blurred = scipy.fft.irfft2(wave, s=shape)
        return np.asarray(blurred)[:, pad:-pad, pad:-pad]


@dataclass(frozen=True, kw_only=True)
class Drift(Part):
    """Slow drift: each map is displaced along a smooth path.

    The mean of the path is zero, so true positions stay those of the mean
    map. Within one map the displacement is constant.

    Attributes:
        extent_px: greatest distance between any two displacements [px].
    """

    extent_px: Range = (0.0, 1.0)

    def __post_init__(self) -> None:
        check_ranges(self, extent_px=(0.0, 50.0))

    def path(self, n_maps: int, rng: np.random.Generator) -> np.ndarray:
        """Draw a path: a cubic in time, mostly its straight part.

        Args:
            n_maps: number of maps, in the order they were measured.
            rng: source of randomness.

        Returns:
            float64 [V, 2]: displacement (row, column) of each map [px].
        """
        extent = float(draw(self.extent_px, rng))
        bend = np.array([[1.0], [0.4], [0.2]]) * rng.normal(size=(3, 2))
        time = np.linspace(-1, 1, n_maps)
        path = np.polynomial.legendre.legvander(time, 3)[:, 1:] @ bend
        path -= path.mean(axis=0)
        if n_maps < 2:
            return np.zeros((n_maps, 2))
        return path * (extent / pdist(path).max())

    @staticmethod
    def displace(maps: np.ndarray, path: np.ndarray) -> np.ndarray:
        """Move each map by its displacement, the margin being mirrored.

        Splines of degree 5 keep 99.5% of a wave of 1.8 rad/px, the shortest
        of the paper's; a Fourier shift would mix opposite edges.

        Args:
            maps: float32 [V, H, W].
            path: float [V, 2]: displacements (row, column) [px].

        Returns:
            float32 [V, H, W].
        """
        moved = [
            scipy.ndimage.shift(m, step, order=5, mode="reflect")
            for m, step in zip(maps, path, strict=True)
        ]
        return np.stack(moved).astype(np.float32)

    def _apply(
        self, maps: np.ndarray, rng: np.random.Generator, scale: float
    ) -> np.ndarray:
        return self.displace(maps, self.path(len(maps), rng))
