"""Mean and scale of maps, which no unit and no offset may change."""

from typing import Any, Literal, get_args

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from stm_keras.nn.output import rare_at_first
from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class MapStandardization(layers.Layer):
    """Give every map mean 0 and standard deviation 1 over its measured pixels.

    A file may hold any unit and offset; inside the network every map counts
    the same. NaN (not measured) becomes 0, the mean. A constant map is all 0.

    Call arguments:
        maps: [B, V, H, W].

    Returns:
        The same shape.
    """

    def __init__(self, **kwargs: Any) -> None:
        # Whatever the rest computes in: a mean of large numbers needs it.
        super().__init__(**{**kwargs, "dtype": "float32"})

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        """See the class."""
        measured = ops.cast(ops.logical_not(ops.isnan(maps)), maps.dtype)
        maps = ops.where(measured > 0, maps, ops.zeros_like(maps))
        count = ops.maximum(ops.sum(measured, (-2, -1), keepdims=True), 1.0)
        # Two steps: nA currents of 1e-12 A lose their variance to rounding
        # next to an offset, unless the offset goes first and the scale next.
        maps = measured * (maps - _masked_sum(maps, measured) / count)
        largest = ops.max(ops.abs(maps), axis=(-2, -1), keepdims=True)
        maps = ops.divide_no_nan(maps, largest)
        # What rounding left of a constant map is all alike, and goes now.
        maps = measured * (maps - _masked_sum(maps, measured) / count)
        variance = _masked_sum(maps * maps, measured) / count
        return ops.divide_no_nan(maps, ops.sqrt(variance))


