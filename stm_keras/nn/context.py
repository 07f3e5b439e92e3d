"""A network whose view spans several rings, and that says how sure it is."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.layers import (
    Decoder,
    MapEncoder,
    MapStandardization,
    RingEmbedding,
    VoltageAttention,
)
from stm_keras.nn.losses import detection_loss
from stm_keras.nn.output import (
    UNCALIBRATED,
    as_calibration,
    calibrated,
    detection_output,
)
from stm_keras.nn.ring_filters import (
    WAVES,
    Explained,
    RingTemplates,
    Stacked,
    stacked,
)
from stm_keras.nn.untyped import Tensor, ops


@dataclass(frozen=True)
class ContextSizes:
    """Channels and views of `Context`'s parts.

    Attributes:
        filters: channels of both encoders.
        dilations: of the first encoder's blocks [px].
        second_dilations: of the second encoder's blocks [px].
        first_filters: channels of the first look at all maps together.
        first_dilations: of its blocks [px].
        told_filters: how many features of it the second encoder is given.
        decoder_filters: channels of the value and the decoder.
        decoder_dilations: of its blocks [px].
        attention_filters: channels of query and key.
        embedding_units: features of a map's wave number.
        bank: factors of the given q whose ring templates' answers the first
            encoder is given beside the map, see `RingTemplates`.
    """

    filters: int = 16
    dilations: tuple[int, ...] = (1, 2)
    second_dilations: tuple[int, ...] = (1, 2, 4)
    first_filters: int = 32
    first_dilations: tuple[int, ...] = (1, 2, 4)
    told_filters: int = 8
    decoder_filters: int = 40
    decoder_dilations: tuple[int, ...] = (1, 2, 4, 8, 2, 1)
    attention_filters: int = 8
    embedding_units: int = 24
    bank: tuple[float, ...] = (0.93, 1.0, 1.07)

    def __post_init__(self) -> None:
        for name, value in dataclasses.asdict(self).items():
            sizes = value if isinstance(value, list | tuple) else (value,)
            if not min(sizes, default=0) > 0:
                raise ValueError(
                    f"`{name}` must be positive. Received: {name}={value}"
                )
            if isinstance(value, list):  # as JSON gives it back
                object.__setattr__(self, name, tuple(value))

    def as_dict(self) -> dict[str, Any]:
        """The attributes by name."""
        return dataclasses.asdict(self)


class TwoStages(layers.Layer):
    """The layers of `Context`, and how maps go through them.

    Args:
        sizes: of the layers.
        **kwargs: of every Keras layer.
    """

    def __init__(self, sizes: ContextSizes, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.own = own = sizes
        policy: dict[str, Any] = {"dtype": self.dtype_policy}
        self.standardization = MapStandardization(name="standardization")
        self.embedding = RingEmbedding(own.embedding_units, name="embedding")
        templates = (*((scale, 1.0) for scale in own.bank), WAVES[1])
        self.templates = RingTemplates(templates, name="templates", **policy)
        self.encoder = MapEncoder(
            own.filters, own.dilations, name="encoder", **policy
        )
        self.seen = layers.Conv2D(own.first_filters, 1, name="seen", **policy)
        self.first = Decoder(
            own.first_filters, own.first_dilations, name="first", **policy
        )
        self.told = layers.Conv2D(own.told_filters, 1, name="told", **policy)
        self.explained = Explained(name="explained", **policy)
        self.second = MapEncoder(
            own.filters, own.second_dilations, name="second", **policy
        )
        units = own.attention_filters
        self.query = layers.Conv2D(units, 1, name="query", **policy)
        self.key = layers.Conv2D(units, 1, name="key", **policy)
        self.value = layers.Conv2D(
            own.decoder_filters, 1, name="value", **policy
        )
        self.attention = VoltageAttention("pixel", name="attention", **policy)
        self.decoder = Decoder(
            own.decoder_filters,
            own.decoder_dilations,
            name="decoder",
            **policy,
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
        """Features of the maps, as the network has them.

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
        values = ops.cast(ops.concatenate(features, axis=-1), "float32")
        return ops.mean(values, axis=(1, 2))

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
        features = self.encoder(self._side_by_side(shown), embedding)
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
        told = self.told(self._side_by_side([seen, chance]))
        known = [features, stack.for_every(told)]
        left = self.explained(
            stack.maps,
            stack.ring,
            ops.concatenate(known, axis=-1),
            stack.for_every(chance),
        )
        shown = self._side_by_side([*known, stack.held, left])
        features = self.second(shown, embedding)
        query, key, value = (
            stack.by_map(layer(features))
            for layer in (self.query, self.key, self.value)
        )
        total, weights = self.attention(query, key, value, training=training)
        return total / ops.cast(stack.shape[1], total.dtype), weights

    def _side_by_side(self, features: list[Tensor]) -> tf.Tensor:
        """Joined along the channels, in the dtype that convolutions take."""
        same = [ops.cast(part, self.compute_dtype) for part in features]
        return ops.concatenate(same, axis=-1)


