"""Single pixels that no surface can show, taken as not measured."""

import warnings

import numpy as np
from numpy.typing import NDArray

from stm_keras.maps import ConductanceMaps

# A pixel stands out where it lies above, or below, all its neighbours by this
# many robust standard deviations of the noise between neighbours.
_DEVIATIONS = 40.0
# What the tip resolves covers the neighbours as well: of a Gaussian of one
# pixel's width (full, at half maximum) they have 6 % of the height, in the mean
# of the four nearest. At 40 deviations noise moves that mean by 1.2 %.
_LEAST_BESIDE = 0.025
_MOST_SHARE = 0.02  # of a map's pixels: more are no single ones
_MAD_TO_STD = 1.4826  # of a normal distribution
_DIFFERENCE = 1.5**0.5  # of a pixel from the mean of two, in its deviations
_AROUND = [
    (row, col)
    for row in (-1, 0, 1)
    for col in (-1, 0, 1)
    if (row, col) != (0, 0)
]


def mask_hot_pixels(maps: ConductanceMaps) -> ConductanceMaps:
    """Take hot and dead single pixels as not measured.

    Such a pixel lies far above or below all its neighbours, which do not rise
    towards it. Two beside each other, and those that noise could make, stay.

    Args:
        maps: the maps, as read.

    Returns:
        Maps with those pixels NaN, and a warning in `provenance` that counts
        them; the same maps where there are none.
    """
    found: dict[int, NDArray[np.bool_]] = {}
    for index, image in enumerate(maps.data):
        hot = hot_pixels(image)
        if hot.any():
            found[index] = hot
    if not found:
        return maps
    data = maps.data.copy()
    for index, hot in found.items():
        data[index][hot] = np.nan
    told = "; ".join(
        f"map {i}: {int(hot.sum())} px" for i, hot in found.items()
    )
    return maps.with_data(
        data,
        "warning: single pixels far from all their neighbours taken as not "
        f"measured: {told}",
    )


def hot_pixels(image: NDArray[np.float32]) -> NDArray[np.bool_]:
    """Where the hot pixels of a map are.

    Args:
        image: [H, W]; NaN is "not measured".

    Returns:
        bool [H, W].
    """
    hot = np.zeros(image.shape, dtype=bool)
    if min(image.shape) < 3:
        return hot
    wide = np.pad(image.astype(np.float64), 2, constant_values=np.nan)
    noise = _noise(image.astype(np.float64))
    if not noise > 0:
        return hot
    places = np.argwhere(_excess(wide) > _DEVIATIONS * noise)
    if len(places) > _MOST_SHARE * image.size:
        return hot
    for row, col in places:
        hot[row, col] = _alone(wide[row : row + 5, col : col + 5])
    return hot


def _noise(image: NDArray[np.float64]) -> float:
    """Robust standard deviation of what neighbours do not share."""
    curved = np.abs(image[:, 1:-1] - (image[:, 2:] + image[:, :-2]) / 2)
    curved = curved[np.isfinite(curved)]
    if not curved.size:
        return 0.0
    return float(np.median(curved)) * _MAD_TO_STD / _DIFFERENCE


def _excess(wide: NDArray[np.float64]) -> NDArray[np.float64]:
    """By how much pixels lie beyond all their neighbours, [H, W]; or below 0.

    Args:
        wide: a map with a border of two pixels.
    """
    height, width = (side - 4 for side in wide.shape)
    centre = wide[2:-2, 2:-2]
    highest = np.full(centre.shape, -np.inf)
    lowest = np.full(centre.shape, np.inf)
    for down, right in _AROUND:
        beside = wide[
            2 + down : 2 + down + height, 2 + right : 2 + right + width
        ]
        highest, lowest = np.fmax(highest, beside), np.fmin(lowest, beside)
    alone = np.isinf(highest)  # no neighbour was measured
    excess = np.fmax(centre - highest, lowest - centre)
    return np.where(alone | np.isnan(excess), -np.inf, excess)


def _alone(patch: NDArray[np.float64]) -> bool:
    """Whether the neighbours of a patch's middle do not rise towards it."""
    border = np.ones((5, 5), dtype=bool)
    border[1:-1, 1:-1] = False
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # nothing measured is NaN
        ground = np.nanmedian(patch[border])
        nearest = np.nanmean(patch[[1, 2, 2, 3], [2, 1, 3, 2]])
    height = patch[2, 2] - ground
    return bool((nearest - ground) / height < _LEAST_BESIDE)
