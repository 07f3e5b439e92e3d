"""What an experiment does to maps, drawn afresh for every sample.

The same effects as `stm_keras.simulation.acquisition`, as TensorFlow
operations on whole batches, so that no two epochs show the same sample. A
draw follows from its seed alone.
"""

import math

import tensorflow as tf

from stm_keras.data.draws import Draws
from stm_keras.data.effect_ranges import EffectRanges
from stm_keras.data.noise import (
    frequencies,
    jumps,
    line_noise,
    planes,
    power_law_noise,
)

_MIRRORED_PX = 8
"""Several times the largest drift and blur."""


def apply_effects(
    maps: tf.Tensor,
    ring: tf.Tensor,
    positions: tf.Tensor,
    ranges: EffectRanges,
    seed: tf.Tensor,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Turn clean maps into measured ones.

    Args:
        maps: clean, float32 [B, V, H, W], a stack's spread about 1.
        ring: 2k [rad/px], float32 [B, V].
        positions: row, column [px], float32 [B, n, 2], padded with NaN.
        ranges: what to draw from.
        seed: of all that is drawn, int64 [2].

    Returns:
        Maps of the same shape, NaN where "not measured"; what the network is
        told of `ring`: 0 where it is told nothing; and the positions, all NaN
        where the sample became a surrogate.
    """
    draws = Draws(seed)
    shape = tf.shape(maps)
    batch, voltages, height = shape[0], shape[1], shape[2]
    each = [batch, 1, 1, 1]
    maps, positions = _with_surrogates(maps, positions, ranges, draws)
    maps *= draws.uniform([batch, voltages, 1, 1], ranges.gain)
    maps = _moved_and_blurred(maps, ranges, draws)
    maps += jumps(shape, ranges.jump, ranges.jump_share, draws)
    maps += planes(shape, ranges.tilt, draws)
    maps += draws.uniform(each, ranges.correlated) * power_law_noise(
        shape, draws.uniform(each, ranges.slope), draws
    )
    maps += draws.uniform(each, ranges.smooth) * line_noise(
        shape, draws.uniform(each, ranges.smooth_px), draws
    )
    maps += draws.uniform(each, ranges.lines) * draws.normal(
        [batch, voltages, height, 1]
    )
    maps += draws.uniform(each, ranges.white) * draws.normal(shape)
    # Behind the noise: what is blanked is blanked in what was measured.
    maps = _with_holes(maps, positions, ranges, draws)
    maps = _with_gaps(maps, ranges, draws)
    return maps, _told(ring, ranges, draws), positions


def phase_randomised(maps: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Maps with the same power spectrum and phases turned at random.

    All maps of a stack are turned alike, so that what they share (their
    cross spectra) stays too.

    Args:
        maps: float32 [B, V, H, W], finite.
        turn: white noise whose phases are added, float32 [B, 1, H, W].

    Returns:
        The same shape.

    References:
        J. Theiler et al., Physica D 58, 77 (1992),
        doi:10.1016/0167-2789(92)90102-S.
    """
    noise = tf.signal.rfft2d(turn)
    size = tf.cast(tf.maximum(tf.abs(noise), 1e-9), tf.complex64)
    spectrum = tf.signal.rfft2d(maps) * noise / size
    return tf.signal.irfft2d(spectrum, tf.shape(maps)[2:])


def _with_surrogates(
    maps: tf.Tensor, positions: tf.Tensor, ranges: EffectRanges, draws: Draws
) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.shape(maps)
    changed = draws.chance([shape[0], 1, 1, 1], ranges.surrogate_share)
    turn = draws.normal([shape[0], 1, shape[2], shape[3]])
    nowhere = tf.constant(math.nan, positions.dtype)
    return (
        tf.where(changed, phase_randomised(maps, turn), maps),
        tf.where(tf.squeeze(changed, -1), nowhere, positions),
    )


def _moved_and_blurred(
    maps: tf.Tensor, ranges: EffectRanges, draws: Draws
) -> tf.Tensor:
    """Drift along a cubic path and a Gaussian tip, both in Fourier space.

    That takes maps for periodic, which they are not: mirrored beyond their
    edges they have no step there, whose ringing would reach far inside.
    """
    height, width = tf.unstack(tf.shape(maps)[2:])
    rim = tf.minimum(_MIRRORED_PX, tf.minimum(height, width))
    border = rim * tf.constant([[0, 0], [0, 0], [1, 1], [1, 1]])
    maps = tf.pad(maps, border, "SYMMETRIC")
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
    q_row, q_col = frequencies(shape)
    turn = path[..., :1, None] * q_row + path[..., 1:, None] * q_col
    damp = tf.exp(-0.5 * sigma**2 * (q_row**2 + q_col**2))
    factor = tf.complex(damp * tf.cos(turn), -damp * tf.sin(turn))
    moved = tf.signal.irfft2d(tf.signal.rfft2d(maps) * factor, shape[2:])
    return moved[:, :, rim : rim + height, rim : rim + width]


def _with_holes(
    maps: tf.Tensor, positions: tf.Tensor, ranges: EffectRanges, draws: Draws
) -> tf.Tensor:
    """Discs filled with the mean around them, in some samples."""
    shape = tf.shape(maps)
    each = [shape[0], 1, 1, 1]
    density = draws.uniform(each, ranges.holes_per_px2)
    some = draws.chance(each, ranges.holes_share)
    seeds = draws.uniform([shape[0], 1, shape[2], shape[3]], (0.0, 1.0))
    blanked = draws.chance(each, ranges.blanked_share)
    hole = seeds < density
    hole |= blanked & _pixels_of(positions, shape)[:, None]
    centres = tf.cast(hole & some, tf.float32)
    radius = draws.uniform([], ranges.holes_px)
    reach = math.ceil(ranges.holes_px[1])
    offset = tf.range(-reach, reach + 1, dtype=tf.float32)
    near = offset[:, None] ** 2 + offset[None] ** 2
    disc = tf.cast(near <= radius**2, tf.float32)[..., None, None]
    ring = tf.cast(near <= (radius + 2) ** 2, tf.float32)[..., None, None]
    inside = _convolved(centres, disc) > 0.5
    about = tf.where(inside, 0.0, maps)
    weight = _convolved(tf.where(inside, 0.0, tf.ones_like(centres)), ring)
    mean = tf.math.divide_no_nan(_convolved(about, ring), weight)
    return tf.where(inside, mean, maps)


def _pixels_of(positions: tf.Tensor, shape: tf.Tensor) -> tf.Tensor:
    """Which pixels [B, H, W] are nearest to one of the positions [B, n, 2]."""
    known = tf.math.is_finite(positions)
    nearest = tf.cast(tf.round(tf.where(known, positions, -1.0)), tf.int32)
    first, second = tf.unstack(nearest, axis=-1)
    row, col = tf.one_hot(first, shape[2]), tf.one_hot(second, shape[3])
    return tf.einsum("bnh,bnw->bhw", row, col) > 0


def _convolved(maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Each map [B, V, H, W] with one kernel [h, w, 1, 1], zero beyond."""
    shape = tf.shape(maps)
    flat = tf.reshape(maps, [-1, shape[2], shape[3], 1])
    return tf.reshape(tf.nn.conv2d(flat, kernel, 1, "SAME"), shape)


def _with_gaps(
    maps: tf.Tensor, ranges: EffectRanges, draws: Draws
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


def _told(ring: tf.Tensor, ranges: EffectRanges, draws: Draws) -> tf.Tensor:
    each = [tf.shape(ring)[0], 1]
    kind = draws.uniform(each, (0.0, 1.0))
    error = 1 + draws.uniform(each, (-ranges.wrong, ranges.wrong))
    unknown = kind < ranges.unknown_share
    wrong = kind > 1 - ranges.wrong_share
    return tf.where(unknown, 0.0, tf.where(wrong, ring * error, ring))
