"""From a network's answer per pixel to impurities: the only decoding there is.

It is written in TensorFlow operations, so that the SavedModel carries it into
other programs; `find_detections` and `find_standing_out` run the same ones
eagerly on one frame, for `Detector.predict`, training and calibration.
"""

from typing import NamedTuple

import numpy as np
import tensorflow as tf
from numpy.typing import ArrayLike

from stm_keras.errors import InputError
from stm_keras.nn.untyped import Tensor
from stm_keras.scoring import Peaks

LEAST_FRAME_PX = 16
"""In a smaller frame `Context` would see little but its edge."""

MOST = 512
"""Impurities that one answer of a SavedModel can hold."""

NOTHING = 1.0
"""Threshold where nothing is sure enough."""

NEAR = [(row, col) for row in (-1, 0, 1) for col in (-1, 0, 1)]
"""The 3 x 3 pixels about one, which is the fifth."""

_REACH_PX = 1.0
"""Neighbouring pixels speak of one impurity where the places that they give
lie nearer than this."""

_MAX_SHIFT_PX = 0.5
"""A refined peak stays inside the pixel that holds the maximum."""

_NOWHERE = -1e9
"""A logit of probability 0."""


class Located(NamedTuple):
    """Impurities of each frame, the surest first, then padding.

    Attributes:
        positions: row and column [px], float32 [B, n, 2]; NaN from `count` on.
        certainty: probability, or the score of a peak, float32 [B, n]; 0 from
            `count` on.
        deviations: standard deviations of row and column [px], float32 [B, n,
            2]; NaN from `count` on, and where nothing tells.
        pixels: row and column of the pixel that is surest of each, int32 [B,
            n, 2]; 0 from `count` on.
        count: how many there are, int32 [B].
        left_out: how many more candidates there were than fit, int32 [B].
    """

    positions: Tensor
    certainty: Tensor
    deviations: Tensor
    pixels: Tensor
    count: Tensor  # pyright: ignore[reportIncompatibleMethodOverride]
    left_out: Tensor


class Candidates(NamedTuple):
    """Impurities of one frame, the surest first.

    Attributes:
        positions: row and column [px], float64 [n, 2].
        probabilities: that there is an impurity, float64 [n].
        deviations: standard deviations of row and column [px], float64
            [n, 2].
        pixels: row and column of the pixel that is surest of each, int64
            [n, 2].
    """

    positions: np.ndarray
    probabilities: np.ndarray
    deviations: np.ndarray
    pixels: np.ndarray


def locate_detections(
    output: Tensor, threshold: float, rate: float, prior_false: float = 0.0
) -> Located:
    """Impurities in frames, few enough of them false.

    Args:
        output: as `Context` gives it, float32 [B, H, W, 5].
        threshold: least joint probability.
        rate: share of those kept that may be false, by expectation.
        prior_false: see `kept_by_rate`.

    Returns:
        See `Located`, at most `MOST` a frame.
    """
    joined = _joined(output, threshold, MOST)
    found = _distinct(joined, tf.shape(output)[1:3])
    kept = kept_by_rate(found.certainty, found.count, rate, prior_false)
    return _padded(found._replace(count=kept))


