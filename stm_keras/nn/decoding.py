"""Impurities from a network's answer, in the graph.

What `stm_keras.analysis.detections` and `stm_keras.analysis.peaks` do with
NumPy, for programs that have nothing but the SavedModel.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.nn.untyped import Tensor

NEAR = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)]
"""The 3 x 3 pixels about one, which is the fifth."""

_MAX_SHIFT_PX = 0.5
"""As in `stm_keras.analysis.peaks`."""


def peak_shift(patch: Tensor) -> Tensor:
    """From each highest pixel to the maximum of a quadratic.

    Args:
        patch: of each pixel and its neighbours, in the order of `NEAR`, the
            score, and 1 where there is one, else 0, float32 [..., 9, 2].

    Returns:
        Row and column, half a pixel at most, float32 [..., 2] [px].
    """
    values = patch[..., 0] - patch[..., 4:5, 0]
    inside = patch[..., 1]
    whole = tf.reduce_all(inside > 0, axis=-1)
    shift = tf.where(
        tf.expand_dims(whole, -1),
        _quadratic_maximum(values),
        # At the border: each axis by itself.
        tf.stack(
            [
                _parabola_maximum(values, inside, 1, 7),
                _parabola_maximum(values, inside, 3, 5),
            ],
            axis=-1,
        ),
    )
    return tf.clip_by_value(shift, -_MAX_SHIFT_PX, _MAX_SHIFT_PX)


def _quadratic_maximum(values: Tensor) -> Tensor:
    """Maximum of the fit to each 3 x 3 [..., 9], or 0 where it has none."""
    row, col = np.array(NEAR, np.float64).T
    design = np.stack([np.ones(9), row, col, row**2, row * col, col**2], axis=1)
    fit = tf.linalg.matmul(values, np.linalg.pinv(design).T.astype(np.float32))
    _, row, col, row_row, row_col, col_col = tf.unstack(fit, axis=-1)
    determinant = 4 * row_row * col_col - row_col**2
    scale = tf.reduce_max(tf.abs(values), axis=-1)
    # Rounding of a fit that is flat along one direction is no maximum.
    peaked = (row_row + col_col < 0) & (determinant > 1e-6 * scale**2)
    shift = tf.stack(
        [row_col * col - 2 * col_col * row, row_col * row - 2 * row_row * col],
        axis=-1,
    )
    shift = tf.math.divide_no_nan(shift, tf.expand_dims(determinant, -1))
    return tf.where(tf.expand_dims(peaked, -1), shift, 0.0)


def _parabola_maximum(
    values: Tensor, inside: Tensor, before: int, after: int
) -> Tensor:
    """Maximum of the parabola through a pixel's two neighbours, and it."""
    both = (inside[..., before] > 0) & (inside[..., after] > 0)
    down, up = values[..., before], values[..., after]
    peaked = both & (down + up < 0)
    shift = tf.math.divide_no_nan(down - up, 2 * (down + up))
    return tf.where(peaked, shift, 0.0)


MOST = 512
"""Impurities that one answer can hold."""

_REACH_PX = 1.0
"""As in `stm_keras.analysis.detections`."""


class Located(NamedTuple):
    """Impurities of each map, the surest first, then padding.

    Attributes:
        positions: row and column [px], float32 [B, MOST, 2]; NaN from `count`
            on.
        certainty: probability, or the score of a peak, float32 [B, MOST]; 0
            from `count` on.
        deviations: standard deviations of row and column [px], float32 [B,
            MOST, 2]; NaN from `count` on, and where nothing tells.
        count: how many there are, int32 [B].
        left_out: how many more candidates there were than fit, int32 [B].
    """

    positions: Tensor
    certainty: Tensor
    deviations: Tensor
    count: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]
    left_out: Tensor


