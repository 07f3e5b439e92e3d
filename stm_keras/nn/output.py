"""From the head's raw numbers to a calibrated answer per pixel."""

from collections.abc import Sequence
from typing import Any

import tensorflow as tf

from stm_keras.nn.untyped import ops

Calibration = tuple[float, ...]
"""Changes that make an answer true, at one map: slope of logits above 0, slope
of those below 0, offset, factor of the standard deviations; then what each
gains with every doubling of the number of maps. Between the slopes the change
is smooth: above softplus(l) - below softplus(-l) + offset."""

UNCALIBRATED: Calibration = (1.0, 1.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0)

MOST_MAPS = 16
"""More maps than training has count as so many; they only are less noisy."""

FARTHEST_PX = 1.5
"""A neighbour may speak for an impurity, none further away."""

_LEAST_DEVIATION_PX = 0.01
_RARE = -6.0
"""Logit of the probability before training: an impurity is on few pixels."""


def detection_output(raw: tf.Tensor) -> tf.Tensor:
    """What each pixel says of an impurity, not calibrated.

    Args:
        raw: the head's output, [B, H, W, 5].

    Returns:
        See `Context`, [B, H, W, 5].
    """
    raw = ops.cast(raw, "float32")
    logit, place, width = ops.split(raw, [1, 3], axis=-1)
    return ops.concatenate(
        [
            logit,
            FARTHEST_PX * ops.tanh(place),
            _LEAST_DEVIATION_PX + ops.softplus(width),
        ],
        axis=-1,
    )


def calibrated(
    output: tf.Tensor, n_maps: Any, calibration: Calibration
) -> tf.Tensor:
    """Make an answer true.

    Args:
        output: see `detection_output`.
        n_maps: number of maps V, int [].
        calibration: see `Calibration`.

    Returns:
        See `Context`, [B, H, W, 5].
    """
    if calibration == UNCALIBRATED:
        return output
    count = ops.minimum(ops.cast(n_maps, "float32"), float(MOST_MAPS))
    octaves = ops.log2(count)
    above, below, offset, factor = (
        calibration[i] + calibration[i + 4] * octaves for i in range(4)
    )
    logit, place, width = ops.split(output, [1, 3], axis=-1)
    surer = above * ops.softplus(logit) - below * ops.softplus(-logit)
    return ops.concatenate([surer + offset, place, factor * width], axis=-1)


def as_calibration(numbers: Sequence[float]) -> Calibration:
    """A calibration as it was stored.

    Args:
        numbers: eight, or the six of older models, whose logits had one
            slope.
    """
    if len(numbers) == len(UNCALIBRATED):
        return tuple(numbers)
    slope, offset, factor, *gains = numbers
    return (slope, slope, offset, factor, gains[0], *gains)


def rare_at_first(shape: tuple[int, ...], dtype: Any = None) -> tf.Tensor:
    """Bias of the head before training: an impurity is on few pixels."""
    return ops.cast([_RARE, *[0.0] * (shape[0] - 1)], dtype or "float32")
