"""What a training does to stored fields, anew for every batch.

Symmetries and crops, the instrument with everything drawn from
`AugmentationRanges`, and what no instrument does: surrogates without an
impurity, blanked discs, and q that is unknown or wrong. TensorFlow operations
on whole batches; a draw follows from its seed alone.
"""

import math
from dataclasses import dataclass

import tensorflow as tf

from stm_keras.preprocessing.tall import MAD_TO_STD
from stm_keras.simulation.draws import Draws, StatelessDraws
from stm_keras.simulation.instrument import (
    Acquisition,
    BackgroundTilt,
    DoubleTip,
    Drift,
    InvertedContrast,
    LineNoise,
    MainsHum,
    MapGain,
    MissingLines,
    OneOverFNoise,
    ScanLineOffsets,
    TipBlur,
    TipJumps,
    UnevenNoise,
    WhiteNoise,
)
from stm_keras.simulation.ranges import Range
from stm_keras.simulation.surrogates import phase_randomised


@dataclass(frozen=True)
class AugmentationRanges:
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
        tilt: largest change by a plane across the frame, one for each map.
        jump: largest step by which a change of the tip moves what follows.
        jump_share: mean number of such changes in a map.
        blur_px: standard deviation of the tip's blur [px].
        drift_px: largest displacement between maps of a stack [px].
        gain: factor of a map against the others of its stack (set point).
        double_share: share of samples recorded with a second apex of the tip.
        double: strength of that apex over the first.
        double_px: distance of the two [px].
        hum: standard deviation of the mains' hum.
        inverted_share: share of samples with the contrast inverted.
        uneven_share: share of samples whose maps are unlike in quality.
        uneven: standard deviation of what noise the worst of these may have
            beside that of all maps.
        clipped_share: share of samples in which tall objects are clipped, as
            `preprocessing.tall` does it.
        clipped: at how many robust standard deviations.
        covered_share: share of samples in which what steps and tall objects
            cover is not measured, as where they were found and masked.
        missing_share: share of samples with a band that is not measured.
        holes_share: share of samples with discs in which nothing is seen,
            filled with the mean around them of what was measured, anywhere.
        blanked_share: share of these in which every impurity lies in a disc,
            too: its waves alone tell which of the discs hold one.
        holes_per_px2: number of these discs for each px^2.
        holes_px: their radius [px].
        surrogate_share: share of samples whose phases are drawn at random in
            Fourier space, the same turn for all maps of a sample: what is left
            has the spectrum of rings, and no impurity.
        unknown_share: share of samples whose q is unknown.
        wrong_share: share of samples whose q is given wrongly.
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
    double_share: float = 0.1
    double: Range = (0.1, 0.6)
    double_px: Range = (1.0, 6.0)
    hum: Range = (0.0, 0.3)
    inverted_share: float = 0.15
    uneven_share: float = 0.15
    uneven: Range = (0.5, 4.0)
    clipped_share: float = 0.5
    clipped: Range = (6.0, 20.0)
    covered_share: float = 0.35
    missing_share: float = 0.15
    holes_share: float = 0.4
    holes_per_px2: Range = (0.002, 0.03)
    holes_px: Range = (0.5, 2.5)
    blanked_share: float = 0.5
    surrogate_share: float = 0.2
    unknown_share: float = 0.25
    wrong_share: float = 0.25
    wrong: float = 0.12

    @property
    def instrument(self) -> Acquisition:
        """The part of it that an instrument does, for maps of spread 1."""
        across = math.sqrt(12)  # of a plane, in its standard deviations
        return Acquisition(
            (
                InvertedContrast(
                    share=self.inverted_share, enabled=self.inverted_share > 0
                ),
                DoubleTip(
                    share=self.double_share,
                    strength=self.double,
                    distance_px=self.double_px,
                    enabled=self.double_share > 0,
                ),
                MapGain(gain=self.gain),
                Drift(extent_px=self.drift_px),
                TipBlur(sigma_px=self.blur_px, anisotropy=(1.0, 1.0)),
                TipJumps(
                    jumps_per_map=(self.jump_share, self.jump_share),
                    offset=self.jump,
                    contrast=(0.0, 0.0),
                ),
                BackgroundTilt(
                    amplitude=(self.tilt[0] / across, self.tilt[1] / across),
                    of_each_map=True,
                ),
                OneOverFNoise(
                    amplitude=self.correlated,
                    exponent=self.slope,
                    enabled=self.correlated[1] > 0,
                ),
                LineNoise(
                    amplitude=self.smooth,
                    length_px=self.smooth_px,
                    enabled=self.smooth[1] > 0,
                ),
                MainsHum(amplitude=self.hum, enabled=self.hum[1] > 0),
                ScanLineOffsets(amplitude=self.lines),
                WhiteNoise(amplitude=self.white),
                UnevenNoise(
                    share=self.uneven_share,
                    amplitude=self.uneven,
                    enabled=self.uneven_share > 0,
                ),
            )
        )


