"""Where in what is left of the maps is one ring more?"""

from typing import NamedTuple, cast

import numpy as np
from scipy import fft
from scipy.spatial import KDTree

from stm_keras.analysis.peaks import find_peaks
from stm_keras.ring_model import RingTemplate, ring_columns

SEARCH_REACH_PX = 24
"""Reach of the search template [px]; the refit knows no such limit."""

FINER = 2
"""Steps of the search a pixel: Eq. 3 falls to a half within half a pixel."""

ROUND_SHARE = 0.6
ROUND_DISTANCE_PX = 8
"""Of one search, peaks this high beside the highest, and this far apart, are
all taken."""

CLEAR = 1e-6
"""A template with less than this share of its energy in view is no answer."""


class _Kernels(NamedTuple):
    """Transforms of one sub-pixel shift's templates, conjugated."""

    pair: list[np.ndarray]  # cos, sin: complex [V, padded]
    squares: list[np.ndarray]  # cos^2, cos sin, sin^2


class RingSearch:
    """Gain of a ring at every half pixel, whatever its phases.

    For one map, with b the products of the residual with the two quadratures
    of the template and G their Gram matrix over the measured pixels, both
    after the map's mean is taken off, b^T G^-1 b is how much the sum of
    squares falls when a ring of free amplitude is added there.

    Args:
        shape: H, W [px].
        wave_numbers: k of each map, [V] [rad/px].
        template: the wave; its hole is left out.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        wave_numbers: np.ndarray,
        template: RingTemplate,
    ) -> None:
        self._shape = shape
        self._reach = min(SEARCH_REACH_PX, max(shape))
        # The frame, and as much beyond each side as a template reaches.
        self._padded = tuple(
            cast(int, fft.next_fast_len(n + self._reach + 1, real=True))
            for n in shape
        )
        steps = np.arange(FINER) / FINER
        self._kernels = [
            self._shifted(row, col, wave_numbers, template)
            for row in steps
            for col in steps
        ]

    def _shifted(
        self, row: float, col: float, k: np.ndarray, template: RingTemplate
    ) -> _Kernels:
        axes = []
        for size, shift in zip(self._padded, (row, col), strict=True):
            index = np.arange(size)
            axes.append(
                np.where(index > size // 2, index - size, index) - shift
            )
        r = np.hypot(*np.meshgrid(*axes, indexing="ij")).astype(np.float32)
        keep = (r <= self._reach) & (r >= template.hole_px)
        waves = ring_columns(r.reshape(1, -1), k, template)[:, 0]
        cosine, sine = np.moveaxis(waves.reshape(len(k), 2, *r.shape), 1, 0)
        cosine, sine = cosine * keep, sine * keep
        squares = (cosine**2, cosine * sine, sine**2)
        return _Kernels(
            [_transform(part, self._padded).conj() for part in (cosine, sine)],
            [_transform(part, self._padded).conj() for part in squares],
        )

    def gram(self, measured: np.ndarray) -> list[np.ndarray]:
        """Inverse Gram matrices of the quadratures everywhere.

        Args:
            measured: bool [V, H, W].

        Returns:
            For each sub-pixel shift cos-cos, cos-sin, sin-sin, float32
            [3, V, H, W].
        """
        spectrum = self._spectrum(measured)
        counts = np.maximum(measured.sum(axis=(1, 2), keepdims=True), 1)
        counts = counts.astype(np.float32)
        found = []
        for kernels in self._kernels:
            one, two = (self._back(spectrum * part) for part in kernels.pair)
            a, b, c = (self._back(spectrum * p) for p in kernels.squares)
            whole = a + c
            a = a - one * one / counts
            b = b - one * two / counts
            c = c - two * two / counts
            determinant = a * c - b * b
            clear = determinant > CLEAR * whole**2 + 1e-12
            divisor = np.where(clear, determinant, 1)
            found.append(np.stack([c, -b, a]) * (clear / divisor))
        return found

    def gain(
        self,
        residual: np.ndarray,
        inverse: list[np.ndarray],
        noise: np.ndarray,
    ) -> np.ndarray:
        """Fall of chi^2 that one more ring would bring.

        Args:
            residual: [V, H, W], 0 where not measured; of mean 0.
            inverse: as `gram` returns it.
            noise: sigma of each map, [V], in the unit of `residual`.

        Returns:
            float32 [FINER H, FINER W]; pixel i of the maps is at FINER i.
        """
        spectrum = self._spectrum(residual / noise[:, None, None])
        height, width = self._shape
        gains = np.empty((height, FINER, width, FINER), np.float32)
        for i, kernels in enumerate(self._kernels):
            one, two = (self._back(spectrum * part) for part in kernels.pair)
            a, b, c = inverse[i]
            fall = a * one * one + 2 * b * one * two + c * two * two
            gains[:, i // FINER, :, i % FINER] = fall.sum(axis=0)
        return gains.reshape(FINER * height, FINER * width)

    def _spectrum(self, maps: np.ndarray) -> np.ndarray:
        return _transform(maps.astype(np.float32), self._padded)

    def _back(self, spectrum: np.ndarray) -> np.ndarray:
        height, width = self._shape
        whole = np.asarray(fft.irfft2(spectrum, s=self._padded))
        return whole[:, :height, :width]


def _transform(maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Of each map by itself; scipy's keeps single precision."""
    return np.asarray(fft.rfft2(maps, s=shape))


def as_score(fall: np.ndarray, n_maps: int) -> np.ndarray:
    """A fall of chi^2 as the deviate of a normal distribution.

    Noise alone gives chi^2 of 2V degrees of freedom, whose cube root is
    nearly normal: E. B. Wilson and M. M. Hilferty, PNAS 17, 684 (1931), DOI
    10.1073/pnas.17.12.684.

    Args:
        fall: float, any shape.
        n_maps: V.
    """
    spread = 1 / (9 * n_maps)
    root = np.cbrt(np.maximum(fall, 0) / (2 * n_maps))
    return (root - (1 - spread)) / np.sqrt(spread)


def starts(
    score: np.ndarray,
    taken: np.ndarray,
    *,
    least: float,
    min_distance_px: float,
) -> np.ndarray:
    """Where to start new rings.

    Args:
        score: of one ring more, float [FINER H, FINER W].
        taken: positions of the rings there are, [n, 2] [px].
        least: the score that a start must exceed.
        min_distance_px: of a start from those rings [px].

    Returns:
        The highest peak, and those nearly as high far from it, the best
        first, float64 [m, 2] [px].
    """
    places = np.moveaxis(np.indices(score.shape), 0, -1) / FINER
    if len(taken):
        gaps, _ = KDTree(taken).query(places)
        score = np.where(gaps < min_distance_px, score.min(), score)
    peaks = find_peaks(
        score,
        threshold=max(least, ROUND_SHARE * float(score.max())),
        min_distance_px=FINER * ROUND_DISTANCE_PX,
    )
    return peaks.positions / FINER