N_ROTATIONS = 4

Answer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From maps and where they were measured, both [B, V, H, W], and q = 2k
[B, V] to an answer as of `Context`, [B, H, W, 5]."""

_ROWS, _COLS = 2, 3
"""Axes of maps; those of an answer come one earlier."""


def mean_over_rotations(
    answers: tuple[Answer, Answer], maps: Tensor, measured: Tensor, ring: Tensor
) -> Tensor:
    """Ask for the four rotations, and give the mean of what is said.

    Two at a time go through the network, as one batch: those that lie upright
    and those that lie on their side, whose frames have another shape.

    Args:
        answers: the network, for those upright and for those on their side.
            In a graph these are two functions: tf2onnx cannot take one with a
            loop in it twice.
        maps: [B, V, H, W].
        measured: 1 where a pixel was measured and 0 elsewhere, [B, V, H, W].
        ring: q = 2k of each map [rad/px], [B, V].

    Returns:
        The logit of the mean probability; offsets and deviations of the
        mixture, each rotation weighed with the probability that it gives;
        [B, H, W, 5].
    """
    upright = tf.concat([maps, _turned(maps, _ROWS, _COLS)], axis=0)
    seen = tf.concat([measured, _turned(measured, _ROWS, _COLS)], axis=0)
    told = tf.concat([ring, ring], axis=0)
    one, two = tf.split(answers[0](upright, seen, told), 2, axis=0)
    # On its side: transposed after a flip, which is a quarter turn.
    side, seen = _on_its_side(maps), _on_its_side(measured)
    three, four = tf.split(answers[1](side, seen, told), 2, axis=0)
    views = [
        one,
        _back(two, (1, 2), (-1.0, -1.0)),
        _back(_transposed(three), (1,), (-1.0, 1.0)),
        _back(_transposed(four), (2,), (1.0, -1.0)),
    ]
    return _mixture(views)


def _turned(values: Tensor, *axes: int) -> Tensor:
    # One after the other: OpenVINO turns no two at once.
    for axis in axes:
        values = tf.reverse(values, (axis,))
    return values


def _on_its_side(maps: Tensor) -> Tensor:
    both = tf.concat([_turned(maps, _ROWS), _turned(maps, _COLS)], axis=0)
    return tf.transpose(both, (0, 1, 3, 2))


def _transposed(output: Tensor) -> Tensor:
    """An answer with rows and columns exchanged, also in what it says."""
    logit, row, col, by_row, by_col = tf.split(output, 5, axis=-1)
    exchanged = tf.concat([logit, col, row, by_col, by_row], axis=-1)
    return tf.transpose(exchanged, (0, 2, 1, 3))


def _back(
    output: Tensor, axes: tuple[int, ...], signs: tuple[float, float]
) -> Tensor:
    """Undo a flip of the maps in the answer for them."""
    factors = tf.constant([1.0, *signs, 1.0, 1.0], output.dtype)
    return _turned(output, *axes) * factors


def _mixture(views: list[Tensor]) -> Tensor:
    """See `mean_over_rotations`; of answers [B, H, W, 5]."""
    # A number of all views side by side, [B, H, W, n]: with one more axis
    # TensorFlow.js cannot do it on a graphics card.
    parts = zip(*(tf.split(view, 5, axis=-1) for view in views), strict=True)
    logit, row, col, by_row, by_col = (tf.concat(part, -1) for part in parts)
    # Of logarithms: probabilities near 0 and 1 are all the same in 32 bits.
    there, not_there = tf.math.log_sigmoid(logit), tf.math.log_sigmoid(-logit)
    share = tf.nn.softmax(there, axis=-1)
    logit = _log_sum(there) - _log_sum(not_there)
    places, widths = [], []
    for place, width in ((row, by_row), (col, by_col)):
        mean = tf.reduce_sum(share * place, axis=-1, keepdims=True)
        inner = width**2 + (place - mean) ** 2
        variance = tf.reduce_sum(share * inner, axis=-1, keepdims=True)
        places.append(mean)
        widths.append(tf.sqrt(variance))
    return tf.concat([logit, *places, *widths], axis=-1)


def _log_sum(values: Tensor) -> Tensor:
    return tf.reduce_logsumexp(values, axis=-1, keepdims=True)


_FIRST_LOOK_SHARE = 0.3
"""Weight of the first look's loss beside the last one's."""

_STACK = (
    tf.TensorSpec((None,) * 4, tf.float32, name="maps"),
    tf.TensorSpec((None,) * 4, tf.float32, name="measured"),
    tf.TensorSpec((None,) * 2, tf.float32, name="ring"),
)


@keras.saving.register_keras_serializable("stm_keras")
class Context(TwoStages):
    """From maps to impurities: probability, place and their deviations.

    It has two stages. A light encoder, shared over the voltages and given q of
    each map, takes several rings in through dilated convolutions and ring
    templates. The mean over the voltages gives a first answer, and the waves of
    what is likely there are subtracted from each map. A second encoder has the
    residual and the maps as its input; attention over the voltages
    (arXiv:2006.15898, Eq. 1) joins its features, and a wider decoder gives the
    answer. No layer depends on the image's size, the number of maps or their
    order.

    Args:
        calibration: what made probabilities and standard deviations true on
            held-out fields, see `Calibration`. Not used in training.
        rotations: 4 for the mean of what is said of the maps as they are and
            turned by 90, 180 and 270 degrees, 1 for the former alone. Not used
            in training.
        **sizes: see `ContextSizes`.

    Call arguments:
        maps: [B, V, H, W], any unit, NaN where not measured.
        ring: q = 2k of each map [rad/px], [B, V]; 0 or NaN where unknown; None
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
        rotations: int = 1,
        name: str | None = None,
        trainable: bool = True,
        dtype: Any = None,
        **sizes: Any,
    ) -> None:
        if rotations not in (1, N_ROTATIONS):
            raise ValueError(
                f"`rotations` must be 1 or {N_ROTATIONS}. Received: "
                f"rotations={rotations}"
            )
        super().__init__(
            ContextSizes(**sizes), name=name, trainable=trainable, dtype=dtype
        )
        self.calibration = as_calibration(calibration)
        self.rotations = rotations
        # In graphs they stand once, however many signatures ask them.
        self._functions = tuple(
            tf.function(self._upright, input_signature=_STACK, autograph=False)
            for _ in range(2)
        )

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
        told: Tensor = ops.zeros(ops.shape(maps)[:2]) if ring is None else ring
        if training:
            joined, first, weights = self.joined(maps, present, told, True)
            parts = self.decoder(joined)[1], first
            output = ops.concatenate(
                [detection_output(part) for part in parts], axis=-1
            )
        else:
            output = self._calibrated(maps, present, told)
            weights = None
        if not return_weights:
            return output
        if weights is None:
            weights = self.joined(maps, present, told)[2]
        return output, weights

    def _calibrated(
        self, maps: tf.Tensor, measured: tf.Tensor, ring: tf.Tensor
    ) -> tf.Tensor:
        """The answer outside of training."""
        if self.rotations == 1:
            output = self._upright(maps, measured, ring)
        else:
            answers = self._functions
            if tf.executing_eagerly():
                answers = self._upright, self._upright
            output = mean_over_rotations(answers, maps, measured, ring)
        return calibrated(output, ops.shape(maps)[1], self.calibration)

    def _upright(
        self, maps: tf.Tensor, measured: tf.Tensor, ring: tf.Tensor
    ) -> tf.Tensor:
        """The answer for maps as they lie, not calibrated."""
        joined = self.joined(maps, measured, ring)[0]
        return detection_output(self.decoder(joined)[1])

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
        own = {"calibration": self.calibration, "rotations": self.rotations}
        return {**super().get_config(), **self.sizes, **own}