def find_detections(output: ArrayLike, threshold: float) -> Candidates:
    """Join what neighbouring pixels say of one impurity.

    The network gives every pixel its own probability; an impurity between
    two pixels is shared by them. Around every local maximum of the
    probability, those of the 3 x 3 pixels that place the impurity within
    1 px of where the maximum does are joined: p = 1 - prod(1 - p_i), and
    the position is the mean weighted with p_i. What is placed outside of the
    field of view is left out: it is an impurity of the surface around.

    Args:
        output: as `stm_keras.nn.context.Context` gives it, float [H, W, 5];
            NaN and -inf where there is no answer.
        threshold: the least joint probability.

    Returns:
        The impurities in the frame, no two nearer than 1 px.

    Raises:
        InputError: for another shape, or a threshold outside (0, 1).
    """
    values = np.array(output, dtype=np.float32)
    if values.ndim != 3 or values.shape[-1] != 5:
        raise InputError(
            "Detections are read from an output [H, W, 5]. Received the shape "
            f"{list(values.shape)}."
        )
    if not 0 < threshold < 1:
        raise InputError(
            f"`threshold` must lie between 0 and 1. Received: {threshold}"
        )
    values[~np.isfinite(values[..., 0]), 0] = _NOWHERE
    frame = tf.constant(values[None])
    joined = _joined(frame, threshold, _number(_candidates(frame, threshold)))
    # Distances are taken between those that count alone: of all pixels they
    # would not fit into memory.
    joined = _first(joined, int(joined.count[0]))
    found = _distinct(joined, tf.constant(values.shape[:2]))
    found = _first(found, int(found.count[0]))
    return Candidates(
        found.positions[0].numpy().astype(np.float64),
        found.certainty[0].numpy().astype(np.float64),
        found.deviations[0].numpy().astype(np.float64),
        found.pixels[0].numpy().astype(np.int64),
    )


def joined_logits(output: ArrayLike, pixels: ArrayLike) -> np.ndarray:
    """Logits of the pixels that were joined in detections.

    Args:
        output: see `find_detections`.
        pixels: of its detections, int [n, 2].

    Returns:
        float64 [n, 9]; -inf for a neighbour that speaks of something else or
        lies outside.
    """
    values = tf.constant(np.asarray(output, np.float32)[None])
    where = np.asarray(pixels, np.int32).reshape(1, -1, 2)
    near = _around(_said(values), tf.constant(where))
    logits = near[..., 0].numpy()[0].astype(np.float64)
    return np.where(_speaks(near).numpy()[0], logits, -np.inf)


def kept_by_rate(
    probability: Tensor, count: Tensor, rate: float, prior_false: float = 0.0
) -> Tensor:
    """How many detections to keep, so that few enough are false.

    The surest are kept, as long as the sum of 1 - p over those kept, which is
    the number of false ones to be expected, does not exceed the rate times
    their number (M. A. Newton et al., Biostatistics 5, 155 (2004), DOI
    10.1093/biostatistics/5.2.155). A prior count of false ones may be added:
    one or two must then be surer than many, as in a stack that may well be
    empty they should be (likewise the 1 of R. F. Barber and E. J. Candes, Ann.
    Stat. 43, 2055 (2015), DOI 10.1214/15-AOS1337). Equally probable ones stay
    or go together.

    Args:
        probability: falling, float32 [B, n].
        count: how many of them there are, int32 [B].
        rate: the share of false ones among all kept, 0 to 1.
        prior_false: count of false detections before any is inspected.

    Returns:
        int32 [B].
    """
    number = tf.range(1, tf.shape(probability)[1] + 1)[None]
    # Axis 1, not -1, of which TensorFlow.js makes another sum.
    false = prior_false + tf.cumsum(1 - probability, axis=1)
    allowed = false <= np.float32(rate) * tf.cast(number, tf.float32)
    after = tf.pad(probability[:, 1:], ((0, 0), (0, 1)), constant_values=-1.0)
    total = tf.expand_dims(count, 1)
    allowed &= (probability > after) | (number >= total)
    allowed &= number <= total
    # One may not stay alone that does among more.
    return tf.reduce_max(tf.where(allowed, number, 0), axis=1)


