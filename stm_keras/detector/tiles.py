"""Cut a large map into tiles and put what a network makes of them together."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np

from stm_keras.errors import InputError

ScoreTiles = Callable[[np.ndarray], np.ndarray]
"""From tiles [B, V, h, w] to their scores [B, h, w], or [B, h, w, c]."""


@dataclass(frozen=True)
class Tiling:
    """How to cut.

    Attributes:
        size_px: side of a tile [px].
        overlap_px: rows and columns that neighbours share [px]. In the shared
            part one tile fades out while the other fades in, so that no seam
            shows. 0 puts tiles edge to edge, as the paper does.
    """

    size_px: int
    overlap_px: int = 0

    def __post_init__(self) -> None:
        if not 0 <= self.overlap_px < self.size_px:
            raise InputError(
                "`overlap_px` must lie in [0, size_px). Received: "
                f"overlap_px={self.overlap_px}, size_px={self.size_px}"
            )

    def starts(self, length: int) -> list[int]:
        """First pixels of the tiles along an axis of `length` [px].

        The last tile ends with the axis; it then shares more with the one
        before it.
        """
        if length <= self.size_px:
            return [0]
        step = self.size_px - self.overlap_px
        starts = list(range(0, length - self.size_px, step))
        return [*starts, length - self.size_px]

    def corners(self, height: int, width: int) -> Iterator[tuple[int, int]]:
        """First row and column of every tile of a map."""
        for row in self.starts(height):
            for col in self.starts(width):
                yield row, col

    def work(self, height: int, width: int) -> int:
        """Pixels of all tiles of a map together."""
        rows, cols = (len(self.starts(side)) for side in (height, width))
        size = min(self.size_px, height) * min(self.size_px, width)
        return rows * cols * size


def largest_tiles(
    shape: tuple[int, int], overlap_px: int, most_px: int
) -> Tiling:
    """The tiles that cover a frame with the least work, within a memory.

    One tile where the frame is small enough; else as few as will do, all as
    large, so that the last one shares no more than the others.

    Args:
        shape: (height, width) of the frame [px].
        overlap_px: see `Tiling`.
        most_px: pixels that one tile may have; more than the overlap's
            square.

    Raises:
        InputError: where tiles of `most_px` would be all overlap.
    """
    whole = Tiling(max(*shape, overlap_px + 1), overlap_px)
    if shape[0] * shape[1] <= most_px:
        return whole
    most = math.isqrt(most_px)
    best = Tiling(most, overlap_px)
    step = most - overlap_px
    for side in shape:
        for count in range(1, 2 + max(0, -(-(side - most) // step))):
            size = -(-(side + (count - 1) * overlap_px) // count)
            if size <= overlap_px:
                break
            tiling = Tiling(size, overlap_px)
            fits = min(size, shape[0]) * min(size, shape[1]) <= most_px
            if fits and tiling.work(*shape) < best.work(*shape):
                best = tiling
    return best


def cut_tiles(maps: np.ndarray, tiling: Tiling) -> np.ndarray:
    """Cut a stack of maps.

    Args:
        maps: [V, H, W].
        tiling: how.

    Returns:
        [n, V, h, w], h and w at most `size_px`, in rows of tiles.
    """
    size = tiling.size_px
    return np.stack(
        [
            maps[:, row : row + size, col : col + size]
            for row, col in tiling.corners(*maps.shape[1:])
        ]
    )


def score_in_tiles(
    maps: np.ndarray,
    score_tiles: ScoreTiles,
    tiling: Tiling,
    *,
    batch_size: int = 1,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> np.ndarray:
    """Score a map tile by tile and stitch the scores.

    Args:
        maps: float32 [V, H, W].
        score_tiles: the network.
        tiling: how to cut.
        batch_size: tiles for the network at once.
        progress: told the number of tiles done and of all tiles.

    Returns:
        S, float32 [H, W], or [H, W, c].
    """
    height, width = maps.shape[1:]
    corners = list(tiling.corners(height, width))
    tiles = cut_tiles(maps, tiling)
    total = np.zeros((height, width, 1))
    weight = np.zeros((height, width, 1))
    last: tuple[int, ...] = ()
    for start in range(0, len(tiles), batch_size):
        batch = slice(start, start + batch_size)
        scores = np.asarray(score_tiles(tiles[batch]))
        last = scores.shape[3:]
        scores = scores.reshape(*scores.shape[:3], -1)
        if total.shape[-1] < scores.shape[-1]:  # known from the first tile on
            total = np.repeat(total, scores.shape[-1], axis=-1)
        for (row, col), score in zip(corners[batch], scores, strict=True):
            rows = slice(row, row + score.shape[0])
            cols = slice(col, col + score.shape[1])
            if tiling.overlap_px == 0:  # the last tile written stays
                total[rows, cols], weight[rows, cols] = score, 1.0
                continue
            fade = np.outer(
                _fade(row, score.shape[0], height, tiling.overlap_px),
                _fade(col, score.shape[1], width, tiling.overlap_px),
            )
            total[rows, cols] += fade[..., None] * score
            weight[rows, cols] += fade[..., None]
        progress(min(start + batch_size, len(tiles)), len(tiles))
    stitched = (total / weight).astype(np.float32)
    return stitched.reshape(height, width, *last)


def _fade(start: int, size: int, length: int, overlap: int) -> np.ndarray:
    """Weights of a tile along one axis: full inside, fading where shared.

    The outermost third of the shared part counts next to nothing: there the
    network saw the tile's edge in place of what lies beyond.
    """
    distance = np.arange(size) + 0.5
    before = distance if start > 0 else np.full(size, np.inf)
    after = distance[::-1] if start + size < length else np.full(size, np.inf)
    depth = np.minimum(before, after) / overlap
    return np.clip(1.5 * depth - 0.5, 1e-6, 1.0)
