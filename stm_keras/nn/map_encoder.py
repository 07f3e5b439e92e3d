"""Features of single maps, by the same weights for every map."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.dilated_block import DilatedBlock
from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class MapEncoder(layers.Layer):
    """A convolution and dilated blocks, told of each map's wave number.

    Args:
        filters: channels.
        dilations: of the blocks [px].

    Call arguments:
        shown: what there is to see of each map, [N, H, W, c].
        embedding: of its wave number, [N, units].

    Returns:
        [N, H, W, filters], none negative.
    """

    def __init__(
        self, filters: int, dilations: tuple[int, ...], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.filters = filters
        self.dilations = tuple(dilations)
        self.stem = layers.Conv2D(filters, 3, padding="same", name="stem")
        self.blocks = [
            DilatedBlock(filters, dilation, True, name=f"block_{i}")
            for i, dilation in enumerate(self.dilations)
        ]

    @property
    def reach_px(self) -> int:
        """How far away [px] a pixel can be to count for a feature."""
        return 1 + sum(self.dilations)

    def build(
        self,
        input_shape: tuple[int | None, ...],
        embedding_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        """Make the sublayers' weights."""
        self.stem.build(input_shape)
        for block in self.blocks:
            block.build((None, None, None, self.filters), embedding_shape)
        self.built = True

    def call(self, shown: tf.Tensor, embedding: tf.Tensor) -> tf.Tensor:
        """See the class."""
        features = self.stem(shown)
        for block in self.blocks:
            features = block(features, embedding)
        return ops.relu(features)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "dilations": self.dilations,
        }
