"""What an experiment does to maps, drawn afresh for every sample.

The same effects as `stm_keras.simulation.acquisition`, as TensorFlow
operations on whole batches, so that no two epochs show the same sample. A
draw follows from its seed alone.
"""

import math
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

Range = tuple[float, float]
Shape = Any
"""Numbers and scalar tensors, or one tensor."""


@dataclass(frozen=True)
class EffectRanges:
    """What is drawn for a sample; ranges are (low, high), amplitudes uniform.

    Amplitudes are in units of the spread of the clean maps.

    Attributes:
        white: standard deviation of white noise.
        smooth: likewise of noise that is smooth along the scan line, as that
            of real scans is.
        smooth_px: its correlation length along the line [px].
        correlated: likewise of noise with a power spectrum q^-slope.
        slope: of that spectrum, no unit.
        lines: standard deviation of the scan lines' offsets.
        tilt: largest change by a plane across the frame.
        jump: largest step by which a change of the tip moves what follows.
        jump_share: share of maps with such a change.
        blur_px: standard deviation of the tip's blur [px].
        drift_px: largest displacement between maps of a stack [px].
        gain: factor of a map against the others of its stack (set point).
        missing_share: share of samples with a band that is not measured.
        unknown_share: share of samples whose wave numbers are not told.
        wrong_share: share of samples whose wave numbers are told wrongly.
        wrong: largest relative error of these.
    """

    white: Range = (0.0, 0.8)
    smooth: Range = (0.0, 0.4)
    smooth_px: Range = (0.5, 3.0)
    correlated: Range = (0.0, 0.7)
    slope: Range = (1.0, 2.5)
    lines: Range = (0.0, 0.3)
    tilt: Range = (0.0, 0.3)
    jump: Range = (0.0, 1.0)
    jump_share: float = 0.15
    blur_px: Range = (0.0, 0.7)
    drift_px: Range = (0.0, 0.7)
    gain: Range = (0.7, 1.4)
    missing_share: float = 0.15
    unknown_share: float = 0.25
    wrong_share: float = 0.25
    wrong: float = 0.12


class _Draws:
    """Random tensors, each from a seed of its own."""

    def __init__(self, seed: tf.Tensor) -> None:
        self._seed = seed
        self._count = 0

    def _next(self) -> tf.Tensor:
        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._count)

    def uniform(self, shape: Shape, bounds: Range) -> tf.Tensor:
        low, high = bounds
        return tf.random.stateless_uniform(shape, self._next(), low, high)

    def normal(self, shape: Shape) -> tf.Tensor:
        return tf.random.stateless_normal(shape, self._next())

    def chance(self, shape: Shape, share: float) -> tf.Tensor:
        return self.uniform(shape, (0.0, 1.0)) < share


