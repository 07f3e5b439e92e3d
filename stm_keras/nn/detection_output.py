"""From the head's raw numbers to a calibrated answer per pixel."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from stm_keras.nn.untyped import ops

UNCALIBRATED = (1.0, 0.0, 1.0, 0.0, 0.0, 0.0)

FARTHEST_PX = 1.5
"""A neighbour may speak for an impurity, none further away."""

_LEAST_DEVIATION_PX = 0.01
_RARE = -6.0
"""Logit of the probability before training: an impurity is on few pixels."""


def detection_output(
    raw: tf.Tensor, n_maps: Any, calibration: Sequence[float]
) -> tf.Tensor:
    """What each pixel says of an impurity.

    Args:
        raw: the head's output, [B, H, W, 5].
        n_maps: number of maps V, int [].
        calibration: see `Context`.

    Returns:
        See `Context`, [B, H, W, 5].
    """
    octaves = ops.log2(ops.cast(n_maps, "float32"))
    slope, offset, factor = (
        calibration[i] + calibration[i + 3] * octaves for i in range(3)
    )
    logit, place, width = ops.split(raw, [1, 3], axis=-1)
    return ops.concatenate(
        [
            slope * logit + offset,
            FARTHEST_PX * ops.tanh(place),
            factor * (_LEAST_DEVIATION_PX + ops.softplus(width)),
        ],
        axis=-1,
    )


def rare_at_first(shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
    """Bias of the head before training: an impurity is on few pixels."""
    return ops.cast([_RARE, *[0.0] * (shape[0] - 1)], dtype or "float32")
