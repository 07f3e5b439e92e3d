"""A residual block with a dilated convolution."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class DilatedBlock(layers.Layer):
    """x + conv(relu(scale x + shift)), the convolution dilated.

    Args:
        filters: channels, in and out.
        dilation: of the 3 x 3 convolution [px].
        conditioned: whether scale and shift follow from an embedding; they
            are 1 and 0 otherwise.

    Call arguments:
        features: [N, H, W, filters].
        embedding: [N, units], needed where `conditioned`.

    Returns:
        [N, H, W, filters].
    """

    def __init__(
        self,
        filters: int,
        dilation: int = 1,
        conditioned: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.dilation = dilation
        self.conditioned = conditioned
        self.convolution = layers.Conv2D(
            filters,
            3,
            padding="same",
            dilation_rate=dilation,
            kernel_initializer="he_normal",
            name="convolution",
        )
        self.modulation = (
            layers.Dense(2 * filters, name="modulation")
            if conditioned
            else None
        )

    def build(
        self,
        input_shape: tuple[int | None, ...],
        embedding_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        """Make the sublayers' weights."""
        self.convolution.build(input_shape)
        if self.modulation is not None:
            self.modulation.build(embedding_shape)
        self.built = True

    def call(
        self, features: tf.Tensor, embedding: tf.Tensor | None = None
    ) -> tf.Tensor:
        """See the class."""
        inner = features
        if self.modulation is not None:
            change = self.modulation(embedding)[:, None, None, :]
            scale, shift = ops.split(change, 2, axis=-1)
            inner = features * (1 + scale) + shift
        return features + self.convolution(ops.relu(inner))

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilation": self.dilation,
            "conditioned": self.conditioned,
        }
