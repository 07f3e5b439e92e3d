"""Terraces: found, brought to one height, and the steps between them masked.

An atomic step is tens of times as high as the waves, so that a plane through
all of a topograph fits none of it. Along a step nothing can be found: its edge
is taken as not measured.
"""

from typing import NamedTuple

import numpy as np
from scipy import ndimage

from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.regions import labelled
from stm_keras.preprocessing.tall import MAD_TO_STD

_SLOPES = (12.0, 8.0, 5.0, 3.5)
"""Slopes that may be a step's, in the median slope of the map; the steepest
is tried first, for it leaves the fewest gaps by chance."""

_SMOOTH_PX = 1.0
_LEAST_LENGTH = 0.5
"""Of a step, in the shorter side of the frame: steps end at its border."""

_LEAST_AREA = 0.02
"""Of a terrace, in that of the frame."""

_LEAST_AREA_PX = 64
_LEAST_HEIGHT = 4.0
"""Of a step, in robust standard deviations of what is on the terraces; a
smaller one does no harm, and may be none."""

_STANDS_OUT = 3.0
"""What lies so far from its terrace, in the same unit, is masked as far as it
belongs to the edge."""

_MARGIN_NM = 2.0
"""No edge is taken to be wider, on either side."""

_ROUNDS = 5


class Terraces(NamedTuple):
    """What a frame is made of.

    Attributes:
        labels: number of the terrace of each pixel, from 1; 0 is an edge,
            int [H, W].
        heights: of each terrace against the first, float64 [V, n].
        edge: where nothing may be found, bool [H, W].
    """

    labels: np.ndarray
    heights: np.ndarray
    edge: np.ndarray


def level_terraces(maps: ConductanceMaps) -> ConductanceMaps:
    """Bring the terraces of a frame to one height and mask the steps.

    Args:
        maps: the maps, as measured or levelled by a plane.

    Returns:
        The maps, NaN along steps, all maps alike; `provenance` names the
        number of terraces, their heights and the masked share. Maps without
        terraces come back as they are.
    """
    found = find_terraces(maps.data, maps.pixel_nm)
    if found is None:
        return maps.with_data(maps.data, "no terraces found")
    data = maps.data.astype(np.float64)
    offsets = np.concatenate([np.zeros((len(data), 1)), found.heights], axis=1)
    data -= offsets[:, _nearest(found.labels)]
    data[:, found.edge] = np.nan
    of_first = ", ".join(f"{h:.3g}" for h in found.heights[0, 1:])
    note = (
        f"{found.heights.shape[1]} terraces brought to one height (against "
        f"the first {of_first} {maps.unit}".rstrip()
        + f"); along the steps {100 * found.edge.mean():.2g} % of the frame "
        "is not measured"
    )
    return maps.with_data(data, note)


def find_terraces(
    data: np.ndarray, pixel_nm: tuple[float, float]
) -> Terraces | None:
    """Find the terraces of a frame from the slopes of all of its maps.

    A step is a line, long enough to divide the frame, along which maps are
    steep. What it divides are terraces where they differ in height by more
    than what lies on them; the same plane is fitted to all terraces of a map,
    each with a height of its own.

    Args:
        data: maps [V, H, W], any unit; NaN where not measured.
        pixel_nm: height and width of a pixel [nm].

    Returns:
        The terraces; None where the frame has but one.
    """
    data = np.asarray(data, np.float64)
    if min(data.shape[1:]) < 16:
        return None
    steepness = _steepness(data)
    # What is missing divides a frame too; if for nothing, they are joined.
    known = ~_beside(np.asarray(np.isnan(data).all(axis=0)))
    tried: set[bytes] = set()
    for slope in _SLOPES:
        labels = _divided(steepness > slope, known)
        key = labels.tobytes()
        if labels.max() < 2 or key in tried:
            continue
        tried.add(key)
        found = _with_heights(data, labels, pixel_nm)
        if found is not None:
            return found
    return None


def _steepness(data: np.ndarray) -> np.ndarray:
    """Slope over its median, the steepest of the maps counting most, [H, W]."""
    total = np.zeros(data.shape[1:])
    for image in data:
        known = np.isfinite(image)
        if not known.any():
            continue
        filled = np.where(known, image, np.median(image[known]))
        slope = ndimage.gaussian_gradient_magnitude(filled, _SMOOTH_PX)
        # Where something is missing the filling makes slopes of its own.
        slope[_beside(~known)] = 0.0
        usual = np.median(slope[known])
        if usual > 0:
            total += (slope / usual) ** 2
    return np.sqrt(total / len(data))


def _beside(missing: np.ndarray) -> np.ndarray:
    """What is missing, and what a smoothed slope sees of it, bool [H, W]."""
    if not missing.any():
        return missing
    return np.asarray(ndimage.binary_dilation(missing, iterations=3))


def _divided(steep: np.ndarray, known: np.ndarray) -> np.ndarray:
    """Regions between long steep lines, numbered from 1, int [H, W]."""
    steep = ndimage.binary_closing(
        np.pad(steep, 2, mode="edge"), np.ones((3, 3)), iterations=1
    )[2:-2, 2:-2]
    lines, number = labelled(steep, np.ones((3, 3), int))
    least = _LEAST_LENGTH * min(steep.shape)
    long = np.zeros(number + 1, bool)
    for i, place in enumerate(ndimage.find_objects(lines), start=1):
        long[i] = max(s.stop - s.start for s in place) >= least
    regions, number = labelled(~long[lines] & known)
    area = np.bincount(regions.ravel(), minlength=number + 1)
    large = area >= max(_LEAST_AREA * steep.size, _LEAST_AREA_PX)
    large[0] = False
    names = np.zeros(number + 1, int)
    names[large] = np.arange(1, large.sum() + 1)
    return names[regions]


