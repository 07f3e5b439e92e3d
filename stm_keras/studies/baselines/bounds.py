"""How well can positions be known? The Cramér-Rao bound.

Map v is o_v + sum_i Re[C_iv e(r) exp(2 i k_v r)], r being the distance from
impurity i, plus white Gaussian noise of width sigma_v. Unknown are the
positions, common to all maps, and in each map the offset o_v and the two
quadratures of every C_iv; the wave numbers are known. With D_v the derivatives
of map v by the positions and A_v those by its own nuisances, the Fisher
information of the positions alone is the Schur complement

    F = sum_v [D_v D_v^T - D_v A_v^T (A_v A_v^T)^-1 A_v D_v^T] / sigma_v^2,

and no unbiased estimator has a covariance below F^-1 (S. M. Kay, Fundamentals
of Statistical Signal Processing: Estimation Theory (1993), chapter 3).

The bound says how far off the positions of impurities that are known to be
there must be; it knows neither missed nor invented ones. Where two impurities
are nearly on one spot it exceeds any tolerance of a match.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.detections import as_positions
from stm_keras.errors import InputError
from stm_keras.ring_model import (
    EQ3,
    Envelope,
    check_wave_numbers,
    pixel_grid,
    position_slopes,
    rays,
    ring_columns,
    solve_normal,
)


def position_bound(
    positions: ArrayLike,
    amplitudes: ArrayLike,
    wave_numbers: ArrayLike,
    *,
    shape: tuple[int, int],
    sigma: ArrayLike,
    envelope: Envelope = EQ3,
) -> np.ndarray:
    """The least covariance of the positions of all impurities at once.

    Args:
        positions: true ones, row and column, [n, 2] [px].
        amplitudes: C, complex [V, n], in the unit of the maps; see
            `fit_amplitudes` for those of simulated maps.
        wave_numbers: k of each map, [V] [rad/px].
        shape: H, W [px].
        sigma: width of the noise of a pixel, one number or [V], in the unit
            of the maps.
        envelope: of the wave. Its kink at the impurity has no derivative: a
            pixel on which an impurity sits exactly counts for nothing.

    Returns:
        Covariance of row and column of each impurity, the others' positions
        being unknown too, float64 [n, 2, 2] [px^2]; inf where the maps do not
        determine the positions.

    Raises:
        InputError: where shapes do not fit, or sigma is not positive.
    """
    places = as_positions(positions, "positions")
    strengths = _amplitudes(amplitudes, len(places))
    k = check_wave_numbers(wave_numbers, len(strengths))
    widths = _widths(sigma, len(k))
    information = np.zeros((2 * len(places),) * 2)
    way = rays(pixel_grid(shape), places)
    columns = ring_columns(way.distance, k, envelope)
    slopes = position_slopes(columns, strengths, k, way, envelope)
    for column, slope, width in zip(columns, slopes, widths, strict=True):
        information += _map_information(column, slope) / width**2
    return _blocks(information)


def pooled_rmse(covariances: Sequence[np.ndarray]) -> float:
    """The bound on `Score.rmse` over the impurities of many maps.

    That is the root mean square *distance* of pairs, rows and columns
    together: sqrt(mean(var_row + var_col)), sqrt(2) times the error along one
    axis where both axes are alike. Pairs farther apart than the tolerance of
    a match are not in `Score.rmse`, and so may bring it below this.

    Args:
        covariances: one array [n, 2, 2] [px^2] a map.

    Returns:
        In px; NaN without impurities.
    """
    traces = [np.einsum("nii->n", c) for c in covariances if len(c)]
    if not traces:
        return float("nan")
    return float(np.sqrt(np.concatenate(traces).mean()))


def _map_information(columns: np.ndarray, slopes: np.ndarray) -> np.ndarray:
    """F of one map at sigma = 1, [2n, 2n], from two [n, 2, H W]."""
    n_pixels = columns.shape[-1]
    derivatives = slopes.reshape(-1, n_pixels)
    nuisances = np.vstack([np.ones(n_pixels), columns.reshape(-1, n_pixels)])
    cross = nuisances @ derivatives.T
    explained = solve_normal((nuisances @ nuisances.T)[None], cross[None])[0]
    return derivatives @ derivatives.T - cross.T @ explained


def _blocks(information: np.ndarray) -> np.ndarray:
    """The 2 x 2 blocks on the diagonal of the inverse."""
    n = len(information) // 2
    values, vectors = np.linalg.eigh((information + information.T) / 2)
    if n and values[0] <= 1e-10 * values[-1]:
        return np.full((n, 2, 2), np.inf)
    covariance = (vectors / values) @ vectors.T
    split = covariance.reshape(n, 2, n, 2)
    return split[np.arange(n), :, np.arange(n)]


def _amplitudes(amplitudes: ArrayLike, n: int) -> np.ndarray:
    """Real and imaginary parts, float64 [V, n, 2]."""
    strengths = np.asarray(amplitudes, np.complex128)
    if strengths.ndim != 2 or strengths.shape[1] != n or not len(strengths):
        raise InputError(
            "`amplitudes` must have the shape [V, n], one for each of the "
            f"{n} positions. Received: {strengths.shape}."
        )
    if not np.isfinite(strengths).all():
        raise InputError("`amplitudes` holds a value that is not finite.")
    return np.stack([strengths.real, strengths.imag], axis=-1)


def _widths(sigma: ArrayLike, n_maps: int) -> np.ndarray:
    widths = np.asarray(sigma, np.float64)
    if (
        widths.shape not in ((), (n_maps,))
        or not (np.isfinite(widths) & (widths > 0)).all()
    ):
        raise InputError(
            "`sigma` must be positive, one number or one for each of the "
            f"{n_maps} maps. Received: {widths.tolist()}."
        )
    return np.broadcast_to(widths, (n_maps,))
