"""What a map looks like once the rings of the likely impurities are gone."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.ring_templates import RingTemplates
from stm_keras.nn.untyped import ops

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
        ring: 2k of each map [rad/px], [N]; 0 or NaN where unknown.
        features: of each map, [N, H, W, c].
        probability: of an impurity that belongs to the pixel, [N, H, W, 1].

    Returns:
        [N, H, W, 7]: what is left of the map, and the templates' answers to
        it; the map itself and no answers where 2k is unknown.
    """

    channels = 7

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.templates = RingTemplates(WAVES, name="templates")
        # Small at first: nothing is taken off before there is a reason.
        small: Any = keras.initializers.RandomNormal(stddev=0.02)
        self.amplitude = layers.Conv2D(
            2 * len(WAVES),
            1,
            kernel_initializer=small,
            name="amplitude",
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the weights; `input_shape` is that of the features."""
        self.amplitude.build(input_shape)
        self.built = True

    def call(
        self,
        maps: tf.Tensor,
        ring: tf.Tensor,
        features: tf.Tensor,
        probability: tf.Tensor,
    ) -> tf.Tensor:
        """See the class."""
        amplitudes = self.amplitude(features) * probability
        left = maps - self.templates.paint(amplitudes, ring)
        answers = self.templates(left, ring)
        return ops.concatenate([ops.expand_dims(left, -1), answers], axis=-1)
