"""Rings of a map's own wave number: how well they fit, and how they look."""

from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stm_keras.nn.layers import Shape
from stm_keras.nn.output import MOST_MAPS
from stm_keras.nn.untyped import Tensor, ops

_CUTOFF_PX = 1.0
_RADIUS_PX = 8
_SIDE_PX = 2 * _RADIUS_PX + 1
_RANK = 10
"""Of the space in which all templates lie, but for 1 % of their norm."""

_RINGS_RAD_PX = np.linspace(0.45, 2.65, 80)
_DECAYS = (1.0, 2.0)


@keras.saving.register_keras_serializable("stm_keras")
class RingTemplates(layers.Layer):
    """Answers of ring templates, whatever the phase of the ring.

    A point scatterer leaves Re[C exp(2 i k r)] / r^d around it, C having an
    unknown phase; d = 1 far from an s-wave scatterer (G. A. Fiete and E. J.
    Heller, Rev. Mod. Phys. 75, 933 (2003)), d = 2 in Eq. 3 of
    arXiv:2006.15898, which like this has r + 1 px for r in the decay. A map's
    correlation with the cosine and the sine says how much of such a ring
    there is around a pixel, and with which phase: what a few small
    convolutions would have to learn, coherent over many pixels.

    All maps are convolved with the same ten radial kernels, in whose span the
    templates of every wave number lie, and each map mixes the results with
    factors of its own. No weight is trained.

    Args:
        templates: of each the factor of the given q, for it may be
            wrong, and d.

    Call arguments:
        maps: standardised, [N, H, W].
        ring: q = 2k of each map [rad/px], [N]; 0 or NaN where unknown.

    Returns:
        [N, H, W, 3 len(templates)]: the two quadratures of all answers, then
        their sizes; 0 where q is unknown. White noise of unit variance gives
        sizes of unit mean square.
    """

    radius_px = _RADIUS_PX

    def __init__(
        self, templates: tuple[tuple[float, float], ...], **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.templates = tuple((scale, decay) for scale, decay in templates)
        self._radii, self._counts, image = _rings_of_pixels()
        self._basis = _radial_basis(self._radii, self._counts)
        kernels = np.where(image[..., None] >= 0, self._basis[image], 0)
        # Their rows as channels: three times as fast as one channel in or out.
        self._analysis = kernels.transpose(1, 0, 2)[None].astype(np.float32)
        self._synthesis = self._analysis.transpose(0, 1, 3, 2)
        # Slices would do it as well, but for what their gradients take.
        shifts = np.eye(_SIDE_PX, dtype=np.float32)
        self._shifts = shifts[:, None, None, :]
        self._sum = shifts[:, None, :, None]

    # By the names of the call's arguments, as Keras has it.
    def build(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, maps_shape: Shape, ring_shape: Shape
    ) -> None:
        """There are no weights; shown as built in a summary."""
        del maps_shape, ring_shape
        self.built = True

    def compute_output_shape(
        self, maps_shape: Shape, ring_shape: Shape
    ) -> Shape:
        """[N, H, W, 3 len(templates)]."""
        del ring_shape
        return (*maps_shape, 3 * len(self.templates))

    def call(self, maps: tf.Tensor, ring: tf.Tensor) -> tf.Tensor:
        """See the class."""
        rows = self._convolved(ops.expand_dims(maps, -1), self._shifts)
        seen = self._convolved(rows, self._analysis)
        answers = _mixed(ops.cast(seen, "float32"), self._factors(ring))
        squares = ops.square(answers)
        count = len(self.templates)
        size = ops.sqrt(squares[..., :count] + squares[..., count:] + 1e-6)
        # The root's own small constant is no answer either.
        known = ops.cast(ring > 0, "float32")[:, None, None, None]
        return ops.concatenate([answers, size * known], axis=-1)

    def paint(self, amplitudes: tf.Tensor, ring: tf.Tensor) -> tf.Tensor:
        """Maps of rings, the transpose of the answers.

        Args:
            amplitudes: of the two quadratures of a ring of every template
                around every pixel, [N, H, W, 2 len(templates)].
            ring: see the class.

        Returns:
            [N, H, W]; 0 where q is unknown.
        """
        factors = ops.transpose(self._factors(ring), (0, 2, 1))
        mixed = _mixed(amplitudes, factors)
        # The kernels are even: convolution and correlation are the same.
        rows = ops.cast(self._convolved(mixed, self._synthesis), "float32")
        return ops.conv(rows, self._sum, padding="same")[..., 0]

    def _convolved(self, images: tf.Tensor, kernel: np.ndarray) -> tf.Tensor:
        """What most of the time goes into, so in the compute dtype."""
        dtype = self.compute_dtype
        images, kernel = (ops.cast(x, dtype) for x in (images, kernel))
        return ops.conv(images, kernel, padding="same")

    def _factors(self, ring: tf.Tensor) -> tf.Tensor:
        """Of each map's templates in the basis, [N, rank, 2 templates]."""
        known = ops.cast(ring > 0, "float32")  # NaN is not
        ring = ops.where(ring > 0, ring, ops.ones_like(ring))
        scales, decays = np.array(self.templates, np.float32).T
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

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "templates": self.templates}


