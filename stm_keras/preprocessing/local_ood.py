"""A local out-of-distribution score: where maps are unlike the training's.

An impurity is a core little higher than its waves. Steps, blobs without waves
and clusters are high over some width: the local root mean square tells them.
The limit is that of virtual Au(111) with impurities and nothing else;
`benchmarks/local_ood.py` measures it.
"""

import numpy as np
from scipy import ndimage

LAYER = "off_training"
"""Name of the score's image among those of a result."""

COLUMN = "local_ood"
"""Name of the score at an impurity."""

LIMIT = 4.0
"""Local root mean square over the median of the frame, which 99.5 % of the
pixels of plain frames stay below."""

_MIDDLE_RAD_PX = 1.1
"""In place of an unknown q."""

_NOTHING = 1e-9


def local_ood_score(maps: np.ndarray, q_rad_px: np.ndarray) -> np.ndarray:
    """How unlike the training each place is; above 1 is out of distribution.

    Args:
        maps: levelled, at the network's pixel, float [V, H, W]; NaN where not
            measured.
        q_rad_px: q = 2k of each [rad/px], [V]; 0 where unknown. A Gaussian of
            half a wave of the LDOS says what is local.

    Returns:
        float32 [H, W]; NaN where no map is measured, 0 of maps that hold a few
        objects on nothing.
    """
    given = np.asarray(q_rad_px, np.float64)
    known = given[given > 0]
    middle = known.mean() if known.size else _MIDDLE_RAD_PX
    total = np.zeros(maps.shape[1:])
    for image, own in zip(maps, given, strict=True):
        there = np.isfinite(image)
        if not there.any():
            continue
        about = image.astype(np.float64) - np.median(image[there])
        about = np.where(there, about, 0.0)
        about /= np.abs(about).max() or 1.0
        reach = np.pi / (own if own > 0 else middle)
        local = ndimage.gaussian_filter(about**2, reach, mode="mirror")
        usual = np.median(local[there])
        if usual > _NOTHING:
            total += local / usual
    score = np.sqrt(total / len(maps)) / LIMIT
    measured = np.isfinite(maps).any(axis=0)
    return np.where(measured, score, np.nan).astype(np.float32)


def score_at(score: np.ndarray, positions_px: np.ndarray) -> np.ndarray:
    """The score in the pixels of positions, float64 [n].

    Args:
        score: see `local_ood_score`.
        positions_px: row and column in its pixels, [n, 2].
    """
    last = np.asarray(score.shape) - 1
    row, col = np.clip(np.rint(positions_px).astype(int), 0, last).T
    return score[row, col].astype(np.float64)
