"""A network whose view spans several rings, and that says how sure it is."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.attention import VoltageAttention
from stm_keras.nn.context_sizes import ContextSizes
from stm_keras.nn.decoder import Decoder
from stm_keras.nn.detection_loss import detection_loss
from stm_keras.nn.detection_output import (
    UNCALIBRATED,
    as_calibration,
    detection_output,
)
from stm_keras.nn.explained import WAVES, Explained
from stm_keras.nn.map_encoder import MapEncoder
from stm_keras.nn.ring_embedding import RingEmbedding
from stm_keras.nn.ring_templates import RingTemplates
from stm_keras.nn.stacked import Stacked, stacked
from stm_keras.nn.standardization import MapStandardization
from stm_keras.nn.untyped import Tensor, ops

LEAST_FRAME_PX = 16
"""In a smaller frame the network would see little but its edge."""

_FIRST_LOOK_SHARE = 0.3
"""Weight of the first look's loss beside the last one's."""


@keras.saving.register_keras_serializable("stm_keras")
class Context(layers.Layer):
    """From maps to impurities: probability, place and their deviations.

    It looks twice. A light encoder, shared over the voltages and told the wave
    number of each map, sees several rings through dilated convolutions and
    ring templates. The mean over the voltages gives a first answer, from which
    each map is explained: the rings of what is likely there are taken off. A
    second encoder sees what is left beside what was; attention over the
    voltages (arXiv:2006.15898, Eq. 1) joins its features, and a wider decoder
    gives the answer. No layer depends on the image's size, the number of maps
    or their order.

    Args:
        calibration: what made probabilities and standard deviations true on
            held-out fields, see `Calibration`. Not used in training.
        **sizes: see `ContextSizes`.

    Call arguments:
        maps: [B, V, H, W], any unit, NaN where not measured.
        ring: 2k of each map [rad/px], [B, V]; 0 or NaN where unknown; None
            where none is known.
        return_weights: also give the attention weights.
        standardised: the maps went through `MapStandardization` already.
        measured: with `standardised`, 1 where a pixel was measured and 0
            elsewhere, [B, V, H, W]; None where all were. Otherwise NaN tell.

    Returns:
        [B, H, W, 5]: the logit of the probability of an impurity that belongs
        to this pixel (which is the score S), its row and column offsets from
        the pixel's centre [px], and the standard deviations of the two [px];
        with `return_weights` also c, see `VoltageAttention`. In training the
        first look's five follow, [B, H, W, 10].
    """

    def __init__(
        self,
        calibration: Sequence[float] = UNCALIBRATED,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        **sizes: Any,
    ) -> None:
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.own = ContextSizes(**sizes)
        self.calibration = as_calibration(calibration)
        own = self.own
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

    def call(
        self,
        maps: tf.Tensor,
        ring: tf.Tensor | None = None,
        training: bool | None = None,
        return_weights: bool = False,
        standardised: bool = False,
        measured: tf.Tensor | None = None,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """See the class."""
        present: tf.Tensor = ops.cast(ops.isfinite(maps), "float32")
        if standardised and measured is not None:
            present = measured
        if not standardised:
            maps = self.standardization(maps)
        joined, first, weights = self._joined(maps, present, ring, training)
        calibration = UNCALIBRATED if training else self.calibration
        count = ops.shape(maps)[1]
        output = detection_output(self.decoder(joined)[1], count, calibration)
        if training:
            early = detection_output(first, count, UNCALIBRATED)
            output = ops.concatenate([output, early], axis=-1)
        return (output, weights) if return_weights else output

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
        joined, _, _ = self._joined(maps, measured, ring)
        features = [joined, self.decoder(joined)[0]]
        return ops.mean(ops.concatenate(features, axis=-1), axis=(1, 2))

    def _joined(
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

    @property
    def sizes(self) -> dict[str, Any]:
        """What decides the number of weights."""
        return self.own.as_dict()

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        calibration = {"calibration": self.calibration}
        return {**super().get_config(), **self.sizes, **calibration}
