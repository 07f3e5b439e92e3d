"""Streaks ("scars", "strokes"): parts of a scan line that stand out.

The feedback loses the surface for a moment, or something hangs on the tip;
the lines above and below know nothing of it.
"""

import numpy as np
from scipy import ndimage

from stm_keras.io.maps import ConductanceMaps

# In robust standard deviations of the difference between neighbouring lines:
# all of a streak stands out by the lower, some of it by the higher (as in
# Gwyddion's "Mark Scars").
_SOFT = 2.0
_HARD = 4.0
_MOST_LINES = 2  # thicker ones may be cores
_LEAST_LENGTH_PX = 16  # cores are a few pixels wide
_MAD_TO_STD = 1.4826  # of a normal distribution
_ALONG = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]])


def mask_streaks(
    maps: ConductanceMaps, *, least_length_px: int = _LEAST_LENGTH_PX
) -> ConductanceMaps:
    """Take horizontal streaks as not measured.

    A streak is one or two lines thick and lies above both its neighbours, or
    below both, over its whole length.

    Args:
        maps: the maps, levelled.
        least_length_px: shorter ones are left: they may be impurities.

    Returns:
        Maps with those pixels NaN; `provenance` has the number of streaks and
        pixels of each map that has any.
    """
    data = maps.data.copy()
    found: list[str] = []
    for index, image in enumerate(data):
        streaks = _streaks(image.astype(np.float64), least_length_px)
        # A map that would be all gone is another matter than streaks.
        if not streaks.any() or (streaks | np.isnan(image)).all():
            continue
        number = int(ndimage.label(streaks)[1])
        image[streaks] = np.nan
        found.append(f"map {index}: {number} ({int(streaks.sum())} px)")
    if not found:
        return maps.with_data(data, "no streaks found")
    return maps.with_data(data, "streaks masked: " + "; ".join(found))


def _streaks(image: np.ndarray, least_length_px: int) -> np.ndarray:
    """Pixels of streaks of either sign, bool [H, W]."""
    streaks = np.zeros(image.shape, dtype=bool)
    differences = np.abs(np.diff(image, axis=0))
    if not np.isfinite(differences).any():
        return streaks
    spread = _MAD_TO_STD * float(np.nanmedian(differences))
    if not spread > 0:
        return streaks
    for signed in (image, -image):
        for lines in range(1, _MOST_LINES + 1):
            excess = _excess(signed, lines) / spread
            streaks |= _runs(excess, lines, least_length_px)
    return streaks


def _excess(image: np.ndarray, lines: int) -> np.ndarray:
    """How far bands of lines lie above both neighbours, [H - lines - 1, W].

    NaN, where any of them is not measured, compares as no excess.
    """
    count = image.shape[0] - lines - 1
    if count < 1:
        return np.empty((0, image.shape[1]))
    band = np.min([image[1 + k : 1 + k + count] for k in range(lines)], axis=0)
    around = np.maximum(image[:count], image[lines + 1 :])
    return band - around


def _runs(excess: np.ndarray, lines: int, least_length_px: int) -> np.ndarray:
    """Long horizontal runs of an excess, as pixels of the map."""
    height = excess.shape[0] + lines + 1
    marked = np.zeros((height, excess.shape[1]), dtype=bool)
    labels, number = ndimage.label(excess > _SOFT, _ALONG)
    if not number:
        return marked
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    highest = ndimage.maximum(excess, labels, np.arange(1, number + 1))
    good = np.zeros(number + 1, dtype=bool)
    good[1:] = (sizes[1:] >= least_length_px) & (np.asarray(highest) > _HARD)
    runs = good[labels]
    for k in range(lines):
        marked[1 + k : 1 + k + runs.shape[0]] |= runs
    return marked