def _with_heights(
    data: np.ndarray, labels: np.ndarray, pixel_nm: tuple[float, float]
) -> Terraces | None:
    """Fit the heights; None where no step is high."""
    fits = [_fit(image, labels) for image in data]
    heights = np.stack([heights for heights, _, _ in fits])
    spreads = np.array([spread for _, _, spread in fits])
    # Maps may differ in what they show of the step: the clearest decides.
    size = heights / spreads[:, None]
    clearest = size[np.argmax(np.ptp(size, axis=1))]
    joined = _joined(labels, clearest)
    if joined.max() < 2:
        return None
    if joined.max() < labels.max():
        return _with_heights(data, joined, pixel_nm)
    residual = np.sqrt(
        np.mean(
            [np.square(r / s) for (_, r, s) in fits if s > 0],
            axis=0,
        )
    )
    return Terraces(labels, heights, _edge(labels, residual, pixel_nm))


def _fit(
    image: np.ndarray, labels: np.ndarray
) -> tuple[np.ndarray, np.ndarray, float]:
    """Heights [n] against the first, residual [H, W], its robust spread."""
    number = int(labels.max())
    row, col = (
        x / n - 0.5
        for x, n in zip(np.indices(image.shape), image.shape, strict=True)
    )
    used = (labels > 0) & np.isfinite(image)
    scale = float(np.abs(image[used]).max()) if used.any() else 1.0
    scale = scale or 1.0
    kept, solution, spread = used, np.zeros(number + 2), 0.0
    # Tall objects and cores must not tilt a terrace: they are left out.
    for _ in range(_ROUNDS):
        place, slopes = labels[kept] - 1, np.stack([row[kept], col[kept]])
        solution = scale * _solved(place, slopes, image[kept] / scale, number)
        plane = solution[-2] * row + solution[-1] * col
        level = solution[:number][np.maximum(labels - 1, 0)]
        residual = image - plane - level
        spread = MAD_TO_STD * float(np.median(np.abs(residual[used])))
        if not spread > 0:
            break
        kept = used & (np.abs(np.nan_to_num(residual)) < 3 * spread)
    level = solution[:number][_nearest(labels) - 1]
    plane = solution[-2] * row + solution[-1] * col
    heights = solution[:number] - solution[0]
    return heights, image - plane - level, spread or np.inf


def _solved(
    place: np.ndarray, slopes: np.ndarray, values: np.ndarray, number: int
) -> np.ndarray:
    """Least squares of a height a terrace [n] and one plane [2], [n + 2].

    By the normal equations, summed terrace by terrace: the matrix of all
    pixels would take a hundred times as long.
    """
    right = np.stack([*slopes, values])
    of_each = np.stack([np.bincount(place, r, number) for r in right])
    normal = np.zeros((number + 2, number + 2))
    normal[np.arange(number), np.arange(number)] = np.bincount(
        place, minlength=number
    )
    normal[number:, :number] = of_each[:2]
    normal[:number, number:] = of_each[:2].T
    normal[number:, number:] = slopes @ slopes.T
    total = np.concatenate([of_each[2], slopes @ values])
    return np.linalg.lstsq(normal, total)[0]


def _joined(labels: np.ndarray, heights: np.ndarray) -> np.ndarray:
    """Neighbours of nearly one height are one terrace, renumbered."""
    filled = _nearest(labels)
    number = int(labels.max())
    parent = np.arange(number)

    def root(i: int) -> int:
        while parent[i] != i:
            i = int(parent[i])
        return i

    pairs = {
        (int(a) - 1, int(b) - 1)
        for first, second in (
            (filled[1:], filled[:-1]),
            (filled[:, 1:], filled[:, :-1]),
        )
        for a, b in zip(
            first[first != second], second[first != second], strict=True
        )
    }
    for a, b in sorted(pairs):
        if abs(heights[a] - heights[b]) < _LEAST_HEIGHT:
            parent[root(max(a, b))] = root(min(a, b))
    roots = np.array([root(i) for i in range(number)])
    names = np.unique(roots, return_inverse=True)[1] + 1
    return np.where(labels > 0, names[np.maximum(labels - 1, 0)], 0)


def _edge(
    labels: np.ndarray, residual: np.ndarray, pixel_nm: tuple[float, float]
) -> np.ndarray:
    """The lines between terraces and what belongs to them, bool [H, W]."""
    filled = _nearest(labels)
    line = np.zeros(labels.shape, bool)
    line[1:] |= filled[1:] != filled[:-1]
    line[:-1] |= filled[1:] != filled[:-1]
    line[:, 1:] |= filled[:, 1:] != filled[:, :-1]
    line[:, :-1] |= filled[:, 1:] != filled[:, :-1]
    away = np.asarray(ndimage.distance_transform_edt(~line, sampling=pixel_nm))
    near = away <= _MARGIN_NM
    with np.errstate(invalid="ignore"):
        off = near & ((residual > _STANDS_OUT) | np.isnan(residual))
    edge = ndimage.binary_propagation(line, mask=off | line)
    # What is left of its flank is half a pixel more.
    wider = np.asarray(ndimage.binary_dilation(edge), bool)
    return wider & (near | line)


def _nearest(labels: np.ndarray) -> np.ndarray:
    """Every pixel with the number of the nearest terrace."""
    place = ndimage.distance_transform_edt(
        labels == 0, return_distances=False, return_indices=True
    )
    return labels[tuple(np.asarray(place))]