def locate_detections(
    output: Tensor, threshold: float, rate: float, beforehand: float = 0.0
) -> Located:
    """Join what neighbouring pixels say of one impurity.

    Args:
        output: as `Context` gives it, float32 [B, H, W, 5].
        threshold: least joint probability.
        rate: share of those kept that may be false, by expectation.
        beforehand: so many are counted as false before any is looked at.

    Returns:
        See `Located`; the rules are those of
        `stm_keras.analysis.detections.find_detections` and
        `stm_keras.analysis.false_discovery.least_kept`.
    """
    # Of the logit: probabilities near 1 are all the same in 32 bits.
    logit = output[..., 0]
    probability = tf.sigmoid(logit)
    # Joined, the nine pixels reach at most nine times the highest.
    candidate = logit >= _highest_around(logit)
    candidate &= probability > threshold / 9
    pixels, exists, left_out = _surest(logit, candidate)
    shape = tf.shape(output)
    rows, cols = tf.meshgrid(
        tf.range(shape[1]), tf.range(shape[2]), indexing="ij"
    )
    centres = tf.cast(tf.stack([rows, cols], -1), tf.float32)
    said = tf.concat(
        [
            tf.expand_dims(probability, -1),
            centres + output[..., 1:3],
            output[..., 3:],
            tf.ones_like(output[..., :1]),  # inside the frame
        ],
        axis=-1,
    )
    near = _around(said, pixels)  # [B, MOST, 9, 6]
    places, spreads = near[..., 1:3], near[..., 3:5]
    apart = tf.norm(places - places[:, :, 4:5], axis=-1)
    speaks = (near[..., 5] > 0) & (apart < _REACH_PX)
    share = tf.where(speaks, near[..., 0], 0.0)
    joint = 1 - tf.reduce_prod(1 - share, axis=-1)
    whole = tf.reduce_sum(share, axis=-1, keepdims=True)
    weights = tf.expand_dims(tf.math.divide_no_nan(share, whole), -1)
    place = tf.reduce_sum(weights * places, axis=2)
    # Spread of a mixture: that of its parts, and that between them.
    inner = spreads**2 + (places - place[:, :, None]) ** 2
    deviation = tf.sqrt(tf.reduce_sum(weights * inner, axis=2))
    kept = exists & (joint >= threshold)
    kept &= _surest_within_reach(place, joint, kept)
    # One beside the frame still hides what is a second word of it.
    kept &= _in_frame(place, shape)
    found = _packed(place, joint, deviation, kept, left_out)
    return _padded(_few_false(found, rate, beforehand))


def locate_peaks(
    score: Tensor,
    allowed: Tensor,
    measured: Tensor,
) -> Located:
    """Local maxima of a score, moved to the top of a quadratic through them.

    Args:
        score: S, finite, float32 [B, H, W]; also the certainty.
        allowed: where a maximum counts, bool [B, H, W].
        measured: where there is a score at all, bool [B, H, W].

    Returns:
        See `Located`; the rule is that of
        `stm_keras.analysis.peaks.find_peaks`, but that equal neighbours are
        peaks each.
    """
    lowest = tf.fill(tf.shape(score), score.dtype.min)
    highest = _highest_around(tf.where(measured, score, lowest))
    pixels, exists, left_out = _surest(score, (score >= highest) & allowed)
    inside = tf.cast(measured, tf.float32)
    patch = _around(tf.stack([score, inside], -1), pixels)
    place = tf.cast(pixels, tf.float32) + peak_shift(patch)
    unknown = tf.fill(tf.shape(place), np.float32(np.nan))
    found = _packed(place, patch[..., 4, 0], unknown, exists, left_out)
    return _padded(found)


def _highest_around(values: Tensor) -> Tensor:
    # Not `[..., None]`, which LiteRT cannot do with free dimensions.
    image = tf.expand_dims(values, -1)
    return tf.nn.max_pool2d(image, 3, strides=1, padding="SAME")[..., 0]


