"""Where in what is left of the maps is one ring more?"""

import numpy as np
from scipy import fft

from stm_keras.analysis.ring_model import ring_columns
from stm_keras.analysis.ring_template import RingTemplate

SEARCH_REACH_PX = 24
"""Reach of the search template [px]; the refit knows no such limit."""

CLEAR = 1e-6
"""A template with less than this share of its energy in view is no answer."""


class RingSearch:
    """Gain of a ring at every pixel, whatever its phases.

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
        self.shape = shape
        reach = min(SEARCH_REACH_PX, max(shape))
        self._padded = tuple(
            int(fft.next_fast_len(n + reach, real=True)) for n in shape
        )
        rows, cols = (
            np.minimum(np.arange(n), n - np.arange(n)) for n in self._padded
        )
        r = np.hypot(*np.meshgrid(rows, cols, indexing="ij"))
        r = r.astype(np.float32)
        keep = (r <= reach) & (r >= template.hole_px)
        waves = ring_columns(r.reshape(1, -1), wave_numbers, template)[:, 0]
        waves = waves.reshape(len(waves), 2, *r.shape) * keep
        cosine, sine = waves[:, 0], waves[:, 1]
        # A template is even in row and column, so its transform is real.
        self._pair = self._kernel(cosine), self._kernel(sine)
        self._squares = [
            self._kernel(part)
            for part in (cosine**2, cosine * sine, sine**2)
        ]

    def gram(self, measured: np.ndarray) -> np.ndarray:
        """Inverse Gram matrices of the quadratures at every pixel.

        Args:
            measured: 1 or 0, [V, H, W].

        Returns:
            Entries cos-cos, cos-sin, sin-sin, float32 [3, V, H, W].
        """
        spectrum = self._spectrum(measured)
        a, b, c = (self._back(spectrum * kernel) for kernel in self._squares)
        counts = np.maximum(measured.sum(axis=(1, 2), keepdims=True), 1)
        one, two = (self._back(spectrum * kernel) for kernel in self._pair)
        whole = a + c
        a, b, c = (
            a - one * one / counts,
            b - one * two / counts,
            c - two * two / counts,
        )
        determinant = a * c - b * b
        clear = determinant > CLEAR * whole**2 + 1e-12
        divisor = np.where(clear, determinant, 1.0)
        return np.stack([c, -b, a]) * (clear / divisor)

    def gain(
        self, residual: np.ndarray, inverse: np.ndarray, noise: np.ndarray
    ) -> np.ndarray:
        """Fall of chi^2 that one more ring would bring, float32 [H, W].

        Args:
            residual: [V, H, W], 0 where not measured; of mean 0.
            inverse: as `gram` returns it.
            noise: sigma of each map, [V], in the unit of `residual`.
        """
        scaled = residual / noise[:, None, None]
        spectrum = self._spectrum(scaled)
        one, two = (self._back(spectrum * kernel) for kernel in self._pair)
        gains = inverse[0] * one * one + 2 * inverse[1] * one * two
        gains += inverse[2] * two * two
        return gains.sum(axis=0)

    def _kernel(self, values: np.ndarray) -> np.ndarray:
        return fft.rfft2(values.astype(np.float32)).real

    def _spectrum(self, maps: np.ndarray) -> np.ndarray:
        return fft.rfft2(maps.astype(np.float32), s=self._padded)

    def _back(self, spectrum: np.ndarray) -> np.ndarray:
        height, width = self.shape
        return fft.irfft2(spectrum, s=self._padded)[:, :height, :width]
