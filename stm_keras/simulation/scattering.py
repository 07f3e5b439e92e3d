"""Standing waves around point scatterers, multiple scattering included.

Free two-dimensional electrons and s-wave point scatterers, solved exactly
(G. A. Fiete and E. J. Heller, Rev. Mod. Phys. 75, 933 (2003),
doi:10.1103/RevModPhys.75.933). In units of the clean surface's LDOS:

    LDOS(r) = 1 + Re sum_ij h_i(r) T_ij h_j(r)
    h_i(r)  = H0^(1)(k |r - r_i|) exp(-|r - r_i| / 2l)
    T       = (1 - t G)^(-1) t,  G_ij = h_i(r_j),  G_ii = 0
    t_j     = (exp(2 i delta_j - 2 a_j) - 1) / 2

Lengths are in pixels and wave numbers in rad/px. What dI/dV maps show, the
modulation, is LDOS - 1.
"""

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist

from stm_keras.errors import InputError
from stm_keras.simulation.hankel import check_reach, hankel0
from stm_keras.simulation.scatterers import (
    Scatterers,
    check_distances,
    t_amplitude,
)
from stm_keras.simulation.superposition import superpose

MIN_DISTANCE_PX = 0.5
"""Default of the smallest distance between two impurities."""


def check_sampling(
    wave_number: ArrayLike, pixel_nm: float | None = None
) -> None:
    """Refuse wave numbers that are not real or too large for the pixel.

    Args:
        wave_number: k, rad/px, any shape. Rings have the wave number 2k,
            and pixels show no more than pi rad/px (Nyquist).
        pixel_nm: width of a pixel [nm], for the message only.

    Raises:
        InputError: where 2k > pi, with a pixel that would do, or where k is
            not a positive number.
    """
    k = np.asarray(wave_number, np.float64)
    if not (np.isfinite(k) & (k > 0)).all():
        raise InputError(
            "Wave numbers must be positive numbers [rad/px]: every energy "
            f"must lie above the band edge. Received: {k.min():g}."
        )
    ratio = math.pi / (2 * k.max())
    if ratio < 1:
        # Rounded down, so that the pixel named really does.
        enough = (
            f"{math.floor(ratio * 1000) / 1000:g} times as wide"
            if pixel_nm is None
            else f"{math.floor(ratio * pixel_nm * 1e4) / 1e4:g} nm wide"
        )
        raise InputError(
            f"The pixel is too coarse: the rings reach 2k = {2 * k.max():.4g} "
            "rad/px, and above pi rad/px they alias. Take pixels "
            f"{enough}, or leave out the highest energies."
        )


def t_matrix(
    scatterers: Scatterers, k: np.ndarray, mean_free_path: np.ndarray
) -> np.ndarray:
    """T = (1 - t G)^(-1) t, all orders of scattering between impurities.

    Args:
        scatterers: n impurities at V energies.
        k: wave numbers [V], rad/px.
        mean_free_path: l [V], px; `inf` for no damping.

    Returns:
        T, complex128 [V, n, n].
    """
    t = t_amplitude(scatterers.delta, scatterers.absorption)
    positions = np.asarray(scatterers.positions, np.float64)
    n = len(positions)
    G = np.zeros((len(k), n, n), np.complex128)
    if n > 1:
        r = pdist(positions)
        check_reach(float(k.max()), float(r.max()))
        waves = hankel0(k[:, None] * r) * np.exp(
            -r / (2 * mean_free_path[:, None])
        )
        first, second = np.triu_indices(n, 1)
        G[:, first, second] = G[:, second, first] = waves
    one = np.eye(n)
    return np.linalg.solve(one - t[:, :, None] * G, t[:, :, None] * one)


def ldos(
    scatterers: Scatterers,
    *,
    wave_number: ArrayLike,
    shape: tuple[int, int],
    mean_free_path: ArrayLike = math.inf,
    min_distance_px: float = MIN_DISTANCE_PX,
) -> np.ndarray:
    """Local density of states around scatterers, in units of the clean one.

    Args:
        scatterers: n impurities at V energies; none gives a flat map.
        wave_number: k of each energy [V], rad/px.
        shape: (height, width) of the frame, px.
        mean_free_path: l, one for all energies or [V], px; `inf` for no
            damping.
        min_distance_px: impurities may not be closer than this.

    Returns:
        LDOS, float32 [V, H, W]; 1 is the clean surface. Pixels within
        0.05 px of a scatterer, where the wave diverges as ln r, count as
        that far (`superposition.GUARD_RADIUS_PX`).

    Raises:
        InputError: where 2k > pi rad/px, impurities are closer than
            `min_distance_px` or thousands of pixels away, or shapes do not
            fit.
    """
    k = np.asarray(wave_number, np.float64)
    length = np.asarray(mean_free_path, np.float64)
    if k.shape != scatterers.delta.shape[:1] or length.shape not in {
        (),
        k.shape,
    }:
        raise InputError(
            f"`wave_number` must be [V] and `mean_free_path` one number or "
            f"[V], V = {len(scatterers.delta)}. Received shapes {k.shape} "
            f"and {length.shape}."
        )
    if not (length > 0).all():
        raise InputError(
            f"`mean_free_path` must be above 0 px. Received: {length.min():g}."
        )
    check_sampling(k)
    check_distances(scatterers.positions, min_distance_px)
    if not len(scatterers.positions):
        return np.ones((len(k), *shape), np.float32)
    length = np.broadcast_to(length, k.shape)
    T = t_matrix(scatterers, k, length).astype(np.complex64)
    return superpose(T, k, length, scatterers.positions, shape)


def ldos_batch(
    scatterers: Sequence[Scatterers],
    *,
    wave_number: np.ndarray,
    shape: tuple[int, int],
    mean_free_path: ArrayLike = math.inf,
    min_distance_px: float = MIN_DISTANCE_PX,
) -> np.ndarray:
    """`ldos` of several fields; the numbers of impurities may differ.

    Args:
        scatterers: B fields, each at V energies.
        wave_number: k of each field and energy [B, V], rad/px.
        shape: (height, width) of every frame, px.
        mean_free_path: l, broadcast to [B, V], px.
        min_distance_px: impurities may not be closer than this.

    Returns:
        LDOS, float32 [B, V, H, W], in units of the clean one.

    Raises:
        InputError: as `ldos`, or where numbers of fields differ.
    """
    k = np.asarray(wave_number, np.float64)
    if k.ndim != 2 or len(k) != len(scatterers):
        raise InputError(
            f"`wave_number` must be [B, V] for B = {len(scatterers)} fields. "
            f"Received shape {k.shape}."
        )
    lengths = np.broadcast_to(np.asarray(mean_free_path, np.float64), k.shape)
    out = np.empty((*k.shape, *shape), np.float32)
    for b, field in enumerate(scatterers):
        out[b] = ldos(
            field,
            wave_number=k[b],
            shape=shape,
            mean_free_path=lengths[b],
            min_distance_px=min_distance_px,
        )
    return out
