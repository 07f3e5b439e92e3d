"""Finders without a network, to measure the network against."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial import KDTree
from skimage.morphology import local_maxima

from stm_keras.errors import InputError
from stm_keras.scoring import Peaks, Score, best_threshold, tuning_truth

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


Polarity = Literal["bright", "dark"]

LOG_SIGMAS_PX = (0.5, 0.7, 1.0, 1.4, 2.0, 2.8)
"""Widths that `tune_log` tries, in steps of about sqrt(2)."""


class LogSettings(NamedTuple):
    """Settings of `find_blobs_log` that fitted the training maps best.

    Attributes:
        sigma_px: width of the blobs [px].
        threshold: the least response, see `find_blobs_log`.
        polarity: whether blobs are bright or dark.
        score: on the training maps, and so too good for a report.
    """

    sigma_px: float
    threshold: float
    polarity: Polarity
    score: Score


def rms_map(maps: ArrayLike) -> np.ndarray:
    """Root mean square over the voltages of mean-free maps.

    Args:
        maps: [V, H, W], float; NaN = not measured. Means are taken over what
            was measured.

    Returns:
        float64 [H, W], in the unit of `maps`; NaN where no map has a value.

    Raises:
        InputError: for another shape, no voltage, or maps without a value.
    """
    stack = np.asarray(maps, dtype=np.float64)
    if stack.ndim != 3 or not stack.size:
        raise InputError(
            "`maps` must have the shape [V, H, W], none of them 0. "
            f"Received: {stack.shape}."
        )
    measured = np.isfinite(stack)
    if not measured.any():
        raise InputError("`maps` holds no measured value, only NaN.")
    filled = np.where(measured, stack, 0.0)
    count = measured.sum(axis=(1, 2), keepdims=True)
    mean = filled.sum(axis=(1, 2), keepdims=True) / np.maximum(count, 1)
    square = np.square(filled - mean, where=measured, out=np.zeros_like(stack))
    depth = measured.sum(axis=0)
    rms = np.sqrt(square.sum(axis=0) / np.maximum(depth, 1))
    return np.where(depth > 0, rms, np.nan)


def find_blobs_log(
    maps: ArrayLike,
    *,
    sigma_px: float,
    threshold: float | None = None,
    polarity: Polarity = "bright",
    min_distance_px: int = 1,
    max_peaks: int | None = None,
) -> Peaks:
    """Find blobs of one width by the Laplacian of Gaussian of the RMS map.

    Built on `scipy.ndimage.gaussian_laplace` and `find_peaks` rather than on
    `skimage.feature.blob_log`: the impurities of a stack are all of one width,
    so that there is no scale to search, and blob_log gives whole pixels only
    and knows no missing ones.

    Args:
        maps: [V, H, W], float; NaN = not measured.
        sigma_px: width of the Gaussian [px]; it answers best to discs of
            radius sqrt(2) sigma.
        threshold: the least response that counts, in units of the response's
            standard deviation over the map (robust, from the median absolute
            deviation), so that it holds for maps of any unit.
        polarity: "bright" for blobs where the waves are strong, "dark" for
            holes.
        min_distance_px: see `find_peaks`.
        max_peaks: see `find_peaks`.

    Returns:
        The blobs; their scores are responses in the unit of `threshold`.

    Raises:
        InputError: for maps of another shape or without a value, a width that
            is not positive, or an unknown polarity.
    """
    if not (np.isfinite(sigma_px) and sigma_px > 0):
        raise InputError(f"`sigma_px` must be positive. Received: {sigma_px}.")
    if polarity not in ("bright", "dark"):
        raise InputError(
            f'`polarity` must be "bright" or "dark". Received: {polarity!r}.'
        )
    rms = rms_map(maps)
    response = ndimage.gaussian_laplace(without_gaps(rms), sigma_px)
    response[np.isnan(rms)] = np.nan
    if polarity == "bright":
        response = -response
    return find_peaks(
        _standardised(response),
        threshold=threshold,
        min_distance_px=min_distance_px,
        max_peaks=max_peaks,
    )


def tune_log(
    maps_list: Sequence[ArrayLike],
    positions_list: Sequence[ArrayLike],
    *,
    tolerance: float = 1.0,
    sigmas_px: Sequence[float] = LOG_SIGMAS_PX,
    polarity: Polarity = "bright",
) -> LogSettings:
    """Choose width and threshold by the pooled Jaccard index.

    Give training maps only: tuned on the maps that it is tested on, the
    baseline would look better than it is.

    Args:
        maps_list: stacks [V, H, W].
        positions_list: for each, the true positions [n, 2], row and col [px].
        tolerance: of the matching [px].
        sigmas_px: widths to try [px].
        polarity: see `find_blobs_log`.

    Returns:
        The best settings; of equal ones, those tried first.

    Raises:
        InputError: for lists of differing lengths, no position at all, no
            blob at any width, and whatever `find_blobs_log` refuses.
    """
    truth = tuning_truth(positions_list, maps_list)
    trials = []
    for sigma in sigmas_px:
        found = [
            find_blobs_log(maps, sigma_px=sigma, polarity=polarity)
            for maps in maps_list
        ]
        best = best_threshold(found, truth, tolerance=tolerance)
        if best is not None:
            trials.append(LogSettings(sigma, best.value, polarity, best.score))
    if not trials:
        raise InputError("No blob at any width: are the maps constant?")
    return max(trials, key=lambda settings: settings.score.jaccard)


def without_gaps(layer: np.ndarray) -> np.ndarray:
    """`layer` [H, W] with its NaN replaced by the nearest measured value."""
    missing = np.isnan(layer)
    if not missing.any():
        return layer
    nearest = ndimage.distance_transform_edt(
        missing, return_distances=False, return_indices=True
    )
    return layer[tuple(np.asarray(nearest))]


def _standardised(response: np.ndarray) -> np.ndarray:
    """`response` over its robust standard deviation, or over 1 if that is 0."""
    deviation = np.abs(response - np.nanmedian(response))
    # 1.4826 MAD is the standard deviation of a normal distribution.
    return response / (1.4826 * float(np.nanmedian(deviation)) or 1.0)
