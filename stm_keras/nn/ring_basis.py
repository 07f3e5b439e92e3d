"""A few kernels in whose span the ring templates of all wave numbers lie."""

import numpy as np
import tensorflow as tf

from stm_keras.nn.untyped import ops

RADIUS_PX = 8
SIDE_PX = 2 * RADIUS_PX + 1
RANK = 10
"""Of the space in which all templates lie, but for 1 % of their norm."""

_CUTOFF_PX = 1.0
_RINGS_RAD_PX = np.linspace(0.45, 2.65, 80)
_DECAYS = (1.0, 2.0)


class RingBasis:
    """Orthonormal radial kernels, and templates as sums of them.

    Args:
        shift_px: how far down and right of a pixel's centre the kernels have
            theirs [px], below 1.

    Attributes:
        kernels: [side, side, rank], float64.
    """

    def __init__(self, shift_px: tuple[float, float] = (0.0, 0.0)) -> None:
        self._radii, self._counts, image = _rings_of_pixels(shift_px)
        self._basis = _radial_basis(self._radii, self._counts)
        self.kernels = np.where(image[..., None] >= 0, self._basis[image], 0)

    def factors(
        self, ring: tf.Tensor, templates: tuple[tuple[float, float], ...]
    ) -> tf.Tensor:
        """Templates of each map in the basis, [N, rank, 2 templates].

        Args:
            ring: 2k of each map [rad/px], [N]; 0 or NaN where unknown.
            templates: see `RingTemplates`.

        Returns:
            First all cosines, then all sines, each of a norm whose square is
            half, without a mean; 0 where 2k is unknown.
        """
        known = ops.cast(ring > 0, "float32")  # NaN is not
        ring = ops.where(ring > 0, ring, ops.ones_like(ring))
        scales, decays = np.array(templates, np.float32).T
        phase = ring[:, None, None] * scales * self._radii[:, None]
        # cos x as sin(x + pi/2): one way to all templates.
        waves = ops.concatenate(
            [ops.sin(phase + np.float32(np.pi / 2)), ops.sin(phase)], axis=-1
        )
        envelope = _envelope(self._radii[:, None], np.tile(decays, 2))
        waves = waves * envelope
        # A map's mean and slow background must not answer.
        counts = self._counts[:, None]
        mean = ops.sum(waves * counts, axis=1, keepdims=True)
        waves -= mean / (envelope * counts).sum(0) * envelope
        factors = ops.matmul((self._basis * counts).T, waves)
        # Two quadratures share the mean square.
        norm = ops.sqrt(2 * ops.sum(ops.square(factors), 1, keepdims=True))
        return ops.stop_gradient(factors / norm * known[:, None, None])


def seen_through(maps: tf.Tensor, kernels: np.ndarray) -> tf.Tensor:
    """Correlation of every map with every kernel, zero beyond the frame.

    Args:
        maps: [N, H, W].
        kernels: [side, side, c].

    Returns:
        [N, H, W, c].
    """
    height = ops.shape(maps)[1]
    rows = ops.pad(maps, ((0, 0), (RADIUS_PX, RADIUS_PX), (0, 0)))
    # Rows as channels: three times as fast as one channel in.
    rows = [rows[:, i : i + height] for i in range(SIDE_PX)]
    turned = kernels.transpose(1, 0, 2)[None].astype(np.float32)
    return ops.conv(ops.stack(rows, -1), turned, padding="same")


def mixed(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Channels [N, H, W, c] of each image mixed by its own [N, c, d]."""
    n, height, width, channels = ops.shape(images)
    flat = ops.reshape(images, (n, height * width, channels))
    product = ops.matmul(flat, factors)
    # The number is known, and the tools that convert a model need it.
    return ops.reshape(product, (n, height, width, factors.shape[-1]))


def _envelope(radius: np.ndarray, decay: np.ndarray) -> np.ndarray:
    return ((radius + _CUTOFF_PX) ** -decay).astype(np.float32)


def _rings_of_pixels(
    shift_px: tuple[float, float],
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radii that occur, how often, and which one each pixel has (-1: none)."""
    axis = np.arange(-RADIUS_PX, RADIUS_PX + 1)
    row, col = (axis - shift for shift in shift_px)
    square = row[:, None] ** 2 + col[None] ** 2
    inside = square <= RADIUS_PX**2
    values, counts = np.unique(square[inside], return_counts=True)
    image = np.where(inside, np.searchsorted(values, square), -1)
    return np.sqrt(values).astype(np.float32), counts.astype(np.float32), image


def _radial_basis(radii: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """Orthonormal over the pixels, [radii, rank]."""
    r, decay = radii[:, None, None], np.array(_DECAYS)
    envelope = _envelope(r, decay)
    family = [
        wave(_RINGS_RAD_PX[:, None] * r) * envelope for wave in (np.cos, np.sin)
    ]
    # The envelopes too: what takes their mean off a template.
    templates = np.concatenate(
        [w.reshape(len(radii), -1) for w in (*family, envelope)], axis=1
    )
    root = np.sqrt(counts)[:, None]
    templates = templates * root
    templates /= np.linalg.norm(templates, axis=0)
    basis = np.linalg.svd(templates, full_matrices=False)[0][:, :RANK]
    return (basis / root).astype(np.float32)
