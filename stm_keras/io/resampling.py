"""Bring maps to another pixel without moving or inventing anything."""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.fft import dct, idct

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.units import height_by_width

_LANCZOS_LOBES = 3
_MIN_MEASURED_SHARE = 0.5
_SQUARE = 0.02
"""Largest relative difference of the sides of a pixel that counts as square."""

_MAX_VALUES = 1 << 29  # of the result: 2 GiB in float32


@dataclass(frozen=True)
class _Kernel:
    """A kernel's shape, and the distance at which it ends [target px]."""

    shape: Callable[[np.ndarray], np.ndarray]
    reach: float


_LANCZOS = _Kernel(
    lambda x: (
        np.sinc(x) * np.sinc(x / _LANCZOS_LOBES) * (np.abs(x) < _LANCZOS_LOBES)
    ),
    _LANCZOS_LOBES,
)
_TRIANGLE = _Kernel(lambda x: np.clip(1 - np.abs(x), 0, None), 1)


def resample(maps: ConductanceMaps, pixel_nm: float) -> ConductanceMaps:
    """Resample maps to square pixels of about a given size.

    The centre of target row i lies at (i + 0.5) H_in / H_out - 0.5 of the
    input: an object keeps its place in nm. Where all pixels in reach are
    measured the kernel is Lanczos', stretched over the target pixel when
    shrinking (so noise beyond the new Nyquist limit goes, and waves of 1.8
    rad/px keep their amplitude; a mean over the pixel's area would take up
    to 38 % of it, and unevenly, where the pixels are of nearly equal size).
    Beside unmeasured pixels it is the triangle, which is nowhere negative,
    normalised over what is measured; a target pixel of which less than half
    the weight is measured is NaN.

    Args:
        maps: the maps; their extent stays as it is.
        pixel_nm: the wanted pixel [nm]. The extent is cut into a whole number
            of pixels, so the result's may differ by a part in 2 n.

    Returns:
        Maps [V, round(height / pixel), round(width / pixel)].

    Raises:
        InputError: where `pixel_nm` is not positive, or the result would have
            less than 2 x 2 px or more than 2 GiB.

    References:
        K. Turkowski, "Filters for common resampling tasks", Graphics Gems I
        (1990); H. Knutsson and C.-F. Westin, "Normalized and differential
        convolution", CVPR (1993), doi:10.1109/CVPR.1993.341081.
    """
    n_maps, height, width = maps.shape
    n_rows, n_cols = _target_shape(maps, pixel_nm)
    if (n_rows, n_cols) == (height, width):
        return maps.with_data(maps.data, "already of the wanted pixel")
    result = np.empty((n_maps, n_rows, n_cols), dtype=np.float32)
    sides = (height, n_rows), (width, n_cols)
    sharp, safe = (
        [_weights(kernel, *side) for side in sides]
        for kernel in (_LANCZOS, _TRIANGLE)
    )
    for index, image in enumerate(maps.data):
        result[index] = _resampled(image, sharp, safe)
    return maps.with_data(
        result,
        f"resampled from {height} x {width} to {n_rows} x {n_cols} px (height "
        f"x width), pixel {maps.extent_nm[0] / n_rows:.4g} x "
        f"{maps.extent_nm[1] / n_cols:.4g} nm",
    )


def is_square(maps: ConductanceMaps) -> bool:
    """Whether the sides of a pixel are alike, to the rounding of headers."""
    down, right = maps.pixel_nm
    return abs(down - right) <= _SQUARE * max(down, right)


def with_square_pixels(maps: ConductanceMaps) -> ConductanceMaps:
    """Bring pixels of unlike sides to the coarser one.

    The coarser side stays as it is, and along the finer one waves beyond the
    new Nyquist limit go: the map's cosine transform is cut short, so that
    what is left keeps its place and height and white noise stays white. At a
    finer pixel the noise of neighbours would be alike, as no instrument makes
    it. Where pixels are not measured, see `resample`.

    Args:
        maps: the maps; those of square pixels come back as they are.

    Returns:
        Maps of square pixels, with a warning in `provenance` that says so.

    Raises:
        InputError: see `resample`.
    """
    if is_square(maps):
        return maps
    down, right = maps.pixel_nm
    apart = 100 * (max(down, right) / min(down, right) - 1)
    note = (
        f"warning: the sides of a pixel, {down:.4g} nm down and {right:.4g} nm "
        f"across, differ by {apart:.3g} %: resampled to the coarser"
    )
    noted = maps.with_data(maps.data, note)
    square = resample(noted, max(down, right))
    if not maps.mask.all():
        return square
    axis = 1 if down < right else 2
    n_in, n_out = maps.shape[axis], square.shape[axis]
    waves = dct(maps.data.astype(np.float64), axis=axis, norm="ortho")
    kept = np.take(waves, range(n_out), axis)
    data = idct(kept, axis=axis, norm="ortho") * math.sqrt(n_out / n_in)
    return replace(square, data=data.astype(np.float32))


def _target_shape(maps: ConductanceMaps, pixel_nm: float) -> tuple[int, int]:
    if not (math.isfinite(pixel_nm) and pixel_nm > 0):
        raise InputError(
            f"The pixel must be positive. Received: {pixel_nm} nm."
        )
    sides = [side / pixel_nm for side in maps.extent_nm]
    if min(sides) < 1.5:
        raise InputError(
            f"{maps.source}: the frame of "
            f"{height_by_width(maps.extent_nm, 'nm')} is smaller than 2 x 2 px "
            f"of {pixel_nm:g} nm. Use a smaller pixel or a larger scan."
        )
    if math.prod(sides) * len(maps.bias_v) > _MAX_VALUES:
        raise InputError(
            f"{maps.source}: {len(maps.bias_v)} maps of "
            f"{height_by_width(sides, 'px')} are more than 2 GiB. Use a "
            "larger pixel."
        )
    return round(sides[0]), round(sides[1])


def _resampled(
    image: np.ndarray, sharp: list[np.ndarray], safe: list[np.ndarray]
) -> np.ndarray:
    """One map [H, W] -> [H', W'], float64."""
    measured = ~np.isnan(image)
    values = np.where(measured, image, 0).astype(np.float64)
    result = sharp[0] @ values @ sharp[1].T
    if measured.all():
        return result
    reach = [(weights != 0).astype(np.float64) for weights in sharp]
    touched = reach[0] @ (~measured).astype(np.float64) @ reach[1].T > 0.5
    share = safe[0] @ measured.astype(np.float64) @ safe[1].T
    enough = share >= _MIN_MEASURED_SHARE
    mean = (safe[0] @ values @ safe[1].T) / np.where(enough, share, 1)
    return np.where(touched, np.where(enough, mean, np.nan), result)


def _weights(kernel: _Kernel, n_in: int, n_out: int) -> np.ndarray:
    """Weight of every input in every output pixel, float64 [n_out, n_in].

    Rows sum to one. The frame is mirrored at its edges.
    """
    scale = max(1.0, n_in / n_out)
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    margin = math.ceil(kernel.reach * scale) + 1
    places = np.arange(-margin, n_in + margin)
    weights = kernel.shape((places - centres[:, np.newaxis]) / scale)
    weights[np.abs(weights) < 1e-12] = 0.0  # sin(pi n) is not quite zero
    weights /= weights.sum(axis=1, keepdims=True)
    # ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
    wrapped = places % (2 * n_in)
    inside = np.where(wrapped < n_in, wrapped, 2 * n_in - 1 - wrapped)
    folded = np.zeros((n_out, n_in))
    np.add.at(folded.T, inside, weights.T)
    return folded
