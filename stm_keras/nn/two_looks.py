"""The two looks of the network `Context` at a stack of maps."""

from typing import Any

import tensorflow as tf
from keras import layers

from stm_keras.nn.attention import VoltageAttention
from stm_keras.nn.context_sizes import ContextSizes
from stm_keras.nn.decoder import Decoder
from stm_keras.nn.explained import WAVES, Explained
from stm_keras.nn.map_encoder import MapEncoder
from stm_keras.nn.ring_embedding import RingEmbedding
from stm_keras.nn.ring_templates import RingTemplates
from stm_keras.nn.stacked import Stacked, stacked
from stm_keras.nn.standardization import MapStandardization
from stm_keras.nn.untyped import Tensor, ops


class TwoLooks(layers.Layer):
    """The layers of `Context`, and how maps go through them.

    Args:
        sizes: of the layers.
        **kwargs: of every Keras layer.
    """

    def __init__(self, sizes: ContextSizes, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.own = own = sizes
        self.standardization = MapStandardization(name="standardization")
        self.embedding = RingEmbedding(own.embedding_units, name="embedding")
        self.templates = RingTemplates(
            (*((scale, 1.0) for scale in own.bank), WAVES[1]), name="templates"
        )
        self.encoder = MapEncoder(own.filters, own.dilations, name="encoder")
        self.seen = layers.Conv2D(own.first_filters, 1, name="seen")
        self.first = Decoder(
            own.first_filters, own.first_dilations, name="first"
        )
        self.told = layers.Conv2D(own.told_filters, 1, name="told")
        self.explained = Explained(name="explained")
        self.second = MapEncoder(
            own.filters, own.second_dilations, name="second"
        )
        self.query = layers.Conv2D(own.attention_filters, 1, name="query")
        self.key = layers.Conv2D(own.attention_filters, 1, name="key")
        self.value = layers.Conv2D(own.decoder_filters, 1, name="value")
        self.attention = VoltageAttention("pixel", name="attention")
        self.decoder = Decoder(
            own.decoder_filters, own.decoder_dilations, name="decoder"
        )

    @property
    def reach_px(self) -> int:
        """How far away [px] a pixel can be to count for an output."""
        rings = self.templates.radius_px
        first = rings + self.encoder.reach_px
        again = self.first.reach_px + 2 * rings + self.second.reach_px
        return first + again + self.decoder.reach_px

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the sublayers' weights."""
        del input_shape  # no weight depends on it
        own = self.own
        any_image = (None, None, None)
        embedding = (None, own.embedding_units)
        encoded = (*any_image, own.filters)
        self.embedding.build((None, None))
        answers = 3 * len(self.templates.templates)
        self.encoder.build((*any_image, 2 + answers), embedding)
        self.seen.build(encoded)
        # The mean over the voltages, and how many they were.
        self.first.build((*any_image, own.first_filters + 1))
        self.told.build((*any_image, own.first_filters + 1))
        known = own.filters + own.told_filters
        self.explained.build((*any_image, known))
        shown = known + 1 + self.explained.channels
        self.second.build((*any_image, shown), embedding)
        for layer in (self.query, self.key, self.value):
            layer.build(encoded)
        joined = own.decoder_filters + own.first_filters + 1
        self.decoder.build((*any_image, joined))
        self.built = True

    def describe(
        self, maps: tf.Tensor, ring: tf.Tensor | None = None
    ) -> tf.Tensor:
        """What the maps look like to the network.

        Args:
            maps: see the class.
            ring: see the class.

        Returns:
            Means over the frame of what the decoder starts from and of what
            it ends with, [B, 2 decoder_filters + first_filters + 1].
        """
        measured = ops.cast(ops.logical_not(ops.isnan(maps)), "float32")
        maps = self.standardization(maps)
        joined, _, _ = self.joined(maps, measured, ring)
        features = [joined, self.decoder(joined)[0]]
        return ops.mean(ops.concatenate(features, axis=-1), axis=(1, 2))

    def joined(
        self,
        maps: tf.Tensor,
        measured: tf.Tensor,
        ring: tf.Tensor | None,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """What the decoder starts from, the first look's answer, and c."""
        stack = stacked(maps, measured, ring)
        embedding = self.embedding(stack.ring)
        features, seen, first = self._first_look(stack, embedding)
        total, weights = self._second_look(
            stack, embedding, features, seen, first, training
        )
        joined = ops.concatenate([total, seen, stack.many(seen)], axis=-1)
        return joined, first, weights

    def _first_look(
        self, stack: Stacked, embedding: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Features of each map, what they say together, and its answer."""
        answers = self.templates(stack.maps, stack.ring)
        shown = [ops.expand_dims(stack.maps, -1), stack.held, answers]
        features = self.encoder(ops.concatenate(shown, axis=-1), embedding)
        mean = ops.mean(stack.by_map(self.seen(features)), axis=1)
        shown = [mean, stack.many(mean)]
        seen, first = self.first(ops.concatenate(shown, axis=-1))
        return features, seen, first

    def _second_look(
        self,
        stack: Stacked,
        embedding: tf.Tensor,
        features: tf.Tensor,
        seen: tf.Tensor,
        first: Tensor,
        training: bool | None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Features of all maps, rings taken off, joined; and c."""
        chance = ops.sigmoid(first[..., :1])
        told = self.told(ops.concatenate([seen, chance], axis=-1))
        known = [features, stack.for_every(told)]
        left = self.explained(
            stack.maps,
            stack.ring,
            ops.concatenate(known, axis=-1),
            stack.for_every(chance),
        )
        shown = ops.concatenate([*known, stack.held, left], axis=-1)
        features = self.second(shown, embedding)
        query, key, value = (
            stack.by_map(layer(features))
            for layer in (self.query, self.key, self.value)
        )
        total, weights = self.attention(query, key, value, training=training)
        return total / ops.cast(stack.shape[1], "float32"), weights
