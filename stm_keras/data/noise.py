"""Noise of a scanning microscope, as TensorFlow operations on batches."""

import math

import tensorflow as tf

from stm_keras.data.draws import Draws
from stm_keras.simulation.ranges import Range


def frequencies(shape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Angular frequencies of a real transform: [H, 1], [1, W/2 + 1]."""
    height, width = shape[2], shape[3]
    rows = tf.range(height)
    rows = tf.where(rows > (height - 1) // 2, rows - height, rows)
    cols = tf.range(width // 2 + 1)
    step = 2 * math.pi
    return (
        (step * tf.cast(rows, tf.float32) / tf.cast(height, tf.float32))[
            :, None
        ],
        (step * tf.cast(cols, tf.float32) / tf.cast(width, tf.float32))[None],
    )


def power_law_noise(
    shape: tf.Tensor, slope: tf.Tensor, draws: Draws
) -> tf.Tensor:
    """Noise with a power spectrum q^-slope and standard deviation 1.

    Args:
        shape: [B, V, H, W], int32 [4].
        slope: float32 that broadcasts to [B, V, H, W/2 + 1], such as
            [B, 1, 1, 1]; 0 is white.
        draws: where the random numbers come from.

    Returns:
        float32 [B, V, H, W].
    """
    q_row, q_col = frequencies(shape)
    q = tf.sqrt(q_row**2 + q_col**2)
    amplitude = tf.where(q > 0, tf.maximum(q, 1e-6) ** (-slope / 2), 0.0)
    spectrum = tf.signal.rfft2d(draws.normal(shape))
    noise = tf.signal.irfft2d(
        spectrum * tf.cast(amplitude, tf.complex64), shape[2:]
    )
    return _of_unit_deviation(noise)


def line_noise(
    shape: tf.Tensor, length_px: tf.Tensor, draws: Draws
) -> tf.Tensor:
    """Noise that is smooth along each line, of standard deviation 1.

    Args:
        shape: [B, V, H, W], int32 [4].
        length_px: over which it is smooth, float32 that broadcasts to
            [B, V, H, W/2 + 1].
        draws: where the random numbers come from.

    Returns:
        float32 [B, V, H, W].
    """
    _, q_col = frequencies(shape)
    damp = tf.exp(-0.5 * (length_px * q_col) ** 2)
    spectrum = tf.signal.rfft(draws.normal(shape)) * tf.cast(damp, tf.complex64)
    return _of_unit_deviation(tf.signal.irfft(spectrum, shape[3:]))


def _of_unit_deviation(noise: tf.Tensor) -> tf.Tensor:
    deviation = tf.math.reduce_std(noise, axis=(2, 3), keepdims=True)
    return tf.math.divide_no_nan(noise, deviation)


def jumps(
    shape: tf.Tensor, bounds: Range, share: float, draws: Draws
) -> tf.Tensor:
    """A step at one line of some maps: [B, V, H, 1]."""
    each = [shape[0], shape[1], 1, 1]
    happens = draws.chance(each, share)
    at = draws.uniform(each, (0.0, 1.0))
    low, high = bounds
    size = draws.uniform(each, (-1.0, 1.0))
    size = tf.sign(size) * (low + (high - low) * tf.abs(size))
    line = (tf.range(shape[2], dtype=tf.int32) + 1) / shape[2]
    after = tf.cast(line, tf.float32)[:, None] > at
    return tf.where(happens & after, size, 0.0)


def planes(shape: tf.Tensor, bounds: Range, draws: Draws) -> tf.Tensor:
    """A tilt for every map: [B, V, H, W]."""
    each = [shape[0], shape[1], 1, 1]
    size = draws.uniform(each, bounds)
    angle = draws.uniform(each, (0.0, 2 * math.pi))
    down = tf.linspace(-0.5, 0.5, shape[2])[:, None]
    right = tf.linspace(-0.5, 0.5, shape[3])[None]
    return size * (tf.cos(angle) * down + tf.sin(angle) * right)
