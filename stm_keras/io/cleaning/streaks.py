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
_SOFT = 1.0
_HARD = 3.0
_MOST_LINES = 2
_LEAST_LENGTH_PX = 4
_MAD_TO_STD = 1.4826  # of a normal distribution
_ALONG = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]])


def mask_streaks(
    maps: ConductanceMaps, *, least_length_px: int = _LEAST_LENGTH_PX
) -> ConductanceMaps:
    """Take horizontal streaks as not measured.

    A streak is one or two lines thick and lies above both its neighbours, or
    below both, over its whole length, by more than these differ from the
    lines beyond them: the top of an impurity or a wave is as high above its
    neighbours, but they slope.

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
        number = _labelled(streaks)[1]
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
        # A band needs a line above it and one below.
        for lines in range(1, min(_MOST_LINES, len(image) - 2) + 1):
            excess = _excess(signed, lines) / spread
            streaks |= _runs(excess, lines, least_length_px)
    return streaks


def _excess(image: np.ndarray, lines: int) -> np.ndarray:
    """How far bands of lines lie above both neighbours, [H - lines - 1, W].

    Less the slope of the neighbours. NaN, where any of them is not measured,
    compares as no excess.
    """
    count = image.shape[0] - lines - 1
    band = np.min([image[1 + k : 1 + k + count] for k in range(lines)], axis=0)
    around = np.maximum(image[:count], image[lines + 1 :])
    slope = np.abs(np.diff(image, axis=0))
    beside = np.zeros_like(band)
    beside[1:] = np.nan_to_num(slope[: count - 1])
    beside[:-1] = np.maximum(
        beside[:-1], np.nan_to_num(slope[lines + 1 : lines + count])
    )
    return band - around - beside


def _runs(excess: np.ndarray, lines: int, least_length_px: int) -> np.ndarray:
    """Long horizontal runs of an excess, as pixels of the map."""
    height = excess.shape[0] + lines + 1
    marked = np.zeros((height, excess.shape[1]), dtype=bool)
    labels, number = _labelled(excess > _SOFT, _ALONG)
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


def _labelled(
    mask: np.ndarray, structure: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """Connected regions as numbers from 1, int32 [H, W], and how many."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    # Given an array to write to, SciPy returns the number alone.
    number = ndimage.label(mask, structure, output=labels)
    return labels, int(number)  # pyright: ignore[reportArgumentType]
