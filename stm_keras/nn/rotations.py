"""One answer from the maps as they are and turned by 90, 180 and 270 degrees.

Nothing in the physics knows which way a frame lies, and the training shows all
of the square's symmetries; yet a network answers a little differently for each,
and these errors are its own. Their mean has less of them.
"""

from collections.abc import Callable

import tensorflow as tf

from stm_keras.nn.untyped import Tensor

N_ROTATIONS = 4

Answer = Callable[[Tensor, Tensor, Tensor], Tensor]
"""From maps and where they were measured, both [B, V, H, W], and 2k [B, V] to
an answer as of `Context`, [B, H, W, 5]."""

_ROWS, _COLS = 2, 3
"""Axes of maps; those of an answer come one earlier."""


def mean_over_rotations(
    answers: tuple[Answer, Answer], maps: Tensor, measured: Tensor, ring: Tensor
) -> Tensor:
    """Ask for the four rotations, and give the mean of what is said.

    Two at a time go through the network, as one batch: those that lie upright
    and those that lie on their side, whose frames have another shape.

    Args:
        answers: the network, for those upright and for those on their side.
            In a graph these are two functions: tf2onnx cannot take one with a
            loop in it twice.
        maps: [B, V, H, W].
        measured: 1 where a pixel was measured and 0 elsewhere, [B, V, H, W].
        ring: 2k of each map [rad/px], [B, V].

    Returns:
        The logit of the mean probability; offsets and deviations of the
        mixture, each rotation weighed with the probability that it gives;
        [B, H, W, 5].
    """
    upright = tf.concat([maps, _turned(maps, _ROWS, _COLS)], axis=0)
    seen = tf.concat([measured, _turned(measured, _ROWS, _COLS)], axis=0)
    told = tf.concat([ring, ring], axis=0)
    one, two = tf.split(answers[0](upright, seen, told), 2, axis=0)
    # On its side: transposed after a flip, which is a quarter turn.
    side, seen = _on_its_side(maps), _on_its_side(measured)
    three, four = tf.split(answers[1](side, seen, told), 2, axis=0)
    views = [
        one,
        _back(two, (1, 2), (-1.0, -1.0)),
        _back(_transposed(three), (1,), (-1.0, 1.0)),
        _back(_transposed(four), (2,), (1.0, -1.0)),
    ]
    return _mixture(views)


def _turned(values: Tensor, *axes: int) -> Tensor:
    # One after the other: OpenVINO turns no two at once.
    for axis in axes:
        values = tf.reverse(values, (axis,))
    return values


def _on_its_side(maps: Tensor) -> Tensor:
    both = tf.concat([_turned(maps, _ROWS), _turned(maps, _COLS)], axis=0)
    return tf.transpose(both, (0, 1, 3, 2))


def _transposed(output: Tensor) -> Tensor:
    """An answer with rows and columns exchanged, also in what it says."""
    logit, row, col, by_row, by_col = tf.split(output, 5, axis=-1)
    exchanged = tf.concat([logit, col, row, by_col, by_row], axis=-1)
    return tf.transpose(exchanged, (0, 2, 1, 3))


def _back(
    output: Tensor, axes: tuple[int, ...], signs: tuple[float, float]
) -> Tensor:
    """Undo a flip of the maps in the answer for them."""
    factors = tf.constant([1.0, *signs, 1.0, 1.0], output.dtype)
    return _turned(output, *axes) * factors


def _mixture(views: list[Tensor]) -> Tensor:
    """See `mean_over_rotations`; of answers [B, H, W, 5]."""
    # A number of all views side by side, [B, H, W, n]: with one more axis
    # TensorFlow.js cannot do it on a graphics card.
    parts = zip(*(tf.split(view, 5, axis=-1) for view in views), strict=True)
    logit, row, col, by_row, by_col = (tf.concat(part, -1) for part in parts)
    # Of logarithms: probabilities near 0 and 1 are all the same in 32 bits.
    there, not_there = tf.math.log_sigmoid(logit), tf.math.log_sigmoid(-logit)
    share = tf.nn.softmax(there, axis=-1)
    logit = _log_sum(there) - _log_sum(not_there)
    places, widths = [], []
    for place, width in ((row, by_row), (col, by_col)):
        mean = tf.reduce_sum(share * place, axis=-1, keepdims=True)
        inner = width**2 + (place - mean) ** 2
        variance = tf.reduce_sum(share * inner, axis=-1, keepdims=True)
        places.append(mean)
        widths.append(tf.sqrt(variance))
    return tf.concat([logit, *places, *widths], axis=-1)


def _log_sum(values: Tensor) -> Tensor:
    return tf.reduce_logsumexp(values, axis=-1, keepdims=True)
