"""What methods without a network, and layers without knowledge, score."""

from collections.abc import Callable, Sequence

import numpy as np
from scipy import ndimage

from stm_keras.analysis.baselines import find_blobs_log, tune_log
from stm_keras.analysis.matched_filter import find_rings, tune_rings
from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.reproduction.epoch_scores import (
    REFERENCES,
    chance_hit_ratio,
    pooled,
)
from stm_keras.reproduction.experiments import Draw, Experiments
from stm_keras.reproduction.tables import Row

LOG = "LoG on the RMS map"
RINGS = "matched filter"
_N_RANDOM = 20
"""Random layers a frame, so that a hit ratio by chance is no chance."""

Layer = Callable[[tuple[int, ...], np.random.Generator], np.ndarray]


def _checkerboard(shape: tuple[int, ...], _: np.random.Generator) -> np.ndarray:
    layer = np.zeros(shape)
    layer[::2, ::2] = 1.0
    return layer


KNOWING_NOTHING: dict[str, Layer] = {
    "white noise as S": lambda shape, rng: rng.standard_normal(shape),
    "noise smoothed by 1 px as S": lambda shape, rng: ndimage.gaussian_filter(
        rng.standard_normal(shape), 1.0, mode="wrap"
    ),
    "noise smoothed by 2 px as S": lambda shape, rng: ndimage.gaussian_filter(
        rng.standard_normal(shape), 2.0, mode="wrap"
    ),
    "every second pixel of S": _checkerboard,
}
"""Layers that have never seen the experiment."""


def score_without_network(experiments: Experiments) -> list[Row]:
    """Score the classical methods on the shown and unseen experiments.

    Widths and thresholds are tuned on experiments of the same kind whose
    truth they are told, which a network is not: a favour to them.

    Args:
        experiments: of the study.

    Returns:
        A row a method and set, with the names of
        `stm_keras.reproduction.epoch_scores.score_layers`.
    """
    stacks = [d.maps for d in experiments.tuning]
    truth = [d.positions for d in experiments.tuning]
    log = tune_log(stacks, truth)
    rings = tune_rings(
        stacks, [d.wave_numbers for d in experiments.tuning], truth
    )
    rows = []
    for name in ("shown", "unseen"):
        draws = getattr(experiments, name)
        blobs = [find_blobs_log(d.maps, sigma_px=log.sigma_px) for d in draws]
        whole = [p._replace(positions=p.positions.round()) for p in blobs]
        centres = [
            find_rings(
                d.maps,
                d.wave_numbers,
                radius_px=rings.radius_px,
                refine=False,
            )
            for d in draws
        ]
        for method, every, threshold in (
            (LOG, whole, log.threshold),
            (RINGS, centres, rings.threshold),
        ):
            front: Row = {"set": name, "method": method}
            rows.append(front | _scores(every, draws, threshold))
    return rows


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
        rows.append({"set": "shown", "method": name} | _scores(found, many))
    return rows


def _scores(
    found: Sequence[Peaks],
    draws: Sequence[Draw],
    threshold: float = -np.inf,
) -> Row:
    n_maxima = float(np.mean([len(p.scores) for p in found]))
    n_found = float(np.mean([(p.scores > threshold).sum() for p in found]))
    row: Row = {
        "n_maxima": n_maxima,
        "n_found": n_found,
        "chance": chance_hit_ratio(n_maxima, draws[0].maps.shape[1:]),
    }
    kept = [p.positions[p.scores > threshold] for p in found]
    every = [p.positions for p in found]
    for name in REFERENCES:
        points = [d.reference if name == "em" else d.positions for d in draws]
        top = [p[: len(q)] for p, q in zip(every, points, strict=True)]
        chosen = pooled(kept, points)
        row[f"hit_ratio_{name}"] = pooled(every, points).hit_ratio
        row[f"jaccard_all_{name}"] = pooled(every, points).jaccard
        row[f"jaccard_{name}"] = chosen.jaccard
        row[f"precision_{name}"] = chosen.precision
        row[f"recall_{name}"] = chosen.recall
        row[f"jaccard_top_{name}"] = pooled(top, points).jaccard
    return row
