"""How good a score layer is, against the truth and the paper's reference."""

import math
from collections.abc import Sequence
from functools import reduce
from operator import add
from typing import Any

import numpy as np

from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.reproduction.experiments import Draw
from stm_keras.scoring import Score, score_positions, standardised

TOLERANCE_PX = 1.0
"""The paper's: a hit is nearer than one pixel."""

REFERENCES = ("em", "truth")


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
        For each of `REFERENCES` (EM on the bound states, and the truth):
        `hit_ratio`, the paper's, by every maximum of S, on whole pixels;
        `jaccard_all`, with these maxima; `jaccard`, `precision`, `recall` and
        `rmse` of the detections; `jaccard_top`, taking as many of the highest
        maxima as there are reference points. Beside them `n_maxima` and
        `n_found` a frame, and `chance`, the hit ratio of points that lie
        anywhere.
    """
    every = [find_peaks(layer, refine=False) for layer in layers]
    peaks = [find_peaks(standardised(layer)) for layer in layers]
    values: dict[str, float] = {}
    for reference in REFERENCES:
        points = [_points(draw, reference) for draw in draws]
        values |= _against(every, peaks, points, threshold, reference)
    found = [int((p.scores > threshold).sum()) for p in peaks]
    values["n_maxima"] = float(np.mean([len(p.scores) for p in every]))
    values["n_found"] = float(np.mean(found))
    values["chance"] = chance_hit_ratio(values["n_maxima"], layers[0].shape)
    return values


def _points(draw: Draw, reference: str) -> np.ndarray:
    return draw.reference if reference == "em" else draw.positions


def _against(
    every: Sequence[Peaks],
    peaks: Sequence[Peaks],
    points: Sequence[np.ndarray],
    threshold: float,
    name: str,
) -> dict[str, float]:
    whole = pooled([p.positions for p in every], points)
    found = pooled([p.positions[p.scores > threshold] for p in peaks], points)
    top = pooled(
        [
            p.positions[: len(reference)]  # the highest come first
            for p, reference in zip(peaks, points, strict=True)
        ],
        points,
    )
    return {
        f"hit_ratio_{name}": whole.hit_ratio,
        f"jaccard_all_{name}": whole.jaccard,
        f"jaccard_{name}": found.jaccard,
        f"precision_{name}": found.precision,
        f"recall_{name}": found.recall,
        f"rmse_{name}": found.rmse,
        f"jaccard_top_{name}": top.jaccard,
    }


def pooled(found: Sequence[np.ndarray], points: Sequence[np.ndarray]) -> Score:
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
