"""Merged biases: no more maps than a network gains from."""

import numpy as np

from stm_keras.errors import InputError

MOST_MAPS = 16
"""The network counts more than 16 as 16, and takes its time for each."""


def joined(
    stack: np.ndarray, wave_numbers: np.ndarray, n_means: int
) -> tuple[np.ndarray, np.ndarray]:
    """Means of maps that are neighbours in k, where there are more.

    The time of a fit goes with the number of maps. Waves of scattering change
    little from one bias to the next, and a mean has the less noise; those of
    Eq. 3, whose phases are drawn for each map, would cancel.

    Args:
        stack: of equal spread, float [V, H, W]; NaN = not measured.
        wave_numbers: k of each map, [V] [rad/px].
        n_means: at most so many.

    Returns:
        The means, NaN where none was measured, and their mean k.

    Raises:
        InputError: for less than one.
    """
    if n_means < 1:
        raise InputError(f"`max_maps` must be at least 1. Received: {n_means}.")
    if len(stack) <= n_means:
        return stack, wave_numbers
    groups = np.array_split(np.argsort(wave_numbers, kind="stable"), n_means)
    seen = np.isfinite(stack)
    filled = np.where(seen, stack, 0.0)
    count = np.stack([seen[group].sum(axis=0) for group in groups])
    total = np.stack([filled[group].sum(axis=0) for group in groups])
    means = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return means, np.array([wave_numbers[group].mean() for group in groups])


def merged_biases(
    maps: np.ndarray, q_rad_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Means of neighbours in q = 2k, where there are more than `MOST_MAPS`.

    Waves of scattering change little between them, and a mean has less noise:
    it serves as well as its maps. What has a phase of its own in every map
    (Eq. 3 of arXiv:2006.15898) would cancel, but no experiment does that.

    Args:
        maps: float32 [V, H, W], any unit; NaN where not measured.
        q_rad_px: q of each [rad/px], [V]; 0 or NaN where unknown: maps without
            it are neighbours in the order given.

    Returns:
        Maps and q as they are; or means of maps of spread 1, float32, and
        their mean q, 0 where that of one is unknown.
    """
    if len(maps) <= MOST_MAPS:
        return maps, q_rad_px
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
    known = np.where(np.nan_to_num(q_rad_px) > 0, q_rad_px, np.nan)
    means, mean_q = joined(level, known, MOST_MAPS)
    return means.astype(np.float32), np.nan_to_num(mean_q, nan=0.0)
