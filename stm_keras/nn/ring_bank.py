"""How well rings of a map's own wave number fit around every pixel."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stm_keras.nn.untyped import ops

_CORE_PX = 1.0
"""Within it the envelope is level: waves do not hold there."""


@keras.saving.register_keras_serializable("stm_keras")
class RingBank(layers.Layer):
    """Answers of ring templates, whatever the phase of the ring.

    A point scatterer leaves Re[C exp(2 i k r) / r] far from it, C having an
    unknown phase (G. A. Fiete and E. J. Heller, Rev. Mod. Phys. 75, 933
    (2003)). A map's correlation with cos(2kr)/r and sin(2kr)/r says how much
    of such a ring there is around a pixel, and with which phase: what a few
    small convolutions would have to learn, coherent over many pixels. It has
    no weights.

    Args:
        scales: factors of the told 2k, for it may be told wrongly.
        radius_px: reach of the templates [px].

    Call arguments:
        maps: standardised, [N, H, W].
        ring: 2k of each map [rad/px], [N]; 0 or NaN where unknown.

    Returns:
        [N, H, W, 3 len(scales)]: the two quadratures of each answer and its
        size; 0 where 2k is unknown. White noise of unit variance gives sizes
        of unit mean square.
    """

    def __init__(
        self, scales: tuple[float, ...], radius_px: int = 12, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.scales = tuple(scales)
        self.radius_px = radius_px
        offset = np.arange(-radius_px, radius_px + 1, dtype=np.float32)
        self.distance = np.hypot(offset[:, None], offset[None])
        inside = self.distance <= radius_px
        self.envelope = inside / np.maximum(self.distance, _CORE_PX)

    def call(self, maps: tf.Tensor, ring: tf.Tensor) -> tf.Tensor:
        """See the class."""
        kernels = ops.stop_gradient(self._kernels(ring))
        # Every map has kernels of its own: as the channels of one image.
        image = ops.transpose(maps, (1, 2, 0))[None]
        answers = ops.depthwise_conv(image, kernels, padding="same")
        height, width, n = ops.shape(image)[1:]
        answers = ops.reshape(answers, (height, width, n, -1, 2))
        size = ops.sqrt(ops.sum(answers**2, axis=-1, keepdims=True) + 1e-6)
        each = ops.concatenate([answers, size], axis=-1)
        count = 3 * len(self.scales)
        each = ops.reshape(each, (height, width, n, count))
        known = ops.cast(ring > 0, maps.dtype)  # NaN is not
        return ops.transpose(each, (2, 0, 1, 3)) * known[:, None, None, None]

    def _kernels(self, ring: tf.Tensor) -> tf.Tensor:
        """Templates of zero mean, [h, w, N, 2 len(scales)]."""
        ring = ops.where(ring > 0, ring, ops.ones_like(ring))
        phase = ring[:, None] * np.array(self.scales, np.float32)
        phase = self.distance[:, :, None, None] * phase
        envelope = self.envelope.astype(np.float32)[:, :, None, None, None]
        waves = ops.stack([ops.cos(phase), ops.sin(phase)], axis=-1) * envelope
        # A map's mean and slow background must not answer.
        mean = ops.sum(waves, axis=(0, 1)) / float(self.envelope.sum())
        waves -= mean * envelope
        # Two quadratures share the mean square.
        norm = ops.sqrt(2 * ops.sum(waves**2, axis=(0, 1)))
        shape = (*self.distance.shape, -1, 2 * len(self.scales))
        return ops.reshape(waves / norm, shape)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "scales": self.scales,
            "radius_px": self.radius_px,
        }
