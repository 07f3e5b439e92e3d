"""A mixture of round Gaussian spots on a background, fitted by EM.

Pixels are data points, weighted by their intensity (C. M. Bishop, Pattern
Recognition and Machine Learning (2006), chapter 9). scikit-learn's
GaussianMixture takes no weights, and it would hold a Gaussian over every
pixel for every spot; a round Gaussian is a product of a row and a column
factor, so that here all sums of a step are matrix products.
"""

import math
from typing import NamedTuple

import numpy as np

_FLOOR_SIGMAS = 20.0
"""The floor that intensity is counted from lies so much noise below the
background. Then noise is not clipped, which would shift and widen spots, and
all pixels count nearly alike, as they should where the noise is alike."""


class Spots(NamedTuple):
    """Round Gaussian spots.

    Attributes:
        positions: float64 [n, 2] (row, column) [px].
        amplitudes: float64 [n], height above the background, image's unit.
        widths: float64 [n], standard deviation [px].
    """

    positions: np.ndarray
    amplitudes: np.ndarray
    widths: np.ndarray

    def take(self, which: np.ndarray) -> "Spots":
        """Choose spots by index or mask."""
        return Spots(*(field[which] for field in self))

    def joined(self, other: "Spots") -> "Spots":
        """Spots of both, these first."""
        return Spots(
            *(np.concatenate(pair) for pair in zip(self, other, strict=True))
        )


def no_spots() -> Spots:
    """An empty set of spots."""
    return Spots(np.empty((0, 2)), np.empty(0), np.empty(0))


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product a @ b, on one thread.

    OpenBLAS shares a product of more than 2^18 multiplications out to
    threads; where other processes hold the cores, these wait for each other
    ten times longer than such a small product takes. Blocks stay below.
    """
    rows = max(1, 2**18 // (b.shape[0] * b.shape[1] + 1))
    if rows >= len(a):
        return a @ b
    blocks = [a[i : i + rows] @ b for i in range(0, len(a), rows)]
    return np.concatenate(blocks)


def _factors(
    spots: Spots, shape: tuple[int, int], margin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row factors [n, H + 2 m] and column factors [n, W + 2 m] of spots."""
    factors = []
    for axis in range(2):
        offset = np.arange(-margin, shape[axis] + margin)
        z = (offset - spots.positions[:, axis, None]) / spots.widths[:, None]
        factors.append(np.exp(-(z**2) / 2))
    return factors[0], factors[1]


def render(spots: Spots, shape: tuple[int, int]) -> np.ndarray:
    """Sum of the spots, without background.

    Args:
        spots: the spots.
        shape: (H, W) of the image.

    Returns:
        float64 [H, W].
    """
    row, col = _factors(spots, shape, 0)
    return _product((spots.amplitudes[:, None] * row).T, col)


class Mixture:
    """EM steps for one image, background and noise.

    Pixels that are not measured (NaN, and a margin around the frame, into
    which spots at the edge reach) are hidden variables as well: the E-step
    puts the model there. Without this, spots at an edge would move inwards.

    Args:
        image: float64 [H, W]; NaN where nothing was measured.
        background: float64 [H, W], without NaN.
        noise: standard deviation of the noise, the image's unit.
        width_px: the least and the greatest width of a spot [px].
    """

    def __init__(
        self,
        image: np.ndarray,
        background: np.ndarray,
        noise: float,
        width_px: tuple[float, float],
    ) -> None:
        self.shape = (image.shape[0], image.shape[1])
        self.width_px = width_px
        self.margin = math.ceil(3 * width_px[1])
        above = image - background
        # A noiseless image still needs a positive density everywhere.
        least = 0.02 * max(float(np.nanmax(np.abs(above))), 1e-30)
        self.level = max(_FLOOR_SIGMAS * noise, least)
        data = np.clip(above + self.level, 0, None)
        self.data = np.pad(data, self.margin, constant_values=np.nan)
        self.measured = np.isfinite(self.data)

    def _ratio(
        self, amplitudes: np.ndarray, row: np.ndarray, col: np.ndarray
    ) -> np.ndarray:
        """Data over model, [H + 2 m, W + 2 m]; 1 where not measured.

        Times a component's density, this is the intensity that the E-step
        assigns to it.
        """
        model = self.level + _product((amplitudes[:, None] * row).T, col)
        ratio = np.ones_like(model)
        np.divide(self.data, model, out=ratio, where=self.measured)
        return ratio

    def step(self, spots: Spots) -> Spots:
        """One E-step and one M-step; the background stays.

        Args:
            spots: n spots.

        Returns:
            n spots of a likelihood no smaller.
        """
        row, col = _factors(spots, self.shape, self.margin)
        ratio = self._ratio(spots.amplitudes, row, col)
        by_row = row * _product(col, ratio.T)  # intensity by row, for each spot
        by_col = col * _product(row, ratio)
        mass = np.maximum(by_row.sum(axis=1), 1e-12)
        places, variance = [], np.zeros(len(mass))
        for axis, profile in enumerate((by_row, by_col)):
            at = np.arange(-self.margin, self.shape[axis] + self.margin)
            mean = profile @ at / mass
            variance += profile @ at**2 / mass - mean**2
            places.append(mean)
        widths = np.sqrt(np.maximum(variance / 2, 0)).clip(*self.width_px)
        # The mass of the sampled Gaussian; 2 pi sigma^2 but for sharp spots.
        unit = row.sum(axis=1) * col.sum(axis=1) * (widths / spots.widths) ** 2
        amplitudes = spots.amplitudes * mass / np.maximum(unit, 1e-12)
        return Spots(np.stack(places, axis=1), amplitudes, widths)

    def fit(self, spots: Spots, steps: int, tolerance_px: float) -> Spots:
        """Repeat `step`, at most so many times, until nothing moves.

        Args:
            spots: where to start.
            steps: greatest number of steps.
            tolerance_px: end when no spot moves further in a step [px].

        Returns:
            As many spots.
        """
        for _ in range(steps if len(spots.widths) else 0):
            before = spots
            spots = self.step(spots)
            moved = np.abs(spots.positions - before.positions).max()
            if moved < tolerance_px:
                break
        return spots

    def axes(self, spots: Spots) -> tuple[np.ndarray, np.ndarray]:
        """Principal axes of the intensity that belongs to each spot.

        Args:
            spots: n spots.

        Returns:
            Standard deviations [n, 2] [px], the smaller first, and the
            direction [n, 2] (row, column) of the greater.
        """
        row, col = _factors(spots, self.shape, self.margin)
        ratio = self._ratio(spots.amplitudes, row, col)
        at = [np.arange(-self.margin, n + self.margin) for n in self.shape]
        dr = at[0] - spots.positions[:, :1]
        dc = at[1] - spots.positions[:, 1:]
        weighted = _product(row, ratio)
        mass = np.maximum((weighted * col).sum(axis=1), 1e-12)
        rr = (_product(row * dr**2, ratio) * col).sum(axis=1) / mass
        cc = (weighted * col * dc**2).sum(axis=1) / mass
        rc = (_product(row * dr, ratio) * col * dc).sum(axis=1) / mass
        matrix = np.stack([rr, rc, rc, cc], axis=1).reshape(-1, 2, 2)
        values, vectors = np.linalg.eigh(matrix)
        return np.sqrt(np.maximum(values, 0)), vectors[:, :, 1]
