"""Levelling: what is no part of the surface is subtracted from every map.

Planes and polynomials are the sample's tilt and the scanner's bow; offsets of
scan lines come from noise slower than a line. NaN is "not measured": it never
weighs in a fit, and stays.
"""

from collections.abc import Callable
from itertools import pairwise

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps


def level_plane(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract from every map the plane that fits it in least squares.

    Args:
        maps: the maps; the fit uses their measured pixels alone.

    Raises:
        InputError: where a map is a plane and nothing is left.
    """
    return _without_polynomial(maps, order=1, note="plane subtracted")


def level_quadratic(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract from every map the polynomial of second order that fits it.

    Its six terms follow the bow of a piezo tube; use it where the plane
    leaves one, as it also takes out part of waves as long as the frame.

    Args:
        maps: the maps; the fit uses their measured pixels alone.

    Raises:
        InputError: where nothing is left of a map.
    """
    note = "polynomial of second order subtracted"
    return _without_polynomial(maps, order=2, note=note)


def level_lines(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract from every scan line its median.

    Args:
        maps: the maps; lines without a measured pixel stay NaN.

    Raises:
        InputError: where nothing but line offsets is in a map.
    """

    def without_offsets(image: np.ndarray) -> np.ndarray:
        measured = ~np.isnan(image).all(axis=1)
        levelled = image.copy()
        levelled[measured] -= np.nanmedian(
            image[measured], axis=1, keepdims=True
        )
        return levelled

    return _map_by_map(maps, without_offsets, "median of each line subtracted")


def level_line_differences(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract line offsets found from the differences of neighbouring lines.

    The offset of a line against the one before is the median, over the
    columns measured in both, of their difference ("median of differences" in
    Gwyddion). An impurity is in both lines and cancels, so this holds where
    impurities cover half of a line, at which its own median is one of them.
    Errors add up from line to line: the straight part of the summed offsets
    is a tilt, which is left to the plane.

    Args:
        maps: the maps. Across unmeasured lines the two nearest measured ones
            count as neighbours; such without a column in common start anew,
            at their own medians' difference.

    Raises:
        InputError: where nothing but line offsets is in a map.
    """

    def without_offsets(image: np.ndarray) -> np.ndarray:
        lines = np.flatnonzero(~np.isnan(image).all(axis=1))
        steps = [
            _step(image[first], image[second])
            for first, second in pairwise(lines)
        ]
        offsets = np.cumsum([0.0, *steps])
        if lines.size > 2:
            trend = np.polynomial.Polynomial.fit(lines, offsets, 1)
            offsets -= trend(lines)
        levelled = image.copy()
        levelled[lines] -= offsets[:, np.newaxis]
        return levelled - np.nanmedian(levelled)

    note = "line offsets by the median of differences subtracted"
    return _map_by_map(maps, without_offsets, note)


def _step(first: np.ndarray, second: np.ndarray) -> float:
    """By how much the second line lies above the first."""
    difference = second - first
    if np.isnan(difference).all():
        return float(np.nanmedian(second) - np.nanmedian(first))
    return float(np.nanmedian(difference))


def _without_polynomial(
    maps: ConductanceMaps, *, order: int, note: str
) -> ConductanceMaps:
    _, height, width = maps.shape
    rows, cols = np.indices((height, width), dtype=np.float64)
    row, col = rows / height - 0.5, cols / width - 0.5
    terms = [np.ones_like(rows), row, col]
    if order == 2:
        terms += [row * row, row * col, col * col]
    basis = np.stack(terms, axis=-1)

    def levelled(image: np.ndarray) -> np.ndarray:
        measured = ~np.isnan(image)
        # Tiny numbers such as heights in m would be lost in the fit's limits.
        scale = np.nanmax(np.abs(image)) or 1.0
        solution = np.linalg.lstsq(basis[measured], image[measured] / scale)[0]
        return image - basis @ solution * scale

    return _map_by_map(maps, levelled, note)


def _map_by_map(
    maps: ConductanceMaps,
    step: Callable[[np.ndarray], np.ndarray],
    note: str,
) -> ConductanceMaps:
    """Apply a step to every map in float64, refusing to level all away."""
    result = np.empty_like(maps.data)
    for index, image in enumerate(maps.data.astype(np.float64)):
        levelled = step(image)
        # What float32 cannot tell from nothing would be noise made large.
        rounding = 4 * np.finfo(np.float32).eps * np.nanmax(np.abs(image))
        if np.nanmax(np.abs(levelled)) <= rounding:
            raise InputError(
                f"{maps.source}: map {index} ({maps.bias_v[index]:g} V) is "
                f"flat once levelled ({note}). Choose another channel or "
                "leave this map out."
            )
        result[index] = levelled
    return maps.with_data(result, note)
