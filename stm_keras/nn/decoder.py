"""From features of all maps together to an answer per pixel."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.detection_output import rare_at_first
from stm_keras.nn.dilated_block import DilatedBlock
from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class Decoder(layers.Layer):
    """Dilated blocks and a head, once, whatever the number of maps.

    Args:
        filters: channels.
        dilations: of the blocks [px].

    Call arguments:
        joined: features of all maps together, [B, H, W, c].

    Returns:
        What the head takes, [B, H, W, filters], and its raw numbers, see
        `detection_output`, [B, H, W, 5].
    """

    def __init__(
        self, filters: int, dilations: tuple[int, ...], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.dilations = tuple(dilations)
        self.join = layers.Conv2D(filters, 1, name="join")
        self.blocks = [
            DilatedBlock(filters, dilation, name=f"block_{i}")
            for i, dilation in enumerate(self.dilations)
        ]
        initializer: Any = rare_at_first  # typed as a name by Keras
        self.head = layers.Conv2D(
            5, 3, padding="same", bias_initializer=initializer, name="head"
        )

    @property
    def reach_px(self) -> int:
        """How far away [px] a pixel can be to count for an answer."""
        return 1 + sum(self.dilations)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the sublayers' weights."""
        self.join.build(input_shape)
        inner = (None, None, None, self.filters)
        for block in self.blocks:
            block.build(inner)
        self.head.build(inner)
        self.built = True

    def call(self, joined: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """See the class."""
        features = self.join(joined)
        for block in self.blocks:
            features = block(features)
        features = ops.relu(features)
        return features, self.head(features)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilations": self.dilations,
        }
