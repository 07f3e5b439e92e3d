"""From the highest pixel to the top of the peak, in the graph."""

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
