"""Tall objects: a few very high pixels must not set the scale of a map.

A cluster 60 times as high as the waves makes a network, which standardizes
every map, see little else. Clipped at a robust height it is still there and no
longer hides the rest. Cores of impurities keep their shape: those of molecules
in a topograph are some ten times as high as the waves.
"""

import numpy as np
from scipy import ndimage

from stm_keras.maps import ConductanceMaps

MAD_TO_STD = 1.4826
"""Of a normal distribution: standard deviation over median absolute one."""

CLIP_AT = 12.0
"""In robust standard deviations of a map, from its median."""

STRONG_AT = 5.0
"""In robust standard deviations of a map: none of 100 000 independent pixels
of a normal distribution is further from the median, by chance."""

_NOTHING = 0.01
"""Of a map's largest value: where there is less between objects, it may be
nothing at all, and clipping would cut objects to discs."""

CORE_RADIUS_NM = 1.0
"""Adatoms and molecules are smaller: a flat top with a wider disc in it hides
what lies below, and no impurity makes it."""


def clip_tall(maps: ConductanceMaps, level: float = CLIP_AT) -> ConductanceMaps:
    """Clip what is far above or below a map's median; mask wide flat tops.

    Args:
        maps: levelled maps.
        level: where to clip, in robust standard deviations (1.4826 times the
            median absolute deviation) of each map.

    Returns:
        The maps; inside clipped objects in which a disc of `CORE_RADIUS_NM`
        has room they are NaN, in all maps alike. `provenance` says how much
        was clipped and masked.
    """
    data = maps.data.copy()
    clipped = np.zeros(data.shape, bool)
    for image, beyond in zip(data, clipped, strict=True):
        low, high = robust_limits(image, level)
        with np.errstate(invalid="ignore"):
            beyond[:] = (image < low) | (image > high)
            np.clip(image, low, high, out=image)
    if not clipped.any():
        return maps.with_data(data, "no tall objects to clip")
    wide = _wide(np.any(clipped, axis=0, keepdims=True)[0], maps.pixel_nm)
    data[:, wide] = np.nan
    most = 100 * clipped.mean(axis=(1, 2)).max()
    note = (
        f"tall objects clipped at {level:g} robust standard deviations, "
        f"{most:.2g} % of a map at most"
    )
    if wide.any():
        note += (
            f"; inside those wider than {2 * CORE_RADIUS_NM:g} nm not "
            f"measured, {100 * wide.mean():.2g} % of the frame"
        )
    return maps.with_data(data, note)


def strong_objects(maps: np.ndarray, reach_px: float) -> np.ndarray:
    """Where something stands out that is no part of the background.

    Noise and the sum of many waves are normal: they stay within `STRONG_AT`.

    Args:
        maps: levelled maps [V, H, W], NaN where not measured.
        reach_px: how far from what stands out its flanks may lie [px].

    Returns:
        bool [H, W], of all maps together.
    """
    strong = np.zeros(maps.shape[1:], bool)
    for image in maps:
        low, high = robust_limits(image, STRONG_AT)
        with np.errstate(invalid="ignore"):
            strong |= (image < low) | (image > high)
    if not strong.any():
        return strong
    return np.asarray(ndimage.distance_transform_edt(~strong)) <= reach_px


def robust_limits(image: np.ndarray, level: float) -> tuple[float, float]:
    """Median less and plus `level` robust standard deviations.

    Args:
        image: a map [H, W], NaN where not measured.
        level: how many.

    Returns:
        Least and greatest value; infinite where nothing is measured, and where
        most of the map has one value, as simulated objects on nothing do.
    """
    known = image[np.isfinite(image)]
    if not known.size:
        return -np.inf, np.inf
    middle = float(np.median(known))
    off = np.abs(known - middle)
    spread = MAD_TO_STD * float(np.median(off))
    if not spread > _NOTHING * float(off.max()):
        return -np.inf, np.inf
    return middle - level * spread, middle + level * spread


def _wide(mask: np.ndarray, pixel_nm: tuple[float, float]) -> np.ndarray:
    """Regions of a mask [H, W] in which a disc of a core's radius fits."""
    inside = np.asarray(
        ndimage.distance_transform_edt(
            # The frame's edge is none of the object's.
            np.pad(mask, 1, mode="edge"),
            sampling=pixel_nm,
        )
    )[1:-1, 1:-1]
    return _reached(inside > CORE_RADIUS_NM, mask)


def _reached(seeds: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """Regions of a mask that hold a seed."""
    return np.asarray(ndimage.binary_propagation(seeds & mask, mask=mask))
