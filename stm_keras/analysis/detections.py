"""From a network's answer per pixel to impurities with their certainty."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage
from scipy.spatial import KDTree

from stm_keras.errors import InputError
from stm_keras.simulation.scene import in_frame

_REACH_PX = 1.0
"""Neighbouring pixels speak of one impurity where the places that they give
lie nearer than this."""


class Detections(NamedTuple):
    """Impurities, the surest first.

    Attributes:
        positions: row and column [px], float64 [n, 2].
        probabilities: that there is an impurity, float64 [n].
        deviations: standard deviations of row and column [px], float64
            [n, 2].
        pixels: row and column of the pixel that is surest of each, int64
            [n, 2].
    """

    positions: np.ndarray
    probabilities: np.ndarray
    deviations: np.ndarray
    pixels: np.ndarray


def find_detections(output: ArrayLike, threshold: float) -> Detections:
    """Join what neighbouring pixels say of one impurity.

    The network gives every pixel its own probability; an impurity between
    two pixels is shared by them. Around every local maximum of the
    probability, those of the 3 x 3 pixels that place the impurity within
    1 px of where the maximum does are joined: p = 1 - prod(1 - p_i), and
    the place is the mean weighed with p_i. What is placed beside the frame
    is left out: it is an impurity of the surface around.

    Args:
        output: as `stm_keras.nn.context.Context` gives it, [H, W, 5].
        threshold: the least joint probability.

    Returns:
        The impurities in the frame, no two nearer than 1 px.

    Raises:
        InputError: for another shape, or a threshold outside (0, 1).
    """
    values = np.asarray(output, dtype=np.float64)
    if values.ndim != 3 or values.shape[-1] != 5:
        raise InputError(
            "Detections are read from an output [H, W, 5]. Received the shape "
            f"{list(values.shape)}."
        )
    if not 0 < threshold < 1:
        raise InputError(
            f"`threshold` must lie between 0 and 1. Received: {threshold}"
        )
    with np.errstate(over="ignore"):
        probability = 1 / (1 + np.exp(-values[..., 0]))
    probability = np.where(np.isfinite(probability), probability, 0.0)
    highest = ndimage.maximum_filter(probability, 3, mode="constant")
    # Joined, the nine pixels reach at most nine times the highest.
    found = (probability == highest) & (probability > threshold / 9)
    pixels = np.argwhere(found)
    near = _neighbours(values, pixels)
    share = np.where(near.speaks, _around(probability, pixels), 0.0)
    joint = 1 - np.prod(1 - share, axis=1)
    weights = (share / share.sum(axis=1, keepdims=True))[..., None]
    place = (weights * near.places).sum(axis=1)
    # Spread of a mixture: that of its parts, and that between them.
    inner = near.deviations**2 + (near.places - place[:, None]) ** 2
    deviation = np.sqrt((weights * inner).sum(axis=1))
    order = np.argsort(-joint, kind="stable")
    order = order[joint[order] >= threshold]
    # One beside the frame still hides what is a second word of it.
    kept = order[distinct(place[order])]
    kept = kept[in_frame(place[kept], values.shape[:2])]
    return Detections(place[kept], joint[kept], deviation[kept], pixels[kept])


def joined_logits(output: ArrayLike, pixels: ArrayLike) -> np.ndarray:
    """Logits of the pixels that were joined in detections.

    Args:
        output: see `find_detections`.
        pixels: of its detections, int [n, 2].

    Returns:
        float64 [n, 9]; -inf for a neighbour that speaks of something else or
        lies outside.
    """
    values = np.asarray(output, dtype=np.float64)
    pixels = np.asarray(pixels, np.int64).reshape(-1, 2)
    near = _neighbours(values, pixels)
    logits = _around(values[..., 0], pixels)
    return np.where(near.speaks, logits, -np.inf)


class _Neighbours(NamedTuple):
    """What the 3 x 3 pixels around some say, [n, 9, ...].

    Attributes:
        speaks: which are in the frame and mean the same impurity, bool.
        places: row and column that each gives [px].
        deviations: of these [px].
    """

    speaks: np.ndarray
    places: np.ndarray
    deviations: np.ndarray


def _neighbours(values: np.ndarray, pixels: np.ndarray) -> _Neighbours:
    centres = np.moveaxis(np.indices(values.shape[:2]), 0, -1)
    places = _around(centres + values[..., 1:3], pixels)
    apart = np.linalg.norm(places - places[:, 4:5], axis=-1)
    inside = _around(np.ones(values.shape[:2]), pixels) > 0
    return _Neighbours(
        inside & (apart < _REACH_PX), places, _around(values[..., 3:], pixels)
    )


def _around(layer: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """The 3 x 3 values about each pixel, [n, 9, ...]; 0 beyond the frame."""
    border = [(1, 1), (1, 1)] + [(0, 0)] * (layer.ndim - 2)
    padded = np.pad(layer, border)
    row, col = np.indices((3, 3)).reshape(2, 1, 9)
    return padded[pixels[:, :1] + row, pixels[:, 1:] + col]


def distinct(places: np.ndarray) -> np.ndarray:
    """Which places have no earlier one nearer than 1 px.

    Args:
        places: row and column, the surest first, float [n, 2] [px].

    Returns:
        bool [n].
    """
    kept = np.ones(len(places), dtype=bool)
    if len(places):
        near = np.nextafter(_REACH_PX, 0)
        pairs = KDTree(places).query_pairs(near, output_type="ndarray")
        kept[pairs.max(axis=1)] = False
    return kept
