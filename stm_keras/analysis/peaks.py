"""Peaks of a score layer: local maxima with sub-pixel positions."""

from typing import NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.morphology import local_maxima

from stm_keras.errors import InputError

MAX_SHIFT_PX = 0.5
"""A refined peak stays inside the pixel that holds the maximum."""

_ROW, _COL = np.mgrid[-1:2, -1:2].reshape(2, 9).astype(np.float64)
_QUADRATIC_FIT = np.linalg.pinv(
    np.stack(
        [np.ones(9), _ROW, _COL, _ROW**2, _ROW * _COL, _COL**2],
        axis=1,
    )
)
"""3x3 values [9] -> least-squares coefficients of 1, r, c, r^2, rc, c^2."""


class Peaks(NamedTuple):
    """Peaks, the highest first; equal ones in reading order.

    Attributes:
        positions: float64 [n, 2], row and column [px]; the centre of the top
            left pixel is (0, 0).
        scores: float64 [n], the score of the pixel that holds the peak.
    """

    positions: np.ndarray
    scores: np.ndarray


def find_peaks(
    score: ArrayLike,
    *,
    threshold: float | None = None,
    min_distance_px: int = 1,
    exclude: ArrayLike | None = None,
    refine: bool = True,
    max_peaks: int | None = None,
) -> Peaks:
    """Find the local maxima of a score layer.

    A peak is a pixel, or a connected plateau of equal pixels, that is higher
    than all eight neighbours, at the border of the layer too. A plateau gives
    one peak. The lowest value of the layer is never a peak, so that a flat
    layer has none.

    Args:
        score: [H, W], any real dtype. NaN and -inf mean "not measured": no
            peak there, and they do not lower or raise their neighbours.
        threshold: keep only peaks with a score above it, in the unit of
            `score`. By default, all.
        min_distance_px: a peak must be the highest in a square window that
            reaches this far [px] to each side; of equal ones within a window
            the first in reading order stays.
        exclude: bool [H, W], True where no peak is wanted. Unlike those of
            NaN pixels, the values there still count for their neighbours, so
            that the slope of an excluded peak does not become a peak.
        refine: fit a quadratic to the 3x3 values and move each peak to its
            maximum, at most `MAX_SHIFT_PX` along each axis.
        max_peaks: keep at most this many, the highest ones.

    Returns:
        The peaks, the highest first.

    Raises:
        InputError: for a layer that is not two-dimensional, a score of +inf,
            an `exclude` of another shape, or a limit below 1.

    Examples:
        >>> layer = np.zeros((7, 7))
        >>> layer[3, 1:4] = 0.5, 1.0, 0.5
        >>> layer[2, 2] = layer[4, 2] = 0.5
        >>> layer[0, 5] = 2.0
        >>> find_peaks(layer)
        Peaks(positions=array([[0., 5.],
               [3., 2.]]), scores=array([2., 1.]))
        >>> find_peaks(layer, threshold=1.5).scores
        array([2.])
        >>> layer[3, 3] = 0.75  # the fit moves the peak to the right
        >>> find_peaks(layer).positions[1].round(3)
        array([3.   , 2.045])
    """
    values, allowed = _checked(score, exclude, min_distance_px, max_peaks)
    pixels = _plateau_pixels(values)
    heights = values[tuple(pixels.T)]
    keep = allowed[tuple(pixels.T)] & (heights > _floor(values, threshold))
    pixels = pixels[keep]
    if min_distance_px > 1:
        pixels = _spaced(pixels, values, min_distance_px)
    heights = values[tuple(pixels.T)]
    order = np.argsort(-heights, kind="stable")[:max_peaks]
    pixels, heights = pixels[order], heights[order]
    positions = pixels.astype(np.float64)
    if refine:
        positions += _shifts(pixels, values)
    return Peaks(positions, heights)


def _checked(
    score: ArrayLike,
    exclude: ArrayLike | None,
    min_distance_px: int,
    max_peaks: int | None,
) -> tuple[np.ndarray, np.ndarray]:
    """The layer with -inf for NaN, and where peaks are allowed."""
    values = np.array(score, dtype=np.float64)
    if values.ndim != 2:
        raise InputError(
            f"`score` must have the shape [H, W]. Received: {values.shape}."
        )
    if np.isposinf(values).any():
        raise InputError(
            "`score` holds +inf; give finite values, or NaN where nothing "
            "was measured."
        )
    if min_distance_px < 1:
        raise InputError(
            "`min_distance_px` must be at least 1. "
            f"Received: {min_distance_px}."
        )
    if max_peaks is not None and max_peaks < 1:
        raise InputError(
            f"`max_peaks` must be at least 1. Received: {max_peaks}."
        )
    values[np.isnan(values)] = -np.inf
    if exclude is None:
        return values, np.ones(values.shape, dtype=bool)
    allowed = ~np.asarray(exclude, dtype=bool)
    if allowed.shape != values.shape:
        raise InputError(
            f"`exclude` must have the shape of `score`, {values.shape}. "
            f"Received: {allowed.shape}."
        )
    return values, allowed


