"""Maps as sums of rings: linear in amplitudes, not in positions.

Map v is y_v = o_v + sum_i Re[C_iv f_v(|r - r_i|)] + noise. For given
positions the offset o_v and the real and imaginary parts of C_iv follow by
linear least squares; eliminating them leaves a problem in the positions alone
(variable projection: G. H. Golub and V. Pereyra, SIAM J. Numer. Anal. 10, 413
(1973), DOI 10.1137/0710036).
"""

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.analysis.matching import as_positions
from stm_keras.analysis.ring_template import EQ3, Template
from stm_keras.errors import InputError

RIDGE = 1e-9
"""Of a Gram matrix's diagonal; keeps two impurities on one spot soluble."""


def check_wave_numbers(wave_numbers: ArrayLike, n_maps: int) -> np.ndarray:
    """k of `n_maps` maps [rad/px], float64 [V].

    Raises:
        InputError: unless there is a positive one for each map.
    """
    k = np.asarray(wave_numbers, np.float64)
    if k.shape != (n_maps,) or not (np.isfinite(k) & (k > 0)).all():
        raise InputError(
            "`wave_numbers` must be positive, one for each of the "
            f"{n_maps} maps. Received: {k.tolist()}."
        )
    return k


def check_maps(maps: ArrayLike) -> np.ndarray:
    """A stack as float64 [V, H, W]; NaN where not measured.

    Raises:
        InputError: for another shape, an axis of 0, or an infinite value.
    """
    stack = np.asarray(maps, np.float64)
    if stack.ndim != 3 or not stack.size:
        raise InputError(
            "`maps` must have the shape [V, H, W], none of them 0. "
            f"Received: {stack.shape}."
        )
    if np.isinf(stack).any():
        raise InputError("`maps` holds an infinite value; use NaN for gaps.")
    return stack


def pixel_grid(shape: tuple[int, int]) -> np.ndarray:
    """Row and column of every pixel in reading order, float64 [H W, 2]."""
    rows, cols = np.indices(shape)
    return np.stack([rows.ravel(), cols.ravel()], axis=1).astype(np.float64)


def ring_columns(
    pixels: np.ndarray,
    positions: np.ndarray,
    wave_numbers: np.ndarray,
    template: Template,
) -> tuple[np.ndarray, np.ndarray]:
    """What multiplies Re C and Im C of every impurity, and its slopes.

    Args:
        pixels: row and column, float [P, 2] [px]; its dtype is used.
        positions: impurities, [n, 2] [px].
        wave_numbers: k, [V] [rad/px].
        template: the wave.

    Returns:
        Columns, float [V, n, 2, P]: f.real and -f.imag; and their derivatives
        by the impurity's row and column, [V, n, 2, 2, P] [1/px], the third
        axis being that of the columns, the fourth that of row and column. At
        the impurity itself, where the distance has a kink, these are 0.
    """
    kind = pixels.dtype
    offset = positions.astype(kind)[:, :, None] - pixels.T
    distance = np.hypot(offset[:, 0], offset[:, 1])
    # d|r - r_i| / d r_i
    offset /= np.maximum(distance, np.finfo(kind).tiny)[:, None]
    shape = (len(wave_numbers), len(positions), 2, len(pixels))
    columns = np.empty(shape, kind)
    slopes = np.empty((*shape[:3], 2, shape[3]), kind)
    for k, column, slope in zip(wave_numbers, columns, slopes, strict=True):
        wave, rate = template(distance, float(k))
        column[:, 0], column[:, 1] = wave.real, -wave.imag
        np.multiply(rate.real[:, None], offset, out=slope[:, 0])
        np.multiply(-rate.imag[:, None], offset, out=slope[:, 1])
    return columns, slopes


def solve_normal(gram: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solve symmetric systems, [V, M, M] and [V, M, R] -> [V, M, R]."""
    diagonal = np.einsum("vii->vi", gram)
    scale = 1 / np.sqrt(np.maximum(diagonal, np.finfo(np.float64).tiny))
    # Unit diagonal: an impurity far off the frame is as well scaled.
    scaled = gram * scale[:, :, None] * scale[:, None, :]
    scaled += RIDGE * np.eye(gram.shape[-1])
    return scale[:, :, None] * np.linalg.solve(scaled, scale[:, :, None] * rhs)


def fit_amplitudes(
    maps: ArrayLike,
    positions: ArrayLike,
    wave_numbers: ArrayLike,
    *,
    template: Template = EQ3,
) -> np.ndarray:
    """Amplitudes of impurities whose positions are known.

    From noise-free maps this returns the true ones, whatever was subtracted
    from each map and divided by afterwards.

    Args:
        maps: [V, H, W], float; NaN = not measured.
        positions: [n, 2], row and column [px].
        wave_numbers: k of each map, [V] [rad/px].
        template: the wave.

    Returns:
        C, complex128 [V, n], in the unit of the maps.

    Raises:
        InputError: where shapes do not fit or a number is not finite.
    """
    stack = check_maps(maps)
    k = check_wave_numbers(wave_numbers, len(stack))
    places = as_positions(positions, "positions")
    flat = stack.reshape(len(stack), -1)
    columns, _ = ring_columns(
        pixel_grid(stack.shape[1:]), places, k, template
    )
    columns = columns.reshape(len(stack), -1, flat.shape[1])
    amplitudes = np.empty((len(stack), 2 * len(places)))
    for values, design, out in zip(flat, columns, amplitudes, strict=True):
        seen = np.isfinite(values)
        table = np.vstack([design[:, seen], np.ones(seen.sum())])
        out[:] = np.linalg.lstsq(table.T, values[seen])[0][:-1]
    return amplitudes[:, ::2] + 1j * amplitudes[:, 1::2]
