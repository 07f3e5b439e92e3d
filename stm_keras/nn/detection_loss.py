"""The likelihood of the true impurities under a network's per-pixel answer.

The model is that of DECODE (A. Speiser et al., Nature Methods 18, 1082
(2021), doi:10.1038/s41592-021-01236-x): every pixel holds an impurity with
its own probability, independently; given that, its place is normal about the
pixel's centre plus the predicted offset.
"""

import math

import tensorflow as tf

from stm_keras.nn.untyped import ops

_LEAST_VARIANCE = 0.1
"""Of the number. Where every pixel is sure the normal distribution is no
longer that of a sum of Bernoulli variables: it would pay for a stack's certain
emptiness without end, and count millions for one mistaken for empty."""


def detection_loss(output: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """-ln of the likelihood of the number of impurities and their places.

    Args:
        output: see `position_loss`.
        positions: see there.

    Returns:
        [B], in nat.
    """
    probability = ops.sigmoid(ops.take(output, 0, axis=-1))
    return count_loss(probability, positions) + position_loss(output, positions)


def count_loss(probability: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """-ln of the probability of the true number of impurities.

    The number is a sum of independent Bernoulli variables, taken as normal.

    Args:
        probability: p, [B, H, W].
        positions: [B, n, 2], padded with NaN.

    Returns:
        [B], in nat.
    """
    true = ops.sum(ops.cast(present(positions), "float32"), axis=-1)
    mean = ops.sum(probability, axis=(1, 2))
    variance = ops.sum(probability * (1 - probability), axis=(1, 2))
    variance = ops.maximum(variance, _LEAST_VARIANCE)
    return 0.5 * (
        (true - mean) ** 2 / variance + ops.log(2 * math.pi * variance)
    )


def position_loss(output: tf.Tensor, positions: tf.Tensor) -> tf.Tensor:
    """-ln of the density of the true places, summed over the impurities.

    Args:
        output: as `Context` gives it, [B, H, W, 5].
        positions: row, column [px], [B, n, 2], padded with NaN.

    Returns:
        [B], in nat (of densities per px^2). 0 where there is no impurity.
    """
    shape = ops.shape(output)
    batch, height, width = shape[0], shape[1], shape[2]
    flat = ops.reshape(output, (batch, 1, height * width, 5))
    log_share = ops.log_sigmoid(flat[..., 0])
    log_share -= ops.logsumexp(log_share, axis=-1, keepdims=True)
    rows, cols = ops.meshgrid(
        ops.arange(height, dtype="float32"),
        ops.arange(width, dtype="float32"),
        indexing="ij",
    )
    centres = ops.reshape(ops.stack([rows, cols], -1), (1, 1, -1, 2))
    here = present(positions)
    # NaN must not reach the gradient, not even behind a `where`.
    safe = ops.nan_to_num(positions)
    deviation = flat[..., 3:]
    z = (safe[:, :, None, :] - centres - flat[..., 1:3]) / deviation
    log_density = ops.sum(
        -0.5 * z**2 - ops.log(deviation) - 0.5 * math.log(2 * math.pi), -1
    )
    mixture = ops.logsumexp(log_share + log_density, axis=-1)
    return -ops.sum(ops.where(here, mixture, ops.zeros_like(mixture)), axis=-1)


def present(positions: tf.Tensor) -> tf.Tensor:
    """Which rows of `positions` [B, n, 2] are no padding, bool [B, n]."""
    return ops.all(ops.isfinite(positions), axis=-1)