def _floor(values: np.ndarray, threshold: float | None) -> float:
    """The value that a peak must exceed."""
    lowest = np.min(values, where=np.isfinite(values), initial=np.inf)
    return float(lowest if threshold is None else max(lowest, threshold))


def _plateau_pixels(values: np.ndarray) -> np.ndarray:
    """One pixel for each maximum or plateau, int [n, 2], in reading order.

    `peak_local_max` compares with a maximum filter, which takes every pixel
    of a plateau, and those of a plateau on a slope as well.
    """
    # No neighbour outside the layer can hide a maximum on the border; with
    # the frame, layers less than three pixels wide are no special case.
    framed = np.pad(values, 1, constant_values=-np.inf)
    maxima = np.asarray(local_maxima(framed, connectivity=2))[1:-1, 1:-1]
    labels = np.zeros(values.shape, dtype=np.int32)
    ndimage.label(maxima, structure=np.ones((3, 3)), output=labels)
    count = labels.max(initial=0)
    where = np.argwhere(labels)
    owner = labels[labels > 0] - 1
    size = np.bincount(owner, minlength=count)[:, None]
    sums = [np.bincount(owner, where[:, i], count) for i in range(2)]
    centroid = np.stack(sums, axis=1) / size
    # Of each plateau, the pixel nearest to its centroid; the offset that
    # remains is for the fit to find.
    distance = np.square(where - centroid[owner]).sum(axis=1)
    order = np.lexsort((distance, owner))
    first = np.unique(owner[order], return_index=True)[1]
    return where[np.sort(order[first])]


def _spaced(pixels: np.ndarray, values: np.ndarray, reach: int) -> np.ndarray:
    """Those of `pixels` that are the highest within `reach` px."""
    highest = ndimage.maximum_filter(
        values, size=2 * reach + 1, mode="constant", cval=-np.inf
    )
    at = tuple(pixels.T)
    pixels = pixels[values[at] == highest[at]]
    if len(pixels) < 2:
        return pixels
    keep = np.ones(len(pixels), dtype=bool)
    # What is left within one window is of equal height.
    pairs = KDTree(pixels).query_pairs(reach, p=np.inf)
    for first, second in sorted(pairs):
        keep[second] &= not keep[first]
    return pixels[keep]


def _shifts(pixels: np.ndarray, values: np.ndarray) -> np.ndarray:
    """From each pixel to the maximum of the fit, float64 [n, 2], in px."""
    framed = np.pad(values, 1, constant_values=-np.inf)
    patches = sliding_window_view(framed, (3, 3))[tuple(pixels.T)]
    patches = patches - patches[:, 1:2, 1:2]
    whole = np.isfinite(patches).all(axis=(1, 2))
    shifts = np.empty((len(pixels), 2))
    shifts[whole] = _quadratic_maximum(patches[whole])
    # At the border and beside missing pixels: each axis by itself.
    rest = patches[~whole]
    shifts[~whole, 0] = _parabola_maximum(rest[:, 0, 1], rest[:, 2, 1])
    shifts[~whole, 1] = _parabola_maximum(rest[:, 1, 0], rest[:, 1, 2])
    return np.clip(shifts, -MAX_SHIFT_PX, MAX_SHIFT_PX)


def _quadratic_maximum(patches: np.ndarray) -> np.ndarray:
    """Maximum of the fit to each of [n, 3, 3], or 0 where it has none."""
    fit = patches.reshape(-1, 9) @ _QUADRATIC_FIT.T
    _, row, col, row_row, row_col, col_col = fit.T
    determinant = 4 * row_row * col_col - row_col**2
    scale = np.abs(patches).max(axis=(1, 2), initial=0.0)
    # Rounding of a fit that is flat along one direction is no maximum.
    peaked = (row_row + col_col < 0) & (determinant > 1e-12 * scale**2)
    divisor = np.where(peaked, determinant, 1.0)
    shift = np.stack(
        [row_col * col - 2 * col_col * row, row_col * row - 2 * row_row * col],
        axis=1,
    )
    return np.where(peaked[:, None], shift / divisor[:, None], 0.0)


def _parabola_maximum(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """Maximum of the parabola through (-1, before), (0, 0), (1, after)."""
    peaked = np.isfinite(before + after) & (before + after < 0)
    below, above = np.where(peaked, before, -1.0), np.where(peaked, after, -1.0)
    return (below - above) / (2 * (below + above))
