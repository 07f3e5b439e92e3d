"""From a network's answer per pixel to impurities with their certainty."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import ndimage

from stm_keras.errors import InputError

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
    the place is the mean weighed with p_i.

    Args:
        output: as `stm_keras.nn.context.Context` gives it, [H, W, 5].
        threshold: the least joint probability.

    Returns:
        The impurities, no two nearer than 1 px.

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
    height, width = values.shape[:2]
    probability = 1 / (1 + np.exp(-values[..., 0]))
    probability = np.where(np.isfinite(probability), probability, 0.0)
    highest = ndimage.maximum_filter(probability, 3, mode="constant")
    # Joined, the nine pixels reach at most nine times the highest.
    found = (probability == highest) & (probability > threshold / 9)
    centres = np.moveaxis(np.indices((height, width)), 0, -1)
    places = centres + values[..., 1:3]
    joined = [
        _joined(row, col, probability, places, values[..., 3:])
        for row, col in np.argwhere(found)
    ]
    return _distinct([one for one in joined if one.probability >= threshold])


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
    centres = np.moveaxis(np.indices(values.shape[:2]), 0, -1)
    places = centres + values[..., 1:3]
    logits = np.full((len(np.asarray(pixels)), 9), -np.inf)
    for index, (row, col) in enumerate(np.asarray(pixels)):
        near = _around(row, col)
        apart = np.linalg.norm(places[near] - places[row, col], axis=-1)
        part = np.where(apart < _REACH_PX, values[near][..., 0], -np.inf)
        logits[index, : part.size] = part.ravel()
    return logits


class _Joined(NamedTuple):
    pixel: tuple[int, int]
    probability: float
    place: np.ndarray
    deviation: np.ndarray


def _around(row: int, col: int) -> tuple[slice, slice]:
    """The 3 x 3 pixels about one, cut at the frame's first row and column."""
    return (
        slice(max(row - 1, 0), row + 2),
        slice(max(col - 1, 0), col + 2),
    )


def _joined(
    row: int,
    col: int,
    probability: np.ndarray,
    places: np.ndarray,
    deviations: np.ndarray,
) -> _Joined:
    near = _around(row, col)
    distance = np.linalg.norm(places[near] - places[row, col], axis=-1)
    share = np.where(distance < _REACH_PX, probability[near], 0.0)
    weights = share / share.sum()
    place = np.tensordot(weights, places[near], axes=2)
    # Spread of a mixture: that of its parts, and that between them.
    inner = deviations[near] ** 2 + (places[near] - place) ** 2
    variance = np.tensordot(weights, inner, axes=2)
    joint = float(1 - np.prod(1 - share))
    return _Joined((row, col), joint, place, np.sqrt(variance))


def _distinct(joined: list[_Joined]) -> Detections:
    """Of detections nearer than `_REACH_PX`, the surest."""
    kept: list[_Joined] = []
    for one in sorted(joined, key=lambda one: -one.probability):
        if all(
            np.linalg.norm(one.place - other.place) >= _REACH_PX
            for other in kept
        ):
            kept.append(one)
    return Detections(
        np.array([one.place for one in kept]).reshape(-1, 2),
        np.array([one.probability for one in kept]),
        np.array([one.deviation for one in kept]).reshape(-1, 2),
        np.array([one.pixel for one in kept], np.int64).reshape(-1, 2),
    )
