"""The paper's network, from a stack of maps to the score S."""

from typing import Any

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.layers import (
    InnerProduct,
    MapStandardization,
    VoltageAttention,
)
from stm_keras.nn.losses import cross_entropy
from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class Wang2020(layers.Layer):
    """The network of arXiv:2006.15898, Fig. 1.

    Convolutions shared over the voltages give query, key and value of every
    map; attention over the voltages joins them; a linear projection gives S.
    The paper gives no sizes; these are chosen for two processor cores. No
    layer depends on the image's size or the number of voltages.

    Args:
        filters: channels of the convolutions and of the value, d_v.
        depth: convolutions with ReLU before Q, K and V.
        kernel_size: side of every convolution [px].
        attention_filters: channels of query and key, d_q = d_k.
        inner_product: see `VoltageAttention`.

    Call arguments:
        maps: [B, V, H, W], any unit, NaN where not measured.
        return_weights: also give the attention weights.
        standardised: the maps went through `MapStandardization` already, as
            those of a tile must have, with the whole frame that it is part of.

    Returns:
        S, [B, H, W]; with `return_weights` also c, see `VoltageAttention`.
    """

    def __init__(
        self,
        filters: int = 32,
        depth: int = 2,
        kernel_size: int = 5,
        attention_filters: int = 8,
        inner_product: InnerProduct = "pixel",
        **kwargs: Any,
    ) -> None:
        super().__init__(autocast=False, **kwargs)
        for name, size, least in (
            ("filters", filters, 1),
            ("depth", depth, 0),
            ("kernel_size", kernel_size, 1),
            ("attention_filters", attention_filters, 1),
        ):
            if size < least:
                raise ValueError(
                    f"`{name}` must be >= {least}. Received: {name}={size}"
                )
        self.filters = filters
        self.depth = depth
        self.kernel_size = kernel_size
        self.attention_filters = attention_filters
        self.inner_product = inner_product
        self.standardization = MapStandardization(name="standardization")
        self.trunk = [
            self._convolution(filters, f"trunk_{i}", activation="relu")
            for i in range(depth)
        ]
        self.query = self._convolution(attention_filters, "query")
        self.key = self._convolution(attention_filters, "key")
        self.value = self._convolution(filters, "value", activation="relu")
        self.attention = VoltageAttention(
            inner_product, name="attention", dtype=self.dtype_policy
        )
        self.projection = layers.Dense(1, name="projection", dtype="float32")

    @property
    def reach_px(self) -> int:
        """How far away [px] a pixel can be to count for a score."""
        return (self.depth + 1) * (self.kernel_size // 2)

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        """Make the sublayers' weights."""
        del input_shape  # no weight depends on it
        image = (None, None, None, 1)
        for convolution in self.trunk:
            convolution.build(image)
            image = (None, None, None, self.filters)
        for convolution in (self.query, self.key, self.value):
            convolution.build(image)
        self.projection.build((None, None, None, self.filters))
        self.built = True

    def call(
        self,
        maps: tf.Tensor,
        training: bool | None = None,
        return_weights: bool = False,
        standardised: bool = False,
    ) -> tf.Tensor | tuple[tf.Tensor, tf.Tensor]:
        """See the class."""
        shape = ops.shape(maps)
        batch, voltages, height, width = shape[0], shape[1], shape[2], shape[3]
        if not standardised:
            maps = self.standardization(maps)
        features = ops.reshape(maps, (batch * voltages, height, width, 1))
        for convolution in self.trunk:
            features = convolution(features)
        query, key, value = (
            ops.reshape(
                head(features), (batch, voltages, height, width, head.filters)
            )
            for head in (self.query, self.key, self.value)
        )
        total, weights = self.attention(query, key, value, training=training)
        score = ops.squeeze(self.projection(total), axis=-1)
        return (score, weights) if return_weights else score

    def answer(
        self, maps: tf.Tensor, ring: tf.Tensor | None, training: bool | None
    ) -> tf.Tensor:
        """S [B, H, W]; the paper's network does not ask for wave numbers."""
        del ring
        return self(maps, training=training)

    def loss(self, output: tf.Tensor, data: dict[str, tf.Tensor]) -> tf.Tensor:
        """Cross entropy with `data["label"]` (Eq. 2), [B]."""
        return cross_entropy(data["label"], output)

    def score(self, output: tf.Tensor) -> tf.Tensor:
        """S, which is the output, [B, H, W]."""
        return output

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {
            **super().get_config(),
            "filters": self.filters,
            "depth": self.depth,
            "kernel_size": self.kernel_size,
            "attention_filters": self.attention_filters,
            "inner_product": self.inner_product,
        }

    def _convolution(
        self, filters: int, name: str, activation: str | None = None
    ) -> layers.Conv2D:
        return layers.Conv2D(
            filters,
            self.kernel_size,
            padding="same",
            activation=activation,
            name=name,
            dtype=self.dtype_policy,
        )
