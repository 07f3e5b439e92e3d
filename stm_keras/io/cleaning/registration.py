"""Registration: the drift between the maps of a stack is taken out."""

from dataclasses import dataclass

import numpy as np
from scipy import ndimage

from stm_keras.errors import InputError
from stm_keras.io.cleaning.drift import filled, mean_path, pair_path
from stm_keras.io.maps import ConductanceMaps

_LEAST_SIDE_PX = 32  # a quarter of it must still hold waves
# Errors are mostly below the stated uncertainty. Of stacks that state more than
# this one in two was off by over 0.1 px (benchmarks/registration.py).
_MOST_UNCERTAIN_PX = 0.15
# Correlation with the other maps, in standard deviations of noise's; the
# best of many shifts of pure noise reaches about 4.
_LEAST_SCORE = 6.0
_LARGEST_SHARE = 0.25  # of the frame's side that a map may be moved
_LEAST_MEASURED = 0.5  # of a map
_SPLINE_ORDER = 5


@dataclass(frozen=True, eq=False)
class Registration:
    """The drift of a stack and how far it can be trusted.

    Attributes:
        path_px: displacement (row, column) of each map, float64 [V, 2], px;
            its mean is zero.
        uncertainty_px: standard error of a displacement in one direction
            [px], from paths found in the four quarters of the frame.
        score: correlation of each map with the mean of the others, float64
            [V], in standard deviations of what noise gives.
        failure: why it must not be applied; empty where it may.
    """

    path_px: np.ndarray
    uncertainty_px: float
    score: np.ndarray
    failure: str


def register(
    maps: ConductanceMaps, *, reference: ConductanceMaps | None = None
) -> ConductanceMaps:
    """Find the drift between the maps and move them back, or warn.

    Args:
        maps: the maps in the order in which they were taken, levelled.
        reference: maps of the same frame taken together with `maps`, one for
            each, that show the drift better, such as topographs.

    Returns:
        Maps moved to their mean place by splines of fifth order. What comes
        in over the border, and what rests on unmeasured pixels, is NaN. Where
        the drift cannot be trusted, the maps as they were and a warning in
        `provenance`.

    Raises:
        InputError: for a reference of another shape.
    """
    if reference is not None and reference.shape != maps.shape:
        raise InputError(
            f"{maps.source}: the reference has the shape {reference.shape} "
            f"and the maps {maps.shape}. Give one of the same frame a map."
        )
    shown = maps if reference is None else reference
    result = measure_drift(shown.data)
    if result.failure:
        note = f"warning: drift not taken out: {result.failure}"
        return maps.with_data(maps.data, note)
    moved = move_back(maps.data, result.path_px)
    lost = (np.isnan(moved).all(axis=(1, 2))).any()
    if lost or np.isnan(moved).any(axis=0).all():
        note = "warning: drift not taken out: no pixel would be left"
        return maps.with_data(maps.data, note)
    extent = np.ptp(result.path_px, axis=0)
    return maps.with_data(
        moved,
        f"drift taken out: {extent[0]:.2f} px down, {extent[1]:.2f} px across,"
        f" uncertain by {result.uncertainty_px:.2f} px"
        + (f", found in {reference.channel}" if reference is not None else ""),
    )


def measure_drift(data: np.ndarray) -> Registration:
    """Find the path of a stack and judge it.

    The path is found in the whole frame and in each of its quarters, which
    hold other impurities and other noise. Their scatter, halved, is the
    standard error; it holds what noise does as well as what rings that
    change with the bias do.

    Args:
        data: maps, float [V, H, W]; NaN is "not measured".

    Returns:
        The path; `failure` is set where the frame or the maps are too few,
        the quarters differ, or a map is not like the others.
    """
    n_maps, height, width = data.shape
    nothing = np.zeros((n_maps, 2)), np.inf, np.zeros(n_maps)
    if n_maps < 2:
        return Registration(*nothing, "a single map has nothing to drift from")
    if min(height, width) < _LEAST_SIDE_PX:
        return Registration(
            *nothing, f"frames below {_LEAST_SIDE_PX} px hold too little"
        )
    measured = (~np.isnan(data)).mean(axis=(1, 2))
    if (measured < _LEAST_MEASURED).any():
        index = int(measured.argmin())
        return Registration(*nothing, f"map {index} is mostly not measured")
    images = np.stack([filled(image.astype(np.float64)) for image in data])
    # A difference in size between maps, and tiny numbers, must not weigh.
    images -= images.mean(axis=(1, 2), keepdims=True)
    images /= images.std(axis=(1, 2), keepdims=True)
    path, score = mean_path(images, pair_path(images))
    uncertainty = _scatter_of_quarters(images, path)
    failure = _failure(path, uncertainty, score, (height, width))
    return Registration(path, uncertainty, score, failure)


def move_back(data: np.ndarray, path_px: np.ndarray) -> np.ndarray:
    """Move maps back by their displacements.

    Args:
        data: float [V, H, W]; NaN is "not measured".
        path_px: displacement (row, column) of each map, float [V, 2], px.

    Returns:
        float32 [V, H, W]. NaN are: pixels from beyond the border, and those
        less than about one pixel and a half from an unmeasured one.
    """
    result = np.empty(data.shape, dtype=np.float32)
    for index, (image, step) in enumerate(zip(data, path_px, strict=True)):
        if not step.any():
            result[index] = image
            continue
        missing = np.isnan(image)
        moved = ndimage.shift(
            filled(image.astype(np.float64)),
            -step,
            order=_SPLINE_ORDER,
            mode="reflect",
        )
        if missing.any():
            missing = ndimage.binary_dilation(missing)
        share = ndimage.shift(
            missing.astype(np.float64), -step, order=1, cval=1.0
        )
        moved[(share > 1e-6) | _beyond_border(image.shape, step)] = np.nan
        result[index] = moved
    return result


def _beyond_border(shape: tuple[int, ...], step: np.ndarray) -> np.ndarray:
    """Pixels that come from outside the frame, bool [H, W]."""
    outside = [
        (np.arange(n) + d < -1e-9) | (np.arange(n) + d > n - 1 + 1e-9)
        for n, d in zip(shape, step, strict=True)
    ]
    return outside[0][:, None] | outside[1]


def _scatter_of_quarters(images: np.ndarray, path: np.ndarray) -> float:
    """Standard error of the path from the frame's quarters [px]."""
    rows, cols = images.shape[1] // 2, images.shape[2] // 2
    paths = [
        mean_path(images[:, down, right], path)[0]
        for down in (slice(rows), slice(rows, None))
        for right in (slice(cols), slice(cols, None))
    ]
    variance = np.var(paths, axis=0, ddof=1)
    return float(np.sqrt(variance.mean() / len(paths)))


def _failure(
    path: np.ndarray,
    uncertainty: float,
    score: np.ndarray,
    shape: tuple[int, int],
) -> str:
    """Why a path must not be applied; "" where it may."""
    if (lost := score < _LEAST_SCORE).any():
        return (
            f"{int(lost.sum())} of {lost.size} maps are not like the others "
            f"(map {int(score.argmin())} first)"
        )
    if not uncertainty <= _MOST_UNCERTAIN_PX:
        return (
            "the four quarters of the frame do not agree on it (uncertain "
            f"by {uncertainty:.2f} px)"
        )
    if (np.abs(path).max(axis=0) > _LARGEST_SHARE * np.array(shape)).any():
        return f"it would move a map by {np.abs(path).max():.1f} px"
    return ""
