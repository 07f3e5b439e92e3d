"""Stacks of maps laid out map by map, as a shared encoder takes them."""

from typing import Any, NamedTuple

import tensorflow as tf

from stm_keras.nn.detection_output import MOST_MAPS
from stm_keras.nn.untyped import Tensor, ops


class Stacked(NamedTuple):
    """Maps of a batch, one after the other; N = B V.

    Attributes:
        maps: [N, H, W].
        ring: 2k of each [rad/px], [N]; 0 or NaN where unknown.
        held: 1 where a pixel was measured, [N, H, W, 1].
        shape: B, V, H, W.
    """

    maps: tf.Tensor
    ring: tf.Tensor
    held: tf.Tensor
    shape: tuple[Any, Any, Any, Any]

    def by_map(self, features: tf.Tensor) -> tf.Tensor:
        """Features [N, H, W, c] of the maps as [B, V, H, W, c]."""
        return ops.reshape(features, (*self.shape, features.shape[-1]))

    def for_every(self, joint: tf.Tensor) -> tf.Tensor:
        """[B, H, W, c] repeated for the maps of each stack, [N, H, W, c]."""
        each = (*self.shape, ops.shape(joint)[-1])
        repeated = ops.broadcast_to(ops.expand_dims(joint, 1), each)
        return ops.reshape(repeated, (each[0] * each[1], *each[2:]))

    def many(self, like: Tensor) -> tf.Tensor:
        """Logarithm of the number of maps at every pixel, [B, H, W, 1].

        Args:
            like: features [B, H, W, c].
        """
        count = ops.cast(self.shape[1], "float32")
        count = ops.minimum(count, float(MOST_MAPS))
        return ops.log(count) * ops.ones_like(like[..., :1])


def stacked(
    maps: tf.Tensor, measured: tf.Tensor, ring: tf.Tensor | None
) -> Stacked:
    """Lay a batch out map by map.

    Args:
        maps: [B, V, H, W].
        measured: 1 where a pixel was measured, else 0, [B, V, H, W].
        ring: 2k [rad/px], [B, V]; None where none is known.
    """
    batch, voltages, height, width = shape = ops.shape(maps)
    if ring is None:
        ring = ops.zeros((batch, voltages))
    n = batch * voltages
    return Stacked(
        ops.reshape(maps, (n, height, width)),
        ops.reshape(ring, (n,)),
        ops.reshape(measured, (n, height, width, 1)),
        shape,
    )