def _masked_sum(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return ops.sum(values * mask, axis=(-2, -1), keepdims=True)


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
        super().__init__(autocast=False, **kwargs)
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
            dtype=self.dtype_policy,
        )
        self.modulation = (
            layers.Dense(
                2 * filters, name="modulation", dtype=self.dtype_policy
            )
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


@keras.saving.register_keras_serializable("stm_keras")
class MapEncoder(layers.Layer):
    """A convolution and dilated blocks, given q = 2k of each map.

    Args:
        filters: channels.
        dilations: of the blocks [px].

    Call arguments:
        shown: the input of each map, [N, H, W, c].
        embedding: of its wave number, [N, units].

    Returns:
        [N, H, W, filters], none negative.
    """

    def __init__(
        self, filters: int, dilations: tuple[int, ...], **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.dilations = tuple(dilations)
        policy = self.dtype_policy
        self.stem = layers.Conv2D(
            filters, 3, padding="same", name="stem", dtype=policy
        )
        self.blocks = [
            DilatedBlock(
                filters, dilation, True, name=f"block_{i}", dtype=policy
            )
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
        super().__init__(autocast=False, **kwargs)
        self.filters = filters
        self.dilations = tuple(dilations)
        policy = self.dtype_policy
        self.join = layers.Conv2D(filters, 1, name="join", dtype=policy)
        self.blocks = [
            DilatedBlock(filters, dilation, name=f"block_{i}", dtype=policy)
            for i, dilation in enumerate(self.dilations)
        ]
        initializer: Any = rare_at_first  # typed as a name by Keras
        # In eight bits a place would be known to 0.006 px at best.
        self.head = layers.Conv2D(
            5,
            3,
            padding="same",
            bias_initializer=initializer,
            name="head",
            dtype="float32",
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


InnerProduct = Literal["pixel", "image"]

_BLOCK_ELEMENTS = 2**21
"""Logits in memory at once when predicting: 8 MB, which a cache holds."""

_FEW_VOLTAGES = 32


@keras.saving.register_keras_serializable("stm_keras")
class VoltageAttention(keras.layers.Layer):
    """Eq. 1 summed over the voltages: V_T = sum_i V~_i.

    With Z_i = sum_j exp(<Q_i, K_j>),

        V_T = sum_i sum_j V_j exp(<Q_i, K_j>) / Z_i = sum_j c_j V_j,
        c_j = sum_i exp(<Q_i, K_j>) / Z_i,

    so that neither V~_i nor anything of V x V x d_v is ever formed. The c_j
    are the attention weights; they sum to the number of voltages.

    Args:
        inner_product: what <Q_i, K_j> of Eq. 1 sums over, which the paper
            leaves open. "pixel": the channels, so that every pixel has weights
            of its own. "image": the channels and the pixels, so that all
            pixels share one weight a map.

    Call arguments:
        query, key: Q and K, [B, V, H, W, d].
        value: V, [B, V, H, W, d_v].
        training: with True all logits stay in memory, as the gradient needs
            them; otherwise they are made in blocks of query voltages.

    Returns:
        V_T, [B, H, W, d_v], and the weights c, [B, V, H, W] ("pixel") or
        [B, V, 1, 1] ("image").
    """

    def __init__(
        self, inner_product: InnerProduct = "pixel", **kwargs: Any
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        if inner_product not in get_args(InnerProduct):
            raise ValueError(
                f"`inner_product` must be one of {get_args(InnerProduct)}. "
                f"Received: inner_product={inner_product!r}"
            )
        self.inner_product = inner_product

    def call(
        self,
        query: tf.Tensor,
        key: tf.Tensor,
        value: tf.Tensor,
        training: bool | None = None,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """See the class."""
        shape = ops.shape(query)
        batch, voltages, height, width = shape[0], shape[1], shape[2], shape[3]
        few = isinstance(voltages, int) and voltages <= _FEW_VOLTAGES
        summed = _summed_softmax if training or few else _blocked_softmax
        if self.inner_product == "image":
            flat = (batch, voltages, height * width * shape[4])
            weights = summed(ops.reshape(query, flat), ops.reshape(key, flat))
            weights = ops.reshape(weights, (batch, voltages, 1, 1))
        else:
            flat = (batch * height * width, voltages, shape[4])
            by_pixel = [
                ops.reshape(ops.transpose(x, (0, 2, 3, 1, 4)), flat)
                for x in (query, key)
            ]
            weights = ops.reshape(
                summed(*by_pixel), (batch, height, width, voltages)
            )
            weights = ops.transpose(weights, (0, 3, 1, 2))
        # Not `[..., None]`, which LiteRT cannot do with free dimensions.
        by_map = ops.expand_dims(weights, axis=-1)
        by_map = ops.cast(by_map, value.dtype)
        return ops.sum(by_map * value, axis=1), weights

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "inner_product": self.inner_product}


def _summed_softmax(query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """C [N, V] of Q, K [N, V, d], with all N x V x V logits at once."""
    logits = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
    logits = ops.cast(logits, "float32")  # of half as many bits no exponential
    # Keras's own softmax warns of a single map, where 1 is what is meant.
    return ops.sum(tf.nn.softmax(logits, axis=-1), axis=1)


def _blocked_softmax(query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """The same with about `_BLOCK_ELEMENTS` logits at once."""
    shape = tf.shape(query)
    n, voltages = shape[0], shape[1]
    block = tf.maximum(_BLOCK_ELEMENTS // tf.maximum(voltages**2, 1), 1)

    def add_block(
        start: tf.Tensor, weights: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        end = start + block
        own = _summed_softmax(query[start:end], key[start:end])
        # Appended, not in a TensorArray, which LiteRT cannot put together.
        return end, tf.concat([weights, own], axis=0)

    _, weights = tf.while_loop(
        lambda start, _: start < n,
        add_block,
        (tf.constant(0), tf.zeros((0, voltages), tf.float32)),
        shape_invariants=(
            tf.TensorShape(()),
            tf.TensorShape((None, None)),
        ),
    )
    return weights


_RING_CENTRES = np.linspace(0.5, 2.3, 10, dtype=np.float32)
_RING_WIDTH = 0.2


@keras.saving.register_keras_serializable("stm_keras")
class RingEmbedding(layers.Layer):
    """Features of the scattering wave vector q = 2k of a map.

    Gaussians over the range that the network is trained on, and one feature
    that tells whether q is known at all.

    Args:
        units: number of features.

    Call arguments:
        ring: q = 2k [rad/px], [B, V]; 0 or NaN where unknown.

    Returns:
        [B, V, units].
    """

    def __init__(self, units: int, **kwargs: Any) -> None:
        super().__init__(autocast=False, **kwargs)
        self.units = units
        self.projection = layers.Dense(
            units, activation="relu", name="dense", dtype="float32"
        )

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the projection's weights."""
        del input_shape
        self.projection.build((None, None, len(_RING_CENTRES) + 1))
        self.built = True

    def call(self, ring: tf.Tensor) -> tf.Tensor:
        """See the class."""
        ring = ops.expand_dims(ops.cast(ring, "float32"), -1)
        known = ops.cast(ring > 0, ring.dtype)  # NaN is not
        ring = ops.where(known > 0, ring, ops.zeros_like(ring))
        bumps = ops.exp(-0.5 * ((ring - _RING_CENTRES) / _RING_WIDTH) ** 2)
        return self.projection(ops.concatenate([known, known * bumps], -1))

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "units": self.units}
