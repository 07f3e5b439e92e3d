"""What a network that detects is to the model that trains it."""

import tensorflow as tf
from keras import layers

from stm_keras.nn.detection_loss import detection_loss
from stm_keras.nn.untyped import ops

_FIRST_LOOK_SHARE = 0.3
"""Weight of the first look's loss beside the last one's."""


class DetectingNetwork(layers.Layer):
    """A layer whose output is that of `Context`; see `ImpurityFinder`."""

    def answer(
        self, maps: tf.Tensor, ring: tf.Tensor | None, training: bool | None
    ) -> tf.Tensor:
        """The output of a batch, see the class."""
        return self(maps, ring, training=training)

    def loss(self, output: tf.Tensor, data: dict[str, tf.Tensor]) -> tf.Tensor:
        """-ln of the likelihood of `data["positions"]`, [B], in nat."""
        positions = data["positions"]
        if output.shape[-1] == 5:
            return detection_loss(output, positions)
        last, first = (
            detection_loss(part, positions) for part in ops.split(output, 2, -1)
        )
        return last + _FIRST_LOOK_SHARE * first

    def score(self, output: tf.Tensor) -> tf.Tensor:
        """S, the logit of the probability, [B, H, W]."""
        return ops.take(output, 0, axis=-1)
