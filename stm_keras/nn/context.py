"""A network whose view spans several rings, and that says how sure it is."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.attention import VoltageAttention
from stm_keras.nn.detection_loss import count_loss, position_loss
from stm_keras.nn.detection_output import (
    UNCALIBRATED,
    detection_output,
    rare_at_first,
)
from stm_keras.nn.dilated_block import DilatedBlock
from stm_keras.nn.ring_bank import RingBank
from stm_keras.nn.ring_embedding import RingEmbedding
from stm_keras.nn.standardization import MapStandardization
from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class Context(layers.Layer):
    """From maps to impurities: probability, place and their deviations.

    A light encoder, shared over the voltages and told the wave number of each
    map, sees several rings through dilated convolutions. Attention over the
    voltages (arXiv:2006.15898, Eq. 1) joins what it found; a wider decoder
    then runs once, whatever the number of maps. No layer depends on the
    image's size, the number of maps or their order.

    Args:
        filters: channels of the encoder.
        dilations: of its blocks [px].
        decoder_filters: channels of the value and the decoder.
        decoder_dilations: of its blocks [px].
        attention_filters: channels of query and key.
        embedding_units: features of a map's wave number.
        bank: factors of the told 2k whose ring templates' answers the
            encoder is given beside the map, see `RingBank`; none if empty.
        calibration: slope and offset of the logit, and factor of the standard
            deviations, that made them true on held-out fields; each with its
            change for every doubling of the number of maps. Not used in
            training.

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
        with `return_weights` also c, see `VoltageAttention`.
    """

    def __init__(
        self,
        filters: int = 16,
        dilations: tuple[int, ...] = (1, 2, 4, 6),
        decoder_filters: int = 48,
        decoder_dilations: tuple[int, ...] = (1, 2, 4, 8, 4, 2, 1, 1),
        attention_filters: int = 8,
        embedding_units: int = 24,
        bank: tuple[float, ...] = (0.93, 1.0, 1.07),
        calibration: tuple[float, ...] = UNCALIBRATED,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        for name, sizes in (
            ("filters", (filters,)),
            ("dilations", dilations),
            ("decoder_filters", (decoder_filters,)),
            ("decoder_dilations", decoder_dilations),
            ("attention_filters", (attention_filters,)),
            ("embedding_units", (embedding_units,)),
        ):
            if min(sizes, default=0) < 1:
                raise ValueError(
                    f"`{name}` must be >= 1. Received: {name}={sizes}"
                )
        self.filters = filters
        self.dilations = tuple(dilations)
        self.decoder_filters = decoder_filters
        self.decoder_dilations = tuple(decoder_dilations)
        self.attention_filters = attention_filters
        self.embedding_units = embedding_units
        self.bank = tuple(bank)
        self.calibration = tuple(calibration)
        self.standardization = MapStandardization(name="standardization")
        self.embedding = RingEmbedding(embedding_units, name="embedding")
        self.ring_bank = RingBank(bank, name="ring_bank") if bank else None
        self.stem = layers.Conv2D(filters, 3, padding="same", name="stem")
        self.encoder = [
            DilatedBlock(filters, dilation, True, name=f"encoder_{i}")
            for i, dilation in enumerate(self.dilations)
        ]
        self.query = layers.Conv2D(attention_filters, 1, name="query")
        self.key = layers.Conv2D(attention_filters, 1, name="key")
        self.value = layers.Conv2D(decoder_filters, 1, name="value")
        self.attention = VoltageAttention("pixel", name="attention")
        self.join = layers.Conv2D(decoder_filters, 1, name="join")
        self.decoder = [
            DilatedBlock(decoder_filters, dilation, name=f"decoder_{i}")
            for i, dilation in enumerate(self.decoder_dilations)
        ]
        initializer: Any = rare_at_first  # typed as a name by Keras
        self.head = layers.Conv2D(
            5,
            3,
            padding="same",
            bias_initializer=initializer,
            name="head",
        )

    @property
    def reach_px(self) -> int:
        """How far away [px] a pixel can be to count for an output."""
        bank = self.ring_bank.radius_px if self.ring_bank else 0
        return 2 + bank + sum(self.dilations) + sum(self.decoder_dilations)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the sublayers' weights."""
        del input_shape  # no weight depends on it
        self.embedding.build((None, None))
        self.stem.build((None, None, None, 2 + 3 * len(self.bank)))
        encoded = (None, None, None, self.filters)
        for block in self.encoder:
            block.build(encoded, (None, self.embedding_units))
        for layer in (self.query, self.key, self.value):
            layer.build(encoded)
        joined = (None, None, None, self.decoder_filters)
        # Attention's mean over the voltages, and how many they were.
        self.join.build((None, None, None, self.decoder_filters + 1))
        for block in self.decoder:
            block.build(joined)
        self.head.build(joined)
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
        total, weights = self._attend(maps, present, ring, training)
        calibration = UNCALIBRATED if training else self.calibration
        raw = self.head(self._decode(total))
        output = detection_output(raw, ops.shape(maps)[1], calibration)
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
            it ends with, [B, 2 decoder_filters + 1].
        """
        measured = ops.cast(ops.logical_not(ops.isnan(maps)), "float32")
        total, _ = self._attend(self.standardization(maps), measured, ring)
        features = ops.concatenate([total, self._decode(total)], axis=-1)
        return ops.mean(features, axis=(1, 2))

    def _decode(self, total: tf.Tensor) -> tf.Tensor:
        """What the head takes, [B, H, W, decoder_filters]."""
        features = self.join(total)
        for block in self.decoder:
            features = block(features)
        return ops.relu(features)

    def _attend(
        self,
        maps: tf.Tensor,
        measured: tf.Tensor,
        ring: tf.Tensor | None,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Encode every map and join them: [B, H, W, d + 1], and c."""
        batch, voltages, height, width = ops.shape(maps)
        if ring is None:
            ring = ops.zeros((batch, voltages))
        every = batch * voltages, height, width
        shown = [ops.stack([maps, measured], axis=-1)]
        shown[0] = ops.reshape(shown[0], (*every, 2))
        if self.ring_bank is not None:
            own = ops.reshape(ring, (-1,))
            shown.append(self.ring_bank(ops.reshape(maps, every), own))
        features = self.stem(ops.concatenate(shown, axis=-1))
        embedding = ops.reshape(
            self.embedding(ring), (batch * voltages, self.embedding_units)
        )
        for block in self.encoder:
            features = block(features, embedding)
        features = ops.relu(features)
        query, key, value = (
            ops.reshape(
                layer(features), (batch, voltages, height, width, layer.filters)
            )
            for layer in (self.query, self.key, self.value)
        )
        total, weights = self.attention(query, key, value, training=training)
        count = ops.cast(voltages, "float32")
        many = ops.log(count) * ops.ones_like(total[..., :1])
        return ops.concatenate([total / count, many], axis=-1), weights

    def answer(
        self, maps: tf.Tensor, ring: tf.Tensor | None, training: bool | None
    ) -> tf.Tensor:
        """The output [B, H, W, 5] of a batch."""
        return self(maps, ring, training=training)

    def loss(self, output: tf.Tensor, data: dict[str, tf.Tensor]) -> tf.Tensor:
        """-ln of the likelihood of `data["positions"]`, [B], in nat."""
        positions = data["positions"]
        probability = ops.sigmoid(self.score(output))
        return count_loss(probability, positions) + position_loss(
            output, positions
        )

    def score(self, output: tf.Tensor) -> tf.Tensor:
        """S, the logit of the probability, [B, H, W]."""
        return ops.take(output, 0, axis=-1)

    @property
    def sizes(self) -> dict[str, Any]:
        """What decides the number of weights."""
        return {
            "filters": self.filters,
            "dilations": self.dilations,
            "decoder_filters": self.decoder_filters,
            "decoder_dilations": self.decoder_dilations,
            "attention_filters": self.attention_filters,
            "embedding_units": self.embedding_units,
            "bank": self.bank,
        }

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        calibration = {"calibration": self.calibration}
        return {**super().get_config(), **self.sizes, **calibration}