def least_kept(
    probabilities: ArrayLike,
    rate: float,
    floor: float = 0.0,
    prior_false: float = 0.0,
) -> float:
    """The least probability that `kept_by_rate` keeps in one stack.

    Args:
        probabilities: of each detection to be true, float [n].
        rate: the share of false ones among all kept, 0 to 1.
        floor: none less probable is kept, whatever the rate allows: with many
            sure detections it would allow guesses.
        prior_false: see `kept_by_rate`.

    Returns:
        The threshold, `NOTHING` or just above where not even the surest may
        stay. Those of at least this probability are to be kept.

    Raises:
        InputError: for a rate outside (0, 1).
    """
    if not 0 < rate < 1:
        raise InputError(
            f"A false-discovery rate lies between 0 and 1. Received: {rate}"
        )
    p = np.sort(np.asarray(probabilities, np.float64).ravel())[::-1]
    p = p[p >= floor]
    if len(p):
        falling = tf.constant(p[None], tf.float32)
        count = tf.constant([len(p)])
        if n := int(kept_by_rate(falling, count, rate, prior_false)[0]):
            return float(p[n - 1])
    # With a prior count of false ones, not even certain ones need stay.
    certain = len(p) > 0 and p[0] >= NOTHING
    return float(np.nextafter(NOTHING, 2)) if certain else NOTHING


def locate_peaks(
    score: Tensor, allowed: Tensor, measured: Tensor, most: int = MOST
) -> Located:
    """Local maxima of a score, moved to the top of a quadratic through them.

    Of equal neighbours the first in reading order is a peak. The lowest
    value of a frame is none, so that a flat one has none.

    Args:
        score: S, finite, float32 [B, H, W]; also the certainty.
        allowed: where a maximum counts, bool [B, H, W]; a maximum elsewhere
            still hides its slope.
        measured: where there is a score at all, bool [B, H, W].
        most: peaks a frame.

    Returns:
        See `Located`.
    """
    maxima = _maxima(score, measured) & allowed
    pixels, exists, left_out = _surest(score, maxima, most)
    inside = tf.cast(measured, tf.float32)
    patch = _around(tf.stack([score, inside], -1), pixels)
    place = tf.cast(pixels, tf.float32) + peak_shift(patch)
    unknown = tf.fill(tf.shape(place), np.float32(np.nan))
    height = patch[..., 4, 0]
    return _padded(_packed(place, height, unknown, pixels, exists, left_out))


def locate_standing_out(
    score: Tensor,
    measured: Tensor,
    threshold: Tensor | float,
    floor: Tensor | float,
    most: int = MOST,
) -> Located:
    """Peaks of the score of `Wang2020` that stand out from its spread.

    S grows with the number of maps and with their clarity, in the background
    as at the impurities, so that no one value of it parts the two. In units
    of its spread one threshold serves maps clearer than those of the training
    as well.

    Args:
        score: S, finite, float32 [B, H, W].
        measured: where there is a score at all, bool [B, H, W].
        threshold: least S of a peak, in standard deviations above its mean.
        floor: S that a peak must exceed as well.
        most: peaks a frame.

    Returns:
        See `Located`; the certainty is S in standard deviations.
    """
    height = standardised(score, measured)
    allowed = measured & (height > threshold) & (score > floor)
    return locate_peaks(height, allowed, measured, most)


def find_standing_out(
    score: ArrayLike,
    threshold: float = -np.inf,
    floor: float = -np.inf,
) -> Peaks:
    """`locate_standing_out` of one frame, however many there are.

    Args:
        score: S, float [H, W]; NaN where not measured.
        threshold: see `locate_standing_out`.
        floor: see `locate_standing_out`.
    """
    values = np.asarray(score, np.float32)
    measured = np.isfinite(values)
    frame = tf.constant(np.where(measured, values, 0.0)[None])
    seen = tf.constant(measured[None])
    # Not more peaks than maxima: each slot costs memory.
    most = _number(_maxima(frame, seen) & seen)
    found = locate_standing_out(frame, seen, threshold, floor, most)
    found = _first(found, int(found.count[0]))
    return Peaks(
        found.positions[0].numpy().astype(np.float64),
        found.certainty[0].numpy().astype(np.float64),
    )


def standardised(score: Tensor, measured: Tensor) -> Tensor:
    """S in its own standard deviations above its mean; 0 of a flat frame.

    Args:
        score: S, finite, float32 [B, H, W].
        measured: what counts, bool [B, H, W].
    """
    held = tf.cast(measured, tf.float32)
    count = tf.maximum(tf.reduce_sum(held, (1, 2), keepdims=True), 1.0)
    away = score - tf.reduce_sum(score * held, (1, 2), keepdims=True) / count
    square = tf.reduce_sum(away**2 * held, (1, 2), keepdims=True) / count
    return tf.math.divide_no_nan(away, tf.sqrt(square))