def augmented(
    maps: tf.Tensor,
    ring: tf.Tensor,
    positions: tf.Tensor,
    ranges: AugmentationRanges,
    seed: tf.Tensor,
    covered: tf.Tensor | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Turn clean maps into measured ones.

    Args:
        maps: clean, float32 [B, V, H, W], a stack's spread about 1.
        ring: q = 2k [rad/px], float32 [B, V].
        positions: row, column [px], float32 [B, n, 2], padded with NaN.
        ranges: what to draw from.
        seed: of all that is drawn, int64 [2].
        covered: where steps and the like hide the waves, bool [B, H, W]; None
            for nowhere.

    Returns:
        Maps of the same shape, NaN where "not measured"; q as the network is
        given it: 0 where it is unknown; and the positions, all NaN where the
        sample became a surrogate map.
    """
    of_samples, of_instrument, of_gaps = StatelessDraws(seed).split(3)
    maps, positions = _with_surrogates(maps, positions, ranges, of_samples)
    maps, _ = ranges.instrument.apply(maps, of_instrument)
    # Behind the noise: what is blanked is blanked in what was measured.
    maps = _with_holes(maps, positions, ranges, of_samples)
    gaps = MissingLines(share=ranges.missing_share)
    maps = gaps.apply(maps, of_gaps, 1.0)
    maps = _as_prepared(maps, covered, ranges, of_samples)
    return maps, _given(ring, ranges, of_samples), positions


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


def _with_surrogates(
    maps: tf.Tensor,
    positions: tf.Tensor,
    ranges: AugmentationRanges,
    draws: Draws,
) -> tuple[tf.Tensor, tf.Tensor]:
    shape = tf.shape(maps)
    changed = draws.chance([shape[0], 1, 1, 1], ranges.surrogate_share)
    turn = draws.normal([shape[0], 1, shape[2], shape[3]])
    nowhere = tf.constant(math.nan, positions.dtype)
    return (
        tf.where(changed, phase_randomised(maps, turn), maps),
        tf.where(tf.squeeze(changed, -1), nowhere, positions),
    )


def _with_holes(
    maps: tf.Tensor,
    positions: tf.Tensor,
    ranges: AugmentationRanges,
    draws: Draws,
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


def _as_prepared(
    maps: tf.Tensor,
    covered: tf.Tensor | None,
    ranges: AugmentationRanges,
    draws: Draws,
) -> tf.Tensor:
    """Tall objects clipped, what they cover masked, each in some samples."""
    each = [tf.shape(maps)[0], 1, 1, 1]
    if ranges.clipped_share:
        level = draws.uniform(each, ranges.clipped)
        chosen = draws.chance(each, ranges.clipped_share)
        maps = tf.where(chosen, clipped(maps, level), maps)
    if ranges.covered_share and covered is not None:
        masked = draws.chance(each, ranges.covered_share) & covered[:, None]
        maps = tf.where(masked, tf.constant(math.nan, maps.dtype), maps)
    return maps


def clipped(maps: tf.Tensor, level: tf.Tensor | float) -> tf.Tensor:
    """`preprocessing.tall.clip_tall` of a batch.

    Args:
        maps: float32 [B, V, H, W], NaN where not measured.
        level: robust standard deviations at which to clip, [B, 1, 1, 1].

    Returns:
        The same shape, NaN where it was.
    """
    middle = _median(maps)
    limit = level * MAD_TO_STD * _median(tf.abs(maps - middle))
    return tf.clip_by_value(maps, middle - limit, middle + limit)


def _median(maps: tf.Tensor) -> tf.Tensor:
    """Of what is measured of each map, [B, V, 1, 1]; 0 where nothing is."""
    shape = tf.shape(maps)
    flat = tf.reshape(maps, [shape[0], shape[1], -1])
    known = tf.math.is_finite(flat)
    count = tf.reduce_sum(tf.cast(known, tf.int32), -1, keepdims=True)
    ordered = tf.sort(tf.where(known, flat, flat.dtype.max), axis=-1)
    last = tf.maximum(count - 1, 0)
    two = [tf.gather(ordered, i, batch_dims=2) for i in (last // 2, count // 2)]
    middle = (two[0] + two[1]) / 2
    return tf.expand_dims(tf.where(count > 0, middle, 0.0), -1)


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


def _given(
    ring: tf.Tensor, ranges: AugmentationRanges, draws: Draws
) -> tf.Tensor:
    each = [tf.shape(ring)[0], 1]
    kind = draws.uniform(each, (0.0, 1.0))
    error = 1 + draws.uniform(each, (-ranges.wrong, ranges.wrong))
    unknown = kind < ranges.unknown_share
    wrong = kind > 1 - ranges.wrong_share
    return tf.where(unknown, 0.0, tf.where(wrong, ring * error, ring))
