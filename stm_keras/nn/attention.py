"""Attention over the voltages (arXiv:2006.15898, Eq. 1)."""

from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from stm_keras.nn.untyped import ops

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
        super().__init__(**kwargs)
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
        return ops.sum(by_map * value, axis=1), weights

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "inner_product": self.inner_product}


def _summed_softmax(query: tf.Tensor, key: tf.Tensor) -> tf.Tensor:
    """C [N, V] of Q, K [N, V, d], with all N x V x V logits at once."""
    logits = ops.matmul(query, ops.transpose(key, (0, 2, 1)))
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
        (tf.constant(0), tf.zeros((0, voltages), query.dtype)),
        shape_invariants=(
            tf.TensorShape(()),
            tf.TensorShape((None, None)),
        ),
    )
    return weights