def _maxima(score: Tensor, measured: Tensor) -> Tensor:
    """See `locate_peaks`, bool [B, H, W]."""
    shape = tf.shape(score)
    seen = tf.where(measured, score, tf.fill(shape, score.dtype.min))
    others = tf.where(measured, score, tf.fill(shape, score.dtype.max))
    floor = tf.reduce_min(others, (1, 2), keepdims=True)
    first = (score >= _highest_around(seen)) & (score > _highest_before(seen))
    return first & (score > floor)


def _joined(output: Tensor, threshold: float, most: int) -> Located:
    """What neighbouring pixels say of one impurity, joined.

    Args:
        output: see `locate_detections`.
        threshold: least joint probability.
        most: candidates a frame.

    Returns:
        Also such as lie outside of the frame or within 1 px of a surer one.
    """
    candidates = _candidates(output, threshold)
    pixels, exists, left_out = _surest(output[..., 0], candidates, most)
    near = _around(_said(output), pixels)  # [B, n, 9, 6]
    places, spreads = near[..., 1:3], near[..., 3:5]
    share = tf.where(_speaks(near), tf.sigmoid(near[..., 0]), 0.0)
    joint = 1 - tf.reduce_prod(1 - share, axis=-1)
    whole = tf.reduce_sum(share, axis=-1, keepdims=True)
    weights = tf.expand_dims(tf.math.divide_no_nan(share, whole), -1)
    place = tf.reduce_sum(weights * places, axis=2)
    # Spread of a mixture: that of its parts, and that between them.
    inner = spreads**2 + (places - place[:, :, None]) ** 2
    deviation = tf.sqrt(tf.reduce_sum(weights * inner, axis=2))
    kept = exists & (joint >= threshold)
    return _packed(place, joint, deviation, pixels, kept, left_out)


def _candidates(output: Tensor, threshold: float) -> Tensor:
    """Pixels that may be the surest of an impurity, bool [B, H, W]."""
    # Of the logit: probabilities near 1 are all the same in 32 bits.
    logit = output[..., 0]
    # Joined, the nine pixels reach at most nine times the highest.
    likely = tf.sigmoid(logit) > threshold / 9
    return likely & (logit >= _highest_around(logit))


def _number(chosen: Tensor) -> int:
    """How many pixels of one frame, at least one."""
    return max(1, int(tf.reduce_sum(tf.cast(chosen, tf.int32))))


def _said(output: Tensor) -> Tensor:
    """Each pixel's logit, place, deviations, and 1, [B, H, W, 6]."""
    shape = tf.shape(output)
    rows, cols = tf.meshgrid(
        tf.range(shape[1]), tf.range(shape[2]), indexing="ij"
    )
    centres = tf.cast(tf.stack([rows, cols], -1), tf.float32)
    return tf.concat(
        [
            output[..., :1],
            centres + output[..., 1:3],
            output[..., 3:],
            tf.ones_like(output[..., :1]),  # inside the frame
        ],
        axis=-1,
    )


def _speaks(near: Tensor) -> Tensor:
    """Which of nine pixels are in the frame and mean the same impurity."""
    places = near[..., 1:3]
    apart = tf.norm(places - places[:, :, 4:5], axis=-1)
    return (near[..., 5] > 0) & (apart < _REACH_PX)


