"""What can be said of a network without any truth of the experiment."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.detections import match
from stm_keras.detector.tiles import cut_tiles, score_in_tiles
from stm_keras.reproduction.epoch_scores import TOLERANCE_PX
from stm_keras.reproduction.experiments import PAPER_TILING
from stm_keras.reproduction.settings import TILE_PX
from stm_keras.scoring import best_threshold, standardised

ScoreTiles = Callable[[np.ndarray], np.ndarray]
"""From tiles [n, V, L, L] to S [n, L, L]."""

_APART_PX = 1000.0
"""Distance at which fields are laid out side by side: none sees another."""


class Signs(NamedTuple):
    """What a trained network does on an experiment of unknown truth.

    Attributes:
        entropy_surrogate: mean of Lreg over the tiles of phase-randomised
            maps [nat].
        stable_tiling: share of the detections that are there as well when
            the tiles begin elsewhere.
        stable_voltages: the same between every other voltage and the rest.
        false_share: detections on the surrogates, over those on the maps, at
            the same S. 1 or more: what it sees is in the spectrum alone.
    """

    entropy_surrogate: float
    stable_tiling: float
    stable_voltages: float
    false_share: float


def read_signs(
    layers: Sequence[np.ndarray],
    stacks: Sequence[np.ndarray],
    surrogates: Sequence[np.ndarray],
    score_tiles: ScoreTiles,
    threshold: float,
) -> Signs:
    """Measure `Signs`.

    Args:
        layers: S of each experiment, [H, W].
        stacks: maps of each experiment, [V, H, W].
        surrogates: of each, see `stm_keras.reproduction.experiments`.
        score_tiles: the network.
        threshold: least S of a detection, in its standard deviations.
    """
    shift = TILE_PX // 2
    fakes = [score_in_paper_tiles(s, score_tiles) for s in surrogates]
    moved = [
        score_in_paper_tiles(s[:, shift:-shift, shift:-shift], score_tiles)
        for s in stacks
    ]
    middle = [s[shift:-shift, shift:-shift] for s in layers]
    even, odd = (
        [score_in_paper_tiles(s[i::2], score_tiles) for s in stacks]
        for i in range(2)
    )
    n_real = sum(_count_above(s, s, threshold) for s in layers)
    n_fake = sum(
        _count_above(fake, real, threshold)
        for fake, real in zip(fakes, layers, strict=True)
    )
    return Signs(
        entropy_surrogate=entropy(fakes),
        stable_tiling=_agreement(middle, moved, threshold),
        stable_voltages=_agreement(even, odd, threshold),
        false_share=n_fake / max(n_real, 1),
    )


def score_in_paper_tiles(
    maps: np.ndarray, score_tiles: ScoreTiles
) -> np.ndarray:
    """S of a frame [V, H, W], from the paper's tiles put edge to edge."""
    return score_in_tiles(maps, score_tiles, PAPER_TILING, batch_size=16)


def entropy(layers: Sequence[np.ndarray]) -> float:
    """Mean of Lreg (arXiv:2006.15898, Eq. 4) over the tiles [nat].

    Args:
        layers: S of whole frames, [H, W]; NumPy adds in one order always.
    """
    tiles = [cut_tiles(layer[None], PAPER_TILING)[:, 0] for layer in layers]
    scores = np.concatenate(tiles).astype(np.float64)
    flat = scores.reshape(len(scores), -1)
    flat -= flat.max(axis=1, keepdims=True)
    log_y = flat - np.log(np.exp(flat).sum(axis=1, keepdims=True))
    return float(-(np.exp(log_y) * log_y).sum(axis=1).mean())


def _count_above(layer: np.ndarray, unit: np.ndarray, threshold: float) -> int:
    """Maxima of a layer above a threshold in the spread of another."""
    least = float(unit.mean() + threshold * unit.std())
    return len(find_peaks(layer, threshold=least, refine=False).scores)


def _agreement(
    first: Sequence[np.ndarray], second: Sequence[np.ndarray], threshold: float
) -> float:
    """F1 of the detections in two versions of the same layers."""
    pairs = total = 0
    for one, other in zip(first, second, strict=True):
        a, b = (
            find_peaks(standardised(s), threshold=threshold).positions
            for s in (one, other)
        )
        pairs += len(match(a, b, TOLERANCE_PX).pairs)
        total += len(a) + len(b)
    return 2 * pairs / total if total else 0.0


def field_threshold(
    scores: np.ndarray, positions: Sequence[np.ndarray]
) -> float:
    """The threshold with the best Jaccard index on simulated fields.

    Args:
        scores: S, [B, L, L].
        positions: true positions in each field, [n, 2] [px].

    Returns:
        The least S of a detection, in its standard deviations; infinite where
        S has no maximum at all.
    """
    offset = _APART_PX * np.arange(len(scores))[:, None]
    found = [find_peaks(standardised(layer), refine=False) for layer in scores]
    # One wide frame: one assignment for all fields is far faster.
    heights = np.concatenate([p.scores for p in found])
    order = np.argsort(-heights, kind="stable")
    places = np.concatenate(
        [p.positions + o for p, o in zip(found, offset, strict=True)]
    )
    truth = np.concatenate(
        [p + o for p, o in zip(positions, offset, strict=True)]
    )
    best = best_threshold(
        [Peaks(places[order], heights[order])],
        [truth],
        tolerance=TOLERANCE_PX,
    )
    return np.inf if best is None else best.value