def _mixed(images: tf.Tensor, factors: tf.Tensor) -> tf.Tensor:
    """Channels [N, H, W, c] of each image mixed by its own [N, c, d]."""
    n, height, width, channels = ops.shape(images)
    flat = ops.reshape(images, (n, height * width, channels))
    mixed = ops.matmul(flat, factors)
    # The number is known, and the tools that convert a model need it.
    return ops.reshape(mixed, (n, height, width, factors.shape[-1]))


def _envelope(radius: np.ndarray, decay: np.ndarray) -> np.ndarray:
    return ((radius + _CUTOFF_PX) ** -decay).astype(np.float32)


def _rings_of_pixels() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Radii that occur, how often, and which one each pixel has (-1: none)."""
    axis = np.arange(-_RADIUS_PX, _RADIUS_PX + 1)
    square = axis[:, None] ** 2 + axis[None] ** 2
    inside = square <= _RADIUS_PX**2
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
    basis = np.linalg.svd(templates, full_matrices=False)[0][:, :_RANK]
    return (basis / root).astype(np.float32)


WAVES = ((1.0, 1.0), (1.0, 2.0))
"""A scatterer's ring and Eq. 3's, see `RingTemplates`."""


@keras.saving.register_keras_serializable("stm_keras")
class Explained(layers.Layer):
    """One round of matching pursuit, with learnt amplitudes.

    Rings of neighbours overlap, and which of two rings a pixel belongs to no
    single map can tell. Where all maps together make an impurity likely, each
    map's own ring around it is taken off, and the templates are asked again.
    It sees rings that fall off as 1/r (a scatterer) and as 1/r^2 (Eq. 3 of
    arXiv:2006.15898).

    Call arguments:
        maps: standardised, [N, H, W].
        ring: q = 2k of each map [rad/px], [N]; 0 or NaN where unknown.
        features: of each map, [N, H, W, c].
        probability: of an impurity that belongs to the pixel, [N, H, W, 1].

    Returns:
        [N, H, W, 7]: what is left of the map, and the templates' answers to
        it; the map itself and no answers where q is unknown.
    """

    channels = 7

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        policy = self.dtype_policy
        self.templates = RingTemplates(WAVES, name="templates", dtype=policy)
        # Small at first: nothing is taken off before there is a reason.
        small: Any = keras.initializers.RandomNormal(stddev=0.02)
        self.amplitude = layers.Conv2D(
            2 * len(WAVES),
            1,
            kernel_initializer=small,
            name="amplitude",
            dtype=policy,
        )

    def build(self, input_shape: Shape) -> None:
        """Make the weights; `input_shape` is that of the features."""
        self.templates.build((None, None, None), (None,))
        self.amplitude.build(input_shape)
        self.built = True

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        """[N, H, W, 7]; `input_shape` is that of the features."""
        return (*input_shape[:-1], self.channels)

    def call(
        self,
        maps: tf.Tensor,
        ring: tf.Tensor,
        features: tf.Tensor,
        probability: tf.Tensor,
    ) -> tf.Tensor:
        """See the class."""
        amplitudes = ops.cast(self.amplitude(features), "float32") * probability
        left = maps - self.templates.paint(amplitudes, ring)
        answers = self.templates(left, ring)
        return ops.concatenate([ops.expand_dims(left, -1), answers], axis=-1)


class Stacked(NamedTuple):
    """Maps of a batch, one after the other; N = B V.

    Attributes:
        maps: [N, H, W].
        ring: q = 2k of each [rad/px], [N]; 0 or NaN where unknown.
        held: 1 where a pixel was measured, [N, H, W, 1].
        shape: B, V, H, W.
    """

    maps: tf.Tensor
    ring: tf.Tensor
    held: tf.Tensor
    shape: tuple[Any, Any, Any, Any]

    def by_map(self, features: tf.Tensor) -> tf.Tensor:
        """Features [N, H, W, c] of the maps as [B, V, H, W, c]."""
        return ops.reshape(features, (*self.shape, features.shape[-1]))

    def for_every(self, joint: tf.Tensor) -> tf.Tensor:
        """[B, H, W, c] repeated for the maps of each stack, [N, H, W, c]."""
        each = (*self.shape, ops.shape(joint)[-1])
        repeated = ops.broadcast_to(ops.expand_dims(joint, 1), each)
        return ops.reshape(repeated, (each[0] * each[1], *each[2:]))

    def many(self, like: Tensor) -> tf.Tensor:
        """Logarithm of the number of maps at every pixel, [B, H, W, 1].

        Args:
            like: features [B, H, W, c].
        """
        count = ops.cast(self.shape[1], "float32")
        count = ops.minimum(count, float(MOST_MAPS))
        one = ops.ones_like(like[..., :1])
        return ops.cast(ops.log(count), one.dtype) * one


def stacked(
    maps: tf.Tensor, measured: tf.Tensor, ring: tf.Tensor | None
) -> Stacked:
    """Lay a batch out map by map.

    Args:
        maps: [B, V, H, W].
        measured: 1 where a pixel was measured, else 0, [B, V, H, W].
        ring: q = 2k [rad/px], [B, V]; None where none is known.
    """
    batch, voltages, height, width = shape = ops.shape(maps)
    if ring is None:
        ring = ops.zeros((batch, voltages))
    n = batch * voltages
    return Stacked(
        ops.reshape(maps, (n, height, width)),
        ops.reshape(ring, (n,)),
        ops.reshape(measured, (n, height, width, 1)),
        shape,
    )
