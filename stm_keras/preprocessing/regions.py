"""Connected regions of a mask."""

import numpy as np
from scipy import ndimage


def labelled(
    mask: np.ndarray, structure: np.ndarray | None = None
) -> tuple[np.ndarray, int]:
    """Connected regions as numbers from 1, int32 [H, W], and how many."""
    labels = np.zeros(mask.shape, dtype=np.int32)
    # Given an array to write to, SciPy returns the number alone.
    number = ndimage.label(mask, structure, output=labels)
    return labels, int(number)  # pyright: ignore[reportArgumentType]
