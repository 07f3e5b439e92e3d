"""Features of the wave number of a map."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stm_keras.nn.untyped import ops

_RING_CENTRES = np.linspace(0.5, 2.3, 10, dtype=np.float32)
_RING_WIDTH = 0.2


@keras.saving.register_keras_serializable("stm_keras")
class RingEmbedding(layers.Layer):
    """Features of the wave number 2k of a map.

    Gaussians over the range that the network is trained on, and one feature
    that tells whether 2k is known at all.

    Args:
        units: number of features.

    Call arguments:
        ring: 2k [rad/px], [B, V]; 0 or NaN where unknown.

    Returns:
        [B, V, units].
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.units = units
        self.projection = layers.Dense(units, activation="relu", name="dense")

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the projection's weights."""
        del input_shape
        self.projection.build((None, None, len(_RING_CENTRES) + 1))
        self.built = True

    def call(self, ring: tf.Tensor) -> tf.Tensor:
        """See the class."""
        ring = ops.expand_dims(ops.cast(ring, self.compute_dtype), -1)
        known = ops.cast(ring > 0, ring.dtype)  # NaN is not
        ring = ops.where(known > 0, ring, ops.zeros_like(ring))
        bumps = ops.exp(-0.5 * ((ring - _RING_CENTRES) / _RING_WIDTH) ** 2)
        return self.projection(ops.concatenate([known, known * bumps], -1))

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "units": self.units}