def apply_effects(
    maps: tf.Tensor, ring: tf.Tensor, ranges: EffectRanges, seed: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Turn clean maps into measured ones.

    Args:
        maps: clean, float32 [B, V, H, W], a stack's spread about 1.
        ring: 2k [rad/px], float32 [B, V].
        ranges: what to draw from.
        seed: of all that is drawn, int64 [2].

    Returns:
        Maps of the same shape, NaN where "not measured", and what the network
        is told of `ring`: 0 where it is told nothing.
    """
    draws = _Draws(seed)
    shape = tf.shape(maps)
    batch, voltages, height = shape[0], shape[1], shape[2]
    each = [batch, 1, 1, 1]
    maps *= draws.uniform([batch, voltages, 1, 1], ranges.gain)
    maps = _moved_and_blurred(maps, ranges, draws)
    maps += _jumps(shape, ranges, draws) + _planes(shape, ranges, draws)
    maps += draws.uniform(each, ranges.correlated) * _power_law_noise(
        shape, draws.uniform(each, ranges.slope), draws
    )
    maps += draws.uniform(each, ranges.smooth) * _line_noise(
        shape, draws.uniform(each, ranges.smooth_px), draws
    )
    maps += draws.uniform(each, ranges.lines) * draws.normal(
        [batch, voltages, height, 1]
    )
    maps += draws.uniform(each, ranges.white) * draws.normal(shape)
    return _with_gaps(maps, ranges, draws), _told(ring, ranges, draws)


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

    Args:
        maps: [B, V, L, L].
        positions: row, column [px], [B, n, 2], padded with NaN.
        size: side of the part [px].
        seed: int64 [2].

    Returns:
        [B, V, size, size] and positions in it; those outside are NaN.
    """
    spare = tf.shape(maps)[2] - size + 1
    start = tf.random.stateless_uniform((2,), seed, 0, spare, tf.int32)
    maps = maps[:, :, start[0] : start[0] + size, start[1] : start[1] + size]
    inner = positions - tf.cast(start, positions.dtype)
    last = tf.cast(size, positions.dtype) - 0.5
    inside = tf.reduce_all((inner >= -0.5) & (inner < last), -1, keepdims=True)
    return maps, tf.where(inside, inner, tf.constant(math.nan, inner.dtype))


def _moved_and_blurred(
    maps: tf.Tensor, ranges: EffectRanges, draws: _Draws
) -> tf.Tensor:
    """Drift along a cubic path and a Gaussian tip, both in Fourier space."""
    shape = tf.shape(maps)
    batch, voltages = shape[0], shape[1]
    time = tf.linspace(-1.0, 1.0, voltages)[None, :, None]
    bend = draws.normal([3, batch, 1, 2])
    path = bend[0] * time + 0.4 * bend[1] * time**2 + 0.2 * bend[2] * time**3
    path -= tf.reduce_mean(path, axis=1, keepdims=True)
    # The largest distance between two maps is at most twice the largest norm.
    reach = 2 * tf.reduce_max(tf.norm(path, axis=-1, keepdims=True), axis=1)
    extent = draws.uniform([batch, 1], ranges.drift_px)
    path *= tf.math.divide_no_nan(extent, reach)[:, None, :]
    sigma = draws.uniform([batch, 1, 1, 1], ranges.blur_px)
    q_row, q_col = _frequencies(shape)
    turn = path[..., :1, None] * q_row + path[..., 1:, None] * q_col
    damp = tf.exp(-0.5 * sigma**2 * (q_row**2 + q_col**2))
    factor = tf.complex(damp * tf.cos(turn), -damp * tf.sin(turn))
    return tf.signal.irfft2d(tf.signal.rfft2d(maps) * factor, shape[2:])


def _frequencies(shape: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
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


def _power_law_noise(
    shape: tf.Tensor, slope: tf.Tensor, draws: _Draws
) -> tf.Tensor:
    """Noise with a power spectrum q^-slope and standard deviation 1."""
    q_row, q_col = _frequencies(shape)
    q = tf.sqrt(q_row**2 + q_col**2)
    amplitude = tf.where(q > 0, tf.maximum(q, 1e-6) ** (-slope / 2), 0.0)
    spectrum = tf.signal.rfft2d(draws.normal(shape))
    noise = tf.signal.irfft2d(
        spectrum * tf.cast(amplitude, tf.complex64), shape[2:]
    )
    return _of_unit_deviation(noise)


def _line_noise(
    shape: tf.Tensor, length_px: tf.Tensor, draws: _Draws
) -> tf.Tensor:
    """Noise that is smooth along each line, of standard deviation 1."""
    _, q_col = _frequencies(shape)
    damp = tf.exp(-0.5 * (length_px * q_col) ** 2)
    spectrum = tf.signal.rfft(draws.normal(shape)) * tf.cast(damp, tf.complex64)
    return _of_unit_deviation(tf.signal.irfft(spectrum, shape[3:]))


def _of_unit_deviation(noise: tf.Tensor) -> tf.Tensor:
    deviation = tf.math.reduce_std(noise, axis=(2, 3), keepdims=True)
    return tf.math.divide_no_nan(noise, deviation)


def _jumps(shape: tf.Tensor, ranges: EffectRanges, draws: _Draws) -> tf.Tensor:
    """A step at one line of some maps: [B, V, H, 1]."""
    each = [shape[0], shape[1], 1, 1]
    happens = draws.chance(each, ranges.jump_share)
    at = draws.uniform(each, (0.0, 1.0))
    low, high = ranges.jump
    size = draws.uniform(each, (-1.0, 1.0))
    size = tf.sign(size) * (low + (high - low) * tf.abs(size))
    line = (tf.range(shape[2], dtype=tf.int32) + 1) / shape[2]
    after = tf.cast(line, tf.float32)[:, None] > at
    return tf.where(happens & after, size, 0.0)


def _planes(shape: tf.Tensor, ranges: EffectRanges, draws: _Draws) -> tf.Tensor:
    """A tilt for every map: [B, V, H, W]."""
    each = [shape[0], shape[1], 1, 1]
    size = draws.uniform(each, ranges.tilt)
    angle = draws.uniform(each, (0.0, 2 * math.pi))
    down = tf.linspace(-0.5, 0.5, shape[2])[:, None]
    right = tf.linspace(-0.5, 0.5, shape[3])[None]
    return size * (tf.cos(angle) * down + tf.sin(angle) * right)


def _with_gaps(
    maps: tf.Tensor, ranges: EffectRanges, draws: _Draws
) -> tf.Tensor:
    """NaN in a band of lines of some samples, in all of their maps."""
    shape = tf.shape(maps)
    each = [shape[0], 1, 1, 1]
    gap = draws.chance(each, ranges.missing_share)
    height = tf.cast(shape[2], tf.float32)
    first = draws.uniform(each, (0.0, 1.0)) * height
    width = draws.uniform(each, (0.02, 0.25)) * height
    line = tf.range(height)[:, None]
    lost = gap & (line >= first) & (line < first + width)
    return tf.where(lost, tf.constant(math.nan), maps)


def _told(ring: tf.Tensor, ranges: EffectRanges, draws: _Draws) -> tf.Tensor:
    each = [tf.shape(ring)[0], 1]
    kind = draws.uniform(each, (0.0, 1.0))
    error = 1 + draws.uniform(each, (-ranges.wrong, ranges.wrong))
    unknown = kind < ranges.unknown_share
    wrong = kind > 1 - ranges.wrong_share
    return tf.where(unknown, 0.0, tf.where(wrong, ring * error, ring))
