"""How good a network is on held-out simulated maps, beside a baseline."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.analysis.baselines import find_blobs_log, tune_log
from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.errors import InputError
from stm_keras.scoring import Score, best_threshold, pooled_score, standardised
from stm_keras.surfaces import PAPER_SIZE_PX
from stm_keras.system import Progress, no_progress
from stm_keras.training.batches import evaluation_batches
from stm_keras.training.datasets import BatchConfig, reading

TOLERANCE_PX = 1.0
_NOISE_FRAMES = 16
_STAGES = 4
ScoreMaps = Callable[[tf.Tensor], tf.Tensor]
"""From maps [B, V, H, W] to S [B, H, W]."""


class Assessment(NamedTuple):
    """Scores on the test split, thresholds from the validation split.

    Attributes:
        threshold: least S of a detection, in standard deviations.
        floor: S that white noise reaches once in a frame of 80 x 80 px.
        scores: by method: "network", the same with every local maximum of S
            ("network, no threshold", the paper's counting), and "LoG of RMS
            map", whose width and threshold are tuned on the validation split.
    """

    threshold: float
    floor: float
    scores: dict[str, Score]


class _Split(NamedTuple):
    maps: list[np.ndarray]
    truth: list[np.ndarray]
    found: list[Peaks]


def assess(
    score_maps: ScoreMaps,
    data: str | Path,
    batches: BatchConfig,
    *,
    n_voltages: int | None = None,
    threshold: float | None = None,
    progress: Progress = no_progress,
) -> Assessment:
    """Choose the threshold on the validation split, test on the test split.

    Args:
        score_maps: the network.
        data: prepared data set.
        batches: batch size, noise and its seed.
        n_voltages: maps to show of every example; all if None.
        threshold: least S of a detection, in standard deviations; None
            chooses it.
        progress: told the number of stages done and of all.

    Returns:
        The threshold and the scores at a tolerance of one pixel.

    Raises:
        InputError: where the data set is damaged or the network finds no
            peak at all.
    """
    with reading(data):
        validation, test = (
            _run(score_maps, data, batches, split, n_voltages)
            for split in ("validation", "test")
        )
    progress(1, _STAGES)
    if threshold is None:
        threshold = _choose_threshold(validation)
    progress(2, _STAGES)
    blobs = tune_log(validation.maps, validation.truth, tolerance=TOLERANCE_PX)
    progress(3, _STAGES)
    found_by_log = [
        find_blobs_log(
            maps,
            sigma_px=blobs.sigma_px,
            threshold=blobs.threshold,
            polarity=blobs.polarity,
        )
        for maps in test.maps
    ]

    def score(found: list[Peaks], threshold: float) -> Score:
        return pooled_score(found, test.truth, threshold, TOLERANCE_PX)

    floor = noise_floor(score_maps, test.maps[0].shape[0])
    scores = {
        "network": score(test.found, threshold),
        "network, no threshold": score(test.found, -np.inf),
        "LoG of RMS map": score(found_by_log, -np.inf),
    }
    progress(_STAGES, _STAGES)
    return Assessment(threshold, floor, scores)


def noise_floor(score_maps: ScoreMaps, n_maps: int) -> float:
    """S that white noise reaches about once in a frame of 80 x 80 px.

    S in standard deviations cannot tell an empty frame from a full one: its
    own maxima always stand out. This does.

    Args:
        score_maps: the network.
        n_maps: maps in a stack.

    Returns:
        The median over frames of the greatest S.
    """
    rng = np.random.default_rng(n_maps)
    shape = (1, n_maps, PAPER_SIZE_PX, PAPER_SIZE_PX)
    highest = [
        np.max(score_maps(tf.constant(rng.standard_normal(shape, np.float32))))
        for _ in range(_NOISE_FRAMES)
    ]
    return float(np.median(highest))


def _choose_threshold(validation: _Split) -> float:
    best = best_threshold(
        validation.found, validation.truth, tolerance=TOLERANCE_PX
    )
    if best is None:
        raise InputError(
            "The network's score is flat everywhere: it has learnt nothing. "
            "Train longer or with another learning rate."
        )
    return best.value


def _run(
    score_maps: ScoreMaps,
    data: str | Path,
    batches: BatchConfig,
    split: str,
    n_voltages: int | None,
) -> _Split:
    result = _Split([], [], [])
    for batch in evaluation_batches(
        data, batches, split=split, n_voltages=n_voltages
    ):
        scores = np.asarray(score_maps(batch["maps"]))
        for maps, positions, score in zip(
            batch["maps"].numpy(),
            batch["positions"].numpy(),
            scores,
            strict=True,
        ):
            result.maps.append(maps)
            result.truth.append(positions[np.isfinite(positions[:, 0])])
            result.found.append(find_peaks(standardised(score)))
    return result
