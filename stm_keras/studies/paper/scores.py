"""How good a score layer is: against the truth, and as a user can tell.

The truth and the paper's reference give hit ratios and Jaccard indices.
Without them one can ask whether detections stay where they are when the tiles
move or half of the voltages is left out, and how many there are on
phase-randomised maps (`Signs`). Beside networks stand methods without one, and
layers without knowledge.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple, TypeVar

import numpy as np
from scipy import ndimage

from stm_keras.analysis.baselines import LOG_SIGMAS_PX, find_blobs_log
from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.detections import match
from stm_keras.detector.tiles import cut_tiles, score_in_tiles
from stm_keras.scoring import (
    Score,
    best_threshold,
    score_positions,
    standardised,
)
from stm_keras.studies.baselines.matched_filter import RADII_PX, find_rings
from stm_keras.studies.paper.experiments import (
    PAPER_TILING,
    Draw,
    Experiments,
)
from stm_keras.studies.paper.settings import TILE_PX
from stm_keras.studies.tables import Row

TOLERANCE_PX = 1.0
"""The paper's: a hit is nearer than one pixel."""

REFERENCES = ("em", "truth")
LOG = "LoG on the RMS map"
RINGS = "matched filter"
_N_RANDOM = 20
"""Random layers a frame, so that a hit ratio by chance is no chance."""

_APART_PX = 1000.0
"""Distance at which fields are laid out side by side: none reaches another."""

ScoreTiles = Callable[[np.ndarray], np.ndarray]
"""From tiles [n, V, L, L] to S [n, L, L]."""

T = TypeVar("T")


def score_layers(
    layers: Sequence[np.ndarray], draws: Sequence[Draw], threshold: float
) -> dict[str, float]:
    """Score the layers of several experiments, pooled.

    Args:
        layers: S of each, [H, W].
        draws: the experiments.
        threshold: least S of a detection, in standard deviations of S above
            its mean (`stm_keras.scoring.standardised`).

    Returns:
        See `_scores`; the paper's hit ratio is that of every maximum of S, on
        whole pixels.
    """
    every = [find_peaks(layer, refine=False) for layer in layers]
    peaks = [find_peaks(standardised(layer)) for layer in layers]
    return _scores(every, peaks, draws, threshold)


def _scores(
    every: Sequence[Peaks],
    peaks: Sequence[Peaks],
    draws: Sequence[Draw],
    threshold: float,
) -> dict[str, float]:
    """Scores of several experiments together.

    Args:
        every: all maxima of each, for the paper's hit ratio.
        peaks: the same with scores in the unit of the threshold, the highest
            first.
        draws: the experiments.
        threshold: least score of a detection.

    Returns:
        For each of `REFERENCES` (EM on the bound states, and the truth):
        `hit_ratio` and `jaccard_all` of all maxima; `jaccard`, `precision`,
        `recall` and `rmse` of the detections; `jaccard_top`, taking as many
        of the highest maxima as there are reference points. Beside them
        `n_maxima` and `n_found` a frame, and `chance`, the hit ratio of
        points that lie anywhere.
    """
    values: dict[str, float] = {}
    for name in REFERENCES:
        points = [_points(draw, name) for draw in draws]
        tops = zip(peaks, points, strict=True)
        whole = pooled((p.positions for p in every), points)
        top = pooled((p.positions[: len(q)] for p, q in tops), points)
        found = pooled(
            (p.positions[p.scores > threshold] for p in peaks), points
        )
        values |= {
            f"hit_ratio_{name}": whole.hit_ratio,
            f"jaccard_all_{name}": whole.jaccard,
            f"jaccard_{name}": found.jaccard,
            f"precision_{name}": found.precision,
            f"recall_{name}": found.recall,
            f"rmse_{name}": found.rmse,
            f"jaccard_top_{name}": top.jaccard,
        }
    n_found = [int((p.scores > threshold).sum()) for p in peaks]
    values["n_maxima"] = float(np.mean([len(p.scores) for p in every]))
    values["n_found"] = float(np.mean(n_found))
    shape = draws[0].maps.shape[1:]
    values["chance"] = chance_hit_ratio(values["n_maxima"], shape)
    return values


def _points(draw: Draw, reference: str) -> np.ndarray:
    return draw.reference if reference == "em" else draw.positions


def pooled(found: Iterable[np.ndarray], points: Sequence[np.ndarray]) -> Score:
    """Score of several frames together, at the paper's one pixel.

    Args:
        found: positions in each frame, [n, 2] [px].
        points: what they are held against, [m, 2] [px].
    """
    return reduce(
        add,
        (
            score_positions(f, p, tolerance=TOLERANCE_PX)
            for f, p in zip(found, points, strict=True)
        ),
    )


def frame_counts(
    layer: np.ndarray, draw: Draw, threshold: float
) -> dict[str, Any]:
    """Whole numbers of one frame, from which pooled scores can be had again.

    Args:
        layer: S, [H, W].
        draw: the experiment.
        threshold: see `score_layers`.
    """
    every = find_peaks(layer, refine=False).positions
    peaks = find_peaks(standardised(layer))
    found = peaks.positions[peaks.scores > threshold]
    counts: dict[str, Any] = {"maxima": len(every), "found": len(found)}
    for name in REFERENCES:
        points = _points(draw, name)
        counts[f"points_{name}"] = len(points)
        counts[f"hits_{name}"] = pooled([every], [points]).hits
        counts[f"pairs_{name}"] = pooled([found], [points]).true_positives
    on_decoys = pooled([found], [draw.decoys])
    return counts | {
        "decoys": len(draw.decoys),
        "found_on_decoys": on_decoys.true_positives,
    }