def _distinct(joined: Located, size: Tensor) -> Located:
    """Those in the frame and with no surer one nearer than `_REACH_PX`.

    Args:
        joined: the surest first.
        size: height and width of the frame [px].
    """
    place = joined.positions
    order = tf.range(tf.shape(place)[1])
    exists = order[None] < joined.count[:, None]
    surer = (order[None] < order[:, None])[None] & exists[:, None]
    # Axis by axis: [B, n, n, 2] would be the largest tensor of all.
    down, right = tf.unstack(place, num=2, axis=-1)
    down = tf.expand_dims(down, 2) - tf.expand_dims(down, 1)
    right = tf.expand_dims(right, 2) - tf.expand_dims(right, 1)
    near = down * down + right * right < _REACH_PX**2
    kept = exists & ~tf.reduce_any(near & surer, axis=-1)
    # One outside of the frame still hides what is a second word of it.
    high = tf.cast(size, place.dtype) - 0.5
    kept &= tf.reduce_all((place >= -0.5) & (place < high), axis=-1)
    return _packed(
        place,
        joined.certainty,
        joined.deviations,
        joined.pixels,
        kept,
        joined.left_out,
    )


def _highest_around(values: Tensor) -> Tensor:
    # Not `[..., None]`, which LiteRT cannot do with free dimensions.
    image = tf.expand_dims(values, -1)
    return tf.nn.max_pool2d(image, 3, strides=1, padding="SAME")[..., 0]


def _highest_before(values: Tensor) -> Tensor:
    """The highest of the four neighbours that come before in reading order."""
    borders = ((0, 0), (1, 0), (1, 1))
    padded = tf.pad(values, borders, constant_values=values.dtype.min)
    above = tf.maximum(padded[:, :-1, :-2], padded[:, :-1, 1:-1])
    above = tf.maximum(above, padded[:, :-1, 2:])
    return tf.maximum(above, padded[:, 1:, :-2])


def _surest(
    values: Tensor, candidate: Tensor, most: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Pixels [B, most, 2] of the highest candidates, and which exist."""
    shape: Tensor = tf.shape(values)
    lowest = tf.fill(shape, values.dtype.min)
    flat = tf.reshape(tf.where(candidate, values, lowest), (shape[0], -1))
    # A frame may have fewer pixels than the answer has places.
    flat = tf.pad(flat, ((0, 0), (0, most)), constant_values=values.dtype.min)
    height, index = tf.math.top_k(flat, most)
    exists = height > values.dtype.min
    index = tf.where(exists, index, 0)
    pixels = tf.stack([index // shape[2], index % shape[2]], axis=-1)
    every = tf.reduce_sum(tf.cast(candidate, tf.int32), axis=(1, 2))
    return pixels, exists, tf.maximum(every - most, 0)


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


def _packed(
    place: Tensor,
    certainty: Tensor,
    deviation: Tensor,
    pixels: Tensor,
    kept: Tensor,
    left_out: Tensor,
) -> Located:
    """Those kept first, by certainty; after them anything."""
    count = tf.reduce_sum(tf.cast(kept, tf.int32), axis=-1)
    lowest = tf.fill(tf.shape(certainty), certainty.dtype.min)
    ranked = tf.where(kept, certainty, lowest)
    order = tf.math.top_k(ranked, tf.shape(ranked)[1])[1]
    place, certainty, deviation, pixels = (
        tf.gather(values, order, batch_dims=1)
        for values in (place, certainty, deviation, pixels)
    )
    return Located(place, certainty, deviation, pixels, count, left_out)


def _first(found: Located, n: int) -> Located:
    """The first n of each frame."""
    return found._replace(
        positions=found.positions[:, :n],
        certainty=found.certainty[:, :n],
        deviations=found.deviations[:, :n],
        pixels=found.pixels[:, :n],
    )


def _padded(found: Located) -> Located:
    """Padding in place of what is beyond the count."""
    number = tf.range(tf.shape(found.certainty)[1])
    exists = number[None] < found.count[:, None]
    pair = tf.expand_dims(exists, -1)
    nan = np.float32(np.nan)
    return found._replace(
        positions=tf.where(pair, found.positions, nan),
        certainty=tf.where(exists, found.certainty, 0.0),
        deviations=tf.where(pair, found.deviations, nan),
        pixels=tf.where(pair, found.pixels, 0),
    )


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
