"""The impurities as an image of the file's own size."""

import math
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

from stm_keras.errors import InputError

DEFAULT_RADIUS_NM = 0.5
"""Where the dark core of a CO molecule on Cu(111) ends.

The median profile around the reference positions of Topo102 and of Topo015
rises to the level of the waves 0.5 nm from the centre (a test measures it).
"""


def check_radius(radius_nm: float) -> None:
    """Refuse a radius that is no positive number.

    Raises:
        InputError: the message names the option.
    """
    if not (math.isfinite(radius_nm) and radius_nm > 0):
        raise InputError(
            "--mask-radius-nm must be a positive number of nm. Received: "
            f"{radius_nm:g}."
        )


def impurity_mask(
    shape: tuple[int, int],
    pixel_nm: tuple[float, float],
    positions_px: ArrayLike,
    radius_nm: float = DEFAULT_RADIUS_NM,
) -> NDArray[np.uint8]:
    """Discs around positions.

    Args:
        shape: rows and columns of the image [px].
        pixel_nm: height and width of a pixel [nm].
        positions_px: row and column [px], [n, 2].
        radius_nm: of the discs [nm].

    Returns:
        uint8 [H, W]: 1 where a pixel's centre is at most `radius_nm` from a
        position, and in the pixel that a position lies in; 0 elsewhere.

    Raises:
        InputError: for a radius that is not positive.
    """
    check_radius(radius_nm)
    mask = np.zeros(shape, dtype=np.uint8)
    last = np.asarray(shape) - 1
    reach = np.ceil(radius_nm / np.asarray(pixel_nm)).astype(int)
    for position in np.asarray(positions_px, dtype=np.float64).reshape(-1, 2):
        centre = np.clip(np.rint(position).astype(int), 0, last)
        # One more, as the position lies beside the centre of its pixel.
        first = np.clip(centre - reach - 1, 0, last)
        end = np.clip(centre + reach + 1, 0, last) + 1
        rows, cols = (np.arange(a, b) for a, b in zip(first, end, strict=True))
        down = (rows - position[0]) * pixel_nm[0]
        right = (cols - position[1]) * pixel_nm[1]
        inside = np.add.outer(down**2, right**2) <= radius_nm**2
        mask[first[0] : end[0], first[1] : end[1]] |= inside.astype(np.uint8)
        mask[tuple(centre)] = 1
    return mask


def write_mask_tiff(
    path: str | Path, mask: NDArray[np.uint8], pixel_nm: tuple[float, float]
) -> None:
    """Write a mask as a TIFF that ImageJ opens at its scale.

    Args:
        path: the file.
        mask: uint8 [H, W], of 0 and 1; shown as black and white.
        pixel_nm: height and width of a pixel [nm].
    """
    tifffile.imwrite(
        path,
        mask,
        imagej=True,
        resolution=(1 / pixel_nm[1], 1 / pixel_nm[0]),  # pixels a nm: x, y
        metadata={"axes": "YX", "unit": "nm", "min": 0, "max": 1},
    )
