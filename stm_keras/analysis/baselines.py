"""Finders without a network, to measure the network against."""

from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.errors import InputError
from stm_keras.scoring import Score, best_threshold, tuning_truth

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
