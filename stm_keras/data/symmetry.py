"""Turn and crop maps together with the positions in them."""

import math

import tensorflow as tf

BESIDE_PX = 1
"""Impurities so far beside a crop are still named: a network that may place
them there does not take them for others just inside."""


def turned(
    maps: tf.Tensor, positions: tf.Tensor, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """One of the square's eight symmetries, drawn for the whole batch.

    Args:
        maps: [B, V, L, L].
        positions: row, column [px], [B, n, 2], padded with NaN.
        seed: int64 [2].

    Returns:
        Both, turned alike.
    """
    last = tf.cast(tf.shape(maps)[2] - 1, positions.dtype)
    flips = tf.random.stateless_uniform((3,), seed, 0, 2, tf.int32) > 0
    row, col = tf.unstack(positions, 2, axis=-1)
    maps = tf.where(flips[0], tf.reverse(maps, [2]), maps)
    row = tf.where(flips[0], last - row, row)
    maps = tf.where(flips[1], tf.reverse(maps, [3]), maps)
    col = tf.where(flips[1], last - col, col)
    maps = tf.where(flips[2], tf.transpose(maps, (0, 1, 3, 2)), maps)
    row, col = tf.where(flips[2], col, row), tf.where(flips[2], row, col)
    return maps, tf.stack([row, col], axis=-1)


def cropped(
    maps: tf.Tensor,
    positions: tf.Tensor,
    size: tf.Tensor | int,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor]:
    """A square part of the maps, at a place drawn for the whole batch.

    It keeps `BESIDE_PX` from the maps' own edge, for nothing tells what lies
    beyond that.

    Args:
        maps: [B, V, L, L].
        positions: row, column [px], [B, n, 2], padded with NaN.
        size: side of the part [px], at most L - 2 `BESIDE_PX`.
        seed: int64 [2].

    Returns:
        [B, V, size, size] and the positions in it and up to `BESIDE_PX`
        beside it; those farther out are NaN.
    """
    beyond = tf.shape(maps)[2] - BESIDE_PX - size + 1
    start = tf.random.stateless_uniform((2,), seed, BESIDE_PX, beyond, tf.int32)
    maps = maps[:, :, start[0] : start[0] + size, start[1] : start[1] + size]
    inner = positions - tf.cast(start, positions.dtype)
    low = -0.5 - BESIDE_PX
    high = tf.cast(size, positions.dtype) - 0.5 + BESIDE_PX
    inside = tf.reduce_all((inner >= low) & (inner < high), -1, keepdims=True)
    return maps, tf.where(inside, inner, tf.constant(math.nan, inner.dtype))
