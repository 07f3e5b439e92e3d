"""Scores that training follows, computed in the graph."""

from typing import Any

import keras
import tensorflow as tf

from stm_keras.nn.untyped import ops


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
