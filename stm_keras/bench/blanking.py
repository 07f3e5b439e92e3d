"""Take what marks the places of molecules out of a topograph."""

from collections.abc import Sequence

import numpy as np
from scipy.spatial.distance import cdist

from stm_keras.errors import InputError

RADIUS_NM = 0.5
RING_NM = 0.3
"""Width of the ring around a disc whose median fills it."""

DECOYS_PER_MOLECULE = 3
MIN_DISTANCE_NM = 1.0
"""Of a decoy's centre from any molecule."""

_TRIES = 20_000
_CROWDED = 0.9
"""Where decoys do not fit, the distance between them shrinks by this."""


def blank(
    maps: np.ndarray,
    centres_px: np.ndarray,
    pixel_nm: tuple[float, float],
    *,
    radius_nm: float = RADIUS_NM,
) -> np.ndarray:
    """Fill discs with the median of the ring around each.

    Pixels of other discs do not count for a median, so that nothing of what
    one disc hides fills another.

    Args:
        maps: float32 [V, H, W]; not changed.
        centres_px: row and column [px], float [n, 2].
        pixel_nm: height and width of a pixel [nm].
        radius_nm: of the discs [nm].

    Returns:
        float32 [V, H, W]; NaN in the discs of a map that has nothing measured
        around them.
    """
    result = np.array(maps, np.float32)
    rows, cols = np.indices(maps.shape[1:])
    distances = [
        np.hypot((rows - r) * pixel_nm[0], (cols - c) * pixel_nm[1])
        for r, c in centres_px
    ]
    hidden = np.zeros(maps.shape[1:], bool)
    for distance in distances:
        hidden |= distance <= radius_nm
    for distance in distances:
        inside = distance <= radius_nm
        around = (distance <= radius_nm + RING_NM) & ~hidden
        values = maps[:, around]
        for image, near in zip(result, values, strict=True):
            near = near[np.isfinite(near)]
            image[inside] = np.median(near) if len(near) else np.nan
    return result


def decoy_centres(
    molecules_px: np.ndarray,
    shape: tuple[int, int],
    pixel_nm: tuple[float, float],
    rng: np.random.Generator,
    *,
    per_molecule: int = DECOYS_PER_MOLECULE,
    min_distance_nm: float = MIN_DISTANCE_NM,
) -> np.ndarray:
    """Random places for discs that hide nothing.

    They keep a distance from the molecules and, as far as there is room for
    it, from each other, as molecules do.

    Args:
        molecules_px: row and column [px], float [n, 2].
        shape: H, W [px].
        pixel_nm: height and width of a pixel [nm].
        rng: source of randomness.
        per_molecule: decoys for each molecule.
        min_distance_nm: of a decoy from any molecule [nm].

    Returns:
        Row and column [px], float64 [per_molecule n, 2].

    Raises:
        InputError: where molecules leave no room for them.
    """
    scale = np.asarray(pixel_nm)
    wanted = per_molecule * len(molecules_px)
    drawn = rng.uniform((-0.5, -0.5), np.subtract(shape, 0.5), (_TRIES, 2))
    gaps = cdist(drawn * scale, molecules_px * scale)
    free = drawn[gaps.min(axis=1) >= min_distance_nm]
    if wanted and not len(free):
        raise InputError("The molecules leave no room for decoys.")
    apart = min_distance_nm
    while True:
        chosen = _spaced(free, scale, apart, wanted)
        if len(chosen) >= wanted:
            return np.array(chosen).reshape(-1, 2)
        apart *= _CROWDED


def _spaced(
    free: np.ndarray, scale: np.ndarray, apart_nm: float, wanted: int
) -> Sequence[np.ndarray]:
    """The first of `free` that keep a distance, at most `wanted`."""
    chosen: list[np.ndarray] = []
    for place in free:
        if len(chosen) == wanted:
            break
        if not chosen or (
            np.linalg.norm((np.array(chosen) - place) * scale, axis=1).min()
            >= apart_nm
        ):
            chosen.append(place)
    return chosen
