"""No more maps than a network gains from."""

import numpy as np

from stm_keras.analysis.joined_maps import joined

MOST_MAPS = 16
"""The network counts more than 16 as 16, and takes its time for each."""


def few_maps(
    maps: np.ndarray, ring: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbours in 2k, where there are more than `MOST_MAPS`.

    Waves of scattering change little between them, and a mean has less noise:
    it serves as well as its maps. What has a phase of its own in every map
    (Eq. 3 of arXiv:2006.15898) would cancel, but no experiment does that.

    Args:
        maps: float32 [V, H, W], any unit; NaN where not measured.
        ring: 2k of each [rad/px], [V]; 0 or NaN where unknown: maps without
            it are neighbours in the order given.

    Returns:
        Maps and rings as they are; or means of maps of spread 1, float32, and
        their mean 2k, 0 where it is not known of all of them.
    """
    if len(maps) <= MOST_MAPS:
        return maps, ring
    seen = np.isfinite(maps)
    n = np.maximum(seen.sum(axis=(1, 2), keepdims=True), 1)
    level = np.where(seen, maps, 0.0).astype(np.float64)
    mean = level.sum(axis=(1, 2), keepdims=True) / n
    level = np.where(seen, level - mean, 0.0)
    spread = np.sqrt((level**2).sum(axis=(1, 2), keepdims=True) / n)
    # Rounding leaves a constant map a spread of its own.
    alive = spread > 1e-9 * np.abs(mean)
    level = np.where(alive, level / np.where(alive, spread, 1.0), 0.0)
    level[~seen] = np.nan
    known = np.where(np.nan_to_num(ring) > 0, ring, np.nan)
    means, mean_ring = joined(level, known, MOST_MAPS)
    return means.astype(np.float32), np.nan_to_num(mean_ring, nan=0.0)