def chance_hit_ratio(n_maxima: float, shape: tuple[int, ...]) -> float:
    """Hit ratio of points that have nothing to do with the maxima.

    It is the share of a frame's area that lies less than 1 px from one.
    Maxima are two pixels apart or more, so that their discs do not overlap:
    the share is pi n / (H W). The frame's edge cuts some, by 1 % in 80 x 80.

    Args:
        n_maxima: of S, whole pixels.
        shape: (H, W) of the frame [px].
    """
    return n_maxima * math.pi * TOLERANCE_PX**2 / math.prod(shape)


class Signs(NamedTuple):
    """What a trained network does on an experiment of unknown truth.

    Attributes:
        entropy_surrogate: mean of Lreg over the tiles of phase-randomised
            maps [nat].
        stable_tiling: share of the detections that are there as well when
            the tiles begin elsewhere.
        stable_voltages: the same between every other voltage and the rest.
        false_share: detections on the surrogates, over those on the maps, at
            the same S. 1 or more: what it finds is in the spectrum alone.
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
        surrogates: phase-randomised maps of each.
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
        layers: S of whole frames, [H, W].
    """
    tiles = [cut_tiles(layer[None], PAPER_TILING)[:, 0] for layer in layers]
    log_y = log_softmax(np.concatenate(tiles))
    return float(-(np.exp(log_y) * log_y).sum(axis=1).mean())


def log_softmax(scores: np.ndarray) -> np.ndarray:
    """Over the pixels of each field: S [n, L, L] to float64 [n, L L].

    By NumPy, whose sums are always in one order.
    """
    flat = scores.reshape(len(scores), -1).astype(np.float64)
    flat = flat - flat.max(axis=1, keepdims=True)
    return flat - np.log(np.exp(flat).sum(axis=1, keepdims=True))


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


Layer = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]


def _checkerboard(shape: tuple[int, ...], _: np.random.Generator) -> np.ndarray:
    layer = np.zeros(shape)
    layer[::2, ::2] = 1.0
    return layer


def _smoothed_noise(sigma_px: float) -> Layer:
    return lambda shape, rng: ndimage.gaussian_filter(
        rng.standard_normal(shape), sigma_px, mode="wrap"
    )


GRID = "every second pixel of S"
KNOWING_NOTHING: dict[str, Layer] = {
    "white noise as S": lambda shape, rng: rng.standard_normal(shape),
    "noise smoothed by 1 px as S": _smoothed_noise(1.0),
    "noise smoothed by 2 px as S": _smoothed_noise(2.0),
    GRID: _checkerboard,
}
"""Layers that have nothing of the experiment."""


def score_without_network(experiments: Experiments) -> list[Row]:
    """Score the classical methods on the shown and unseen experiments.

    Widths and thresholds are tuned on experiments of the same kind whose
    truth they are given, which a network is not: a favour to them.

    Args:
        experiments: of the study.

    Returns:
        A row a method and set, with the names of `score_layers`.
    """

    def log(draw: Draw, sigma: float) -> Peaks:
        return find_blobs_log(draw.maps, sigma_px=sigma)

    def rings(draw: Draw, radius: float) -> Peaks:
        return find_rings(
            draw.maps, draw.wave_numbers, radius_px=radius, refine=False
        )

    ways = {
        LOG: (log, *_tuned(log, LOG_SIGMAS_PX, experiments.tuning)),
        RINGS: (rings, *_tuned(rings, RADII_PX, experiments.tuning)),
    }
    rows: list[Row] = []
    for name in ("shown", "unseen"):
        draws = getattr(experiments, name)
        for method, (find, setting, threshold) in ways.items():
            found = [find(draw, setting) for draw in draws]
            whole = [p._replace(positions=p.positions.round()) for p in found]
            scores = _scores(whole, whole, draws, threshold)
            rows.append({"set": name, "method": method} | scores)
    return rows


def _tuned(
    find: Callable[[Draw, T], Peaks], settings: Sequence[T], draws: list[Draw]
) -> tuple[T, float]:
    """Setting and threshold with the highest pooled Jaccard index."""
    truth = [draw.positions for draw in draws]
    trials = []
    for setting in settings:
        found = [find(draw, setting) for draw in draws]
        best = best_threshold(found, truth, tolerance=TOLERANCE_PX)
        if best is not None:
            trials.append((setting, best))
    setting, best = max(trials, key=lambda trial: trial[1].score.jaccard)
    return setting, best.value


def score_knowing_nothing(draws: Sequence[Draw], seed: int = 0) -> list[Row]:
    """Score layers that know nothing of the experiment.

    Args:
        draws: the experiments.
        seed: of the layers.

    Returns:
        As `score_without_network`; every maximum counts as a detection.
    """
    rng = np.random.default_rng(seed)
    rows: list[Row] = []
    for name, make in KNOWING_NOTHING.items():
        shape = draws[0].maps.shape[1:]
        many = [draw for draw in draws for _ in range(_N_RANDOM)]
        found = [find_peaks(make(shape, rng), refine=False) for _ in many]
        scores = _scores(found, found, many, -np.inf)
        rows.append({"set": "shown", "method": name} | scores)
    return rows