def _surest(values: Tensor, candidate: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels [B, MOST, 2] of the highest candidates, and which exist."""
    shape: Tensor = tf.shape(values)
    lowest = tf.fill(shape, values.dtype.min)
    flat = tf.reshape(tf.where(candidate, values, lowest), (shape[0], -1))
    # A frame may have fewer pixels than the answer has places.
    flat = tf.pad(flat, ((0, 0), (0, MOST)), constant_values=values.dtype.min)
    height, index = tf.math.top_k(flat, MOST)
    exists = height > values.dtype.min
    index = tf.where(exists, index, 0)
    pixels = tf.stack([index // shape[2], index % shape[2]], axis=-1)
    every = tf.reduce_sum(tf.cast(candidate, tf.int32), axis=(1, 2))
    return pixels, exists, tf.maximum(every - MOST, 0)


def _around(layers: Tensor, pixels: Tensor) -> Tensor:
    """The 3 x 3 about each pixel, [B, n, 9, c]; 0 beyond the frame."""
    padded = tf.pad(layers, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shape = tf.shape(padded)
    flat = tf.reshape(padded, (shape[0], -1, layers.shape[-1]))
    steps = [
        (pixels[..., 0] + 1 + row) * shape[2] + pixels[..., 1] + 1 + col
        for row, col in NEAR
    ]
    return tf.gather(flat, tf.stack(steps, axis=-1), batch_dims=1)


def _surest_within_reach(
    place: Tensor, certainty: Tensor, kept: Tensor
) -> Tensor:
    """Where no surer one lies nearer than `_REACH_PX`, bool [B, n]."""
    apart = tf.norm(place[:, :, None] - place[:, None], axis=-1)
    order = tf.range(MOST)
    # Of equally sure ones the first.
    surer = (certainty[:, None] > certainty[:, :, None]) | (
        (certainty[:, None] == certainty[:, :, None])
        & (order[None, None] < order[None, :, None])
    )
    hidden = (apart < _REACH_PX) & surer & kept[:, None]
    return ~tf.reduce_any(hidden, axis=-1)


def _in_frame(place: Tensor, shape: Tensor) -> Tensor:
    """Which places [B, n, 2] lie on a pixel, bool [B, n]."""
    high = tf.cast(shape[1:3], place.dtype) - 0.5
    return tf.reduce_all((place >= -0.5) & (place < high), axis=-1)


def _packed(
    place: Tensor,
    certainty: Tensor,
    deviation: Tensor,
    kept: Tensor,
    left_out: Tensor,
) -> Located:
    """Those kept first, by certainty; after them anything."""
    count = tf.reduce_sum(tf.cast(kept, tf.int32), axis=-1)
    lowest = tf.fill(tf.shape(certainty), certainty.dtype.min)
    order = tf.math.top_k(tf.where(kept, certainty, lowest), MOST)[1]
    place, certainty, deviation = (
        tf.gather(values, order, batch_dims=1)
        for values in (place, certainty, deviation)
    )
    return Located(place, certainty, deviation, count, left_out)


def _few_false(found: Located, rate: float, beforehand: float) -> Located:
    """The surest, as long as few enough of them are expected to be false."""
    number = np.arange(1, MOST + 1, dtype=np.int32)
    allowed = np.float32(rate) * number.astype(np.float32) - beforehand
    # Axis 1, not -1, of which TensorFlow.js makes another sum.
    kept = tf.cumsum(1 - found.certainty, axis=1) <= allowed
    kept &= tf.range(MOST) < found.count[:, None]
    # One may not stay alone that does among more.
    count = tf.reduce_max(tf.where(kept, number, 0), axis=-1)
    return found._replace(count=count)


def _padded(found: Located) -> Located:
    """Padding in place of what is beyond the count."""
    exists = tf.range(MOST)[None] < found.count[:, None]
    nan = np.float32(np.nan)
    return found._replace(
        positions=tf.where(tf.expand_dims(exists, -1), found.positions, nan),
        certainty=tf.where(exists, found.certainty, 0.0),
        deviations=tf.where(tf.expand_dims(exists, -1), found.deviations, nan),
    )
