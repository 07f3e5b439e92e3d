"""Cores, where the waves' formulas do not hold: how far they reach.

Within about 1/k of an impurity a map shows what the impurity is, not what
it scatters; objects without waves show nothing else. The tail of an object
that is taken for a wave makes an impurity of it, so that the mask is as wide
as each object asks for.
"""

import numpy as np

LEAST_PERIODS, MOST_PERIODS = 0.4, 1.15
"""Radii of masks, in periods 2 pi / q: 0.6 to 1.7 nm on Cu(111) at the Fermi
level."""

_TAIL = 1.2
"""What is beyond the radius at which an object is as high as the waves."""

_HIGH = 4.0
"""An object is no wave where the spread of the maps about it is so many times
that of all pixels far from objects: no wave is so high outside of a core."""

_STEP_PX = 1.0


def narrowest_nm(q_per_nm: np.ndarray) -> float:
    """Radius of the narrowest masks at q = 2k of the maps [rad/nm], [nm]."""
    return float(LEAST_PERIODS * 2 * np.pi / q_per_nm.max())


def core_radii(
    maps: np.ndarray, positions: np.ndarray, period_px: float
) -> np.ndarray:
    """Radius that hides each object, from the maps.

    Args:
        maps: of median 0, [V, H, W]; NaN where not measured.
        positions: of all objects [n, 2] [px].
        period_px: 2 pi / q [px].

    Returns:
        float64 [n] [px], from `LEAST_PERIODS` to `MOST_PERIODS`.
    """
    least, most = LEAST_PERIODS * period_px, MOST_PERIODS * period_px
    if not len(positions):
        return np.empty(0)
    shape = maps.shape[1:]
    pixels = np.argwhere(np.ones(shape, bool))
    r = np.sqrt(((positions[:, None] - pixels) ** 2).sum(axis=-1))
    owner = r.argmin(axis=0)
    nearest = r.min(axis=0)
    known = np.isfinite(maps)
    power = np.where(known, maps, 0) ** 2
    power = (power.sum(axis=0) / np.maximum(known.sum(axis=0), 1)).ravel()
    power[~known.any(axis=0).ravel()] = np.nan
    far = nearest > most
    if np.isfinite(power[far]).sum() < 50:  # all of the frame is near
        far = nearest > np.median(nearest)
    usual = np.sqrt(np.nanmean(np.minimum(power, 9 * np.nanmedian(power))[far]))
    edges = np.arange(least, most + _STEP_PX, _STEP_PX)
    radii = np.full(len(positions), least)
    for j in range(len(positions)):
        own = (owner == j) & np.isfinite(power)
        high = [
            bool(ring.any()) and np.sqrt(power[ring].mean()) > _HIGH * usual
            for low in edges
            for ring in [own & (nearest >= low) & (nearest < low + _STEP_PX)]
        ]
        if any(high):
            last = int(np.flatnonzero(high)[-1])
            radii[j] = min((edges[last] + _STEP_PX) * _TAIL, most)
    return radii


def outside_cores(
    shape: tuple[int, int], positions: np.ndarray, radii: np.ndarray
) -> np.ndarray:
    """Pixels that no mask hides, bool [H, W].

    Args:
        shape: H, W [px].
        positions: of the objects [n, 2] [px].
        radii: of their masks [n] [px].
    """
    rows, cols = np.indices(shape)
    free = np.ones(shape, bool)
    for (row, col), radius in zip(positions, radii, strict=True):
        free &= np.hypot(rows - row, cols - col) > radius
    return free
