"""Where impurities lie: random places that keep a distance."""

import math
from typing import NamedTuple

import numpy as np
from scipy.spatial.distance import cdist, pdist, squareform

from stm_keras.errors import InputError

MAX_BARREN_ROUNDS = 20
"""Rounds in a row that place nothing, after which the frame counts as full."""

_ROUND = (64, 1024)  # fewest and most places tried in a round


class Clusters(NamedTuple):
    """Impurities in clusters, with others between them.

    A Thomas process: members lie around uniform centres, normally spread (M.
    Thomas, Biometrika 36, 18 (1949), doi:10.1093/biomet/36.1-2.18).

    Attributes:
        size: mean number of members, 1 or more.
        spread_px: standard deviation of a member's row and column, px.
        lone_share: share of the impurities that belong to no cluster; above
            zero, so that full clusters leave room for the others elsewhere.
    """

    size: float
    spread_px: float
    lone_share: float = 0.2


def draw_positions(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    n: int | None = None,
    density: float | None = None,
    margin_px: float = 0.0,
    min_distance_px: float = 0.0,
    on_grid: bool = False,
    clusters: Clusters | None = None,
) -> np.ndarray:
    """Draw impurities in a frame and the margin around it.

    They are placed one after the other; one that comes too close to those
    before it is drawn again (random sequential adsorption). The frame spans
    its pixels whole: rows from -0.5 to H - 0.5, and so for columns.

    Args:
        rng: source of randomness.
        shape: (height, width) of the frame, px.
        n: how many, those in the margin included. Give this or `density`.
        density: impurities per px^2; n is the density times the area of
            frame and margin, rounded.
        margin_px: width of the margin on each side, px.
        min_distance_px: no two are closer than this, px.
        on_grid: whole rows and columns only, each place at most once.
        clusters: how they gather; without it they are uniform.

    Returns:
        (row, col) of each, float64 [n, 2], px, in the order of placing;
        those in the margin lie outside the frame.

    Raises:
        InputError: where they cannot be placed, with a density that can.
    """
    height, width = (side + 2 * margin_px for side in shape)
    if (n is None) == (density is None):
        raise InputError("Give either `n` or `density`, and not both.")
    if n is None:
        n = round((density or 0.0) * height * width)
    if n < 0 or margin_px < 0 or min_distance_px < 0:
        raise InputError(
            "The number of impurities, `margin_px` and `min_distance_px` "
            f"must be 0 or more. Received: {n}, {margin_px:g}, "
            f"{min_distance_px:g}."
        )
    if on_grid:
        # Any smaller distance would let two take the same place.
        min_distance_px = max(min_distance_px, 1.0)
    centres = np.empty((0, 2))
    if clusters is not None:
        number = max(1, round(n / clusters.size))
        centres = _candidates(rng, number, shape, margin_px, on_grid)
    placed, barren = np.empty((0, 2)), 0
    while len(placed) < n and barren < MAX_BARREN_ROUNDS:
        tried = int(np.clip(2 * (n - len(placed)), *_ROUND))
        drawn = _candidates(rng, tried, shape, margin_px, on_grid)
        if clusters is not None:
            drawn = _gathered(rng, drawn, centres, clusters)
            drawn = np.rint(drawn) if on_grid else drawn
            drawn = drawn[_within(drawn, shape, margin_px)]
        kept = drawn[_apart(placed, drawn, min_distance_px)]
        barren = 0 if len(kept) else barren + 1
        placed = np.concatenate([placed, kept])[:n]
    if len(placed) == n:
        return placed
    # A little below what went in, so that another seed manages it too.
    enough = math.floor(0.9 * len(placed))
    raise InputError(
        f"{n} impurities ({n / (height * width):.3g} per px^2) cannot be "
        f"placed {min_distance_px:g} px apart. Ask for at most {enough} "
        f"({enough / (height * width):.3g} per px^2), or lower the distance."
    )


def _candidates(
    rng: np.random.Generator,
    n: int,
    shape: tuple[int, int],
    margin_px: float,
    on_grid: bool,
) -> np.ndarray:
    """Places in frame and margin without regard to distances, [n, 2]."""
    if on_grid:
        margin = math.floor(margin_px)
        high = np.array(shape) + margin
        return rng.integers(-margin, high, (n, 2)).astype(np.float64)
    high = np.array(shape) - 0.5 + margin_px
    return rng.uniform(-0.5 - margin_px, high, (n, 2))


def _gathered(
    rng: np.random.Generator,
    places: np.ndarray,
    centres: np.ndarray,
    clusters: Clusters,
) -> np.ndarray:
    """The places, most of them moved to around one of the centres."""
    around = centres[rng.integers(len(centres), size=len(places))]
    around = around + clusters.spread_px * rng.standard_normal(places.shape)
    alone = rng.random(len(places)) < clusters.lone_share
    return np.where(alone[:, None], places, around)


def _within(
    positions: np.ndarray, shape: tuple[int, int], margin_px: float
) -> np.ndarray:
    """Which positions lie in the frame or its margin; bool [n]."""
    low, high = -0.5 - margin_px, np.array(shape) - 0.5 + margin_px
    inside = (positions >= low) & (positions < high)
    return np.asarray(inside.all(axis=1))


def _apart(
    placed: np.ndarray, drawn: np.ndarray, min_distance_px: float
) -> np.ndarray:
    """Which of `drawn` keep the distance, taken in order; bool [n]."""
    near_placed = cdist(drawn, placed) < min_distance_px
    keep = ~np.asarray(near_placed.any(axis=1))
    near = np.triu(squareform(pdist(drawn)) < min_distance_px, 1)
    for late in np.flatnonzero(near.any(axis=0)):
        # Only those before it that were kept themselves stand in its way.
        keep[late] &= not (near[:late, late] & keep[:late]).any()
    return keep


def in_frame(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which positions lie on a pixel of the frame, not in the margin.

    Args:
        positions: (row, col) [n, 2], px.
        shape: (height, width) of the frame, px.

    Returns:
        bool [n].
    """
    return _within(positions, shape, 0.0)
