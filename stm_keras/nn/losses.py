"""The paper's two losses, on the score S before its softmax."""

import math
from typing import Any

import keras
import tensorflow as tf

from stm_keras.nn.untyped import ops


def log_probability(score: tf.Tensor) -> tf.Tensor:
    """Natural logarithm of Y = softmax(S) over all pixels of a map.

    Args:
        score: S, [B, H, W].

    Returns:
        ln Y, [B, H, W], computed without forming Y, so that no Y is 0.
    """
    return score - ops.logsumexp(score, axis=(1, 2), keepdims=True)


def cross_entropy(label: tf.Tensor, score: tf.Tensor) -> tf.Tensor:
    """L0 = -sum Y_label ln Y_net (arXiv:2006.15898, Eq. 2).

    Args:
        label: Y_label, [B, H, W]; every map sums to 1.
        score: S, [B, H, W].

    Returns:
        L0 of every map [nat], [B]. Its least value is ln N_i.
    """
    return -ops.sum(label * log_probability(score), axis=(1, 2))


def entropy(score: tf.Tensor) -> tf.Tensor:
    """Lreg = -sum Y_net ln Y_net (arXiv:2006.15898, Eq. 4).

    Args:
        score: S, [B, H, W].

    Returns:
        Entropy of every map's Y [nat], [B], between 0 and ln(H W).
    """
    log_y = log_probability(score)
    return -ops.sum(ops.exp(log_y) * log_y, axis=(1, 2))


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


def local_maxima(score: tf.Tensor) -> tf.Tensor:
    """Pixels that no neighbour exceeds.

    Args:
        score: S, [B, H, W].

    Returns:
        bool [B, H, W].
    """
    image = ops.expand_dims(score, axis=-1)
    highest = ops.max_pool(image, 3, strides=1, padding="same")
    return score >= ops.squeeze(highest, axis=-1)


@keras.saving.register_keras_serializable("stm_keras")
class HitRatio(keras.metrics.Metric):
    """The paper's score: share of reference points that a peak comes near.

    A reference point is hit if the nearest local maximum of S lies less than
    `radius_px` away. The score has no precision in it: a maximum everywhere
    would hit everything. It is here to be compared with the paper.

    Args:
        radius_px: the paper's one pixel.
    """

    def __init__(
        self, radius_px: float = 1.0, name: str = "hit_ratio", **kwargs: Any
    ) -> None:
        super().__init__(name=name, **kwargs)
        self.radius_px = radius_px
        self.hits = self.add_weight(name="hits", initializer="zeros")
        self.points = self.add_weight(name="points", initializer="zeros")

    def update_state(self, positions: tf.Tensor, score: tf.Tensor) -> None:
        """Count a batch.

        Args:
            positions: row, column [px], [B, n, 2], padded with NaN; those
                beside the frame, where S has no maximum, do not count.
            score: S, [B, H, W].
        """
        height, width = ops.shape(score)[1], ops.shape(score)[2]
        row, col = ops.unstack(positions, 2, axis=-1)
        last = ops.cast(ops.stack([height, width]), positions.dtype) - 0.5
        inside = ops.logical_and(positions >= -0.5, positions < last)
        present = ops.all(inside, axis=-1)
        rows = ops.cast(ops.arange(height), score.dtype)
        cols = ops.cast(ops.arange(width), score.dtype)
        near = (
            ops.square(row[..., None] - rows)[..., None]
            + ops.square(col[..., None] - cols)[..., None, :]
        ) < self.radius_px**2
        hit = ops.any(
            ops.logical_and(near, local_maxima(score)[:, None]), axis=(2, 3)
        )
        hit = ops.logical_and(hit, present)
        self.hits.assign_add(ops.sum(ops.cast(hit, self.dtype)))
        self.points.assign_add(ops.sum(ops.cast(present, self.dtype)))

    def result(self) -> tf.Tensor:
        """Share of the points counted so far, in [0, 1]."""
        return ops.divide_no_nan(self.hits, self.points)

    def get_config(self) -> dict[str, Any]:
        """Arguments of `__init__`."""
        return {**super().get_config(), "radius_px": self.radius_px}
