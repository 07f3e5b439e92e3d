"""In what unit should S be compared with a threshold?

A threshold is chosen on noisy Eq. 3 fields, where the network was trained,
and then used on virtual Au(111) experiments, which are clearer. Prints the
Jaccard index with that threshold beside the best that any threshold gives
there, for S as it is and for S in its own standard deviations. Run from the
project's folder, with the data set that saved_models/README.md builds:

    python benchmarks/threshold_scale.py --data data/friedel
"""

import argparse
import datetime
import os
import platform
from collections.abc import Callable
from pathlib import Path

import numpy as np

from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.data.batch_config import BatchConfig
from stm_keras.data.pipeline import evaluation_batches
from stm_keras.detector import Wang2020Detector, load_detector
from stm_keras.io.maps import ConductanceMaps
from stm_keras.model_evaluation import keep_maps
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.scoring import (
    best_threshold,
    pooled_score,
    standardised,
)
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_EXTENT_NM

SCALES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "S": lambda score: score,
    "S in std": standardised,
}
N_VOLTAGES = 16
TOLERANCE_PX = 1.0
Scores = tuple[list[np.ndarray], list[np.ndarray]]
"""S of every map, and the true positions [px] in it."""


def trained_on(finder: Wang2020Detector, data: Path) -> Scores:
    scores, truth = [], []
    batches = BatchConfig(noise=0.8, seed=1)
    for batch in evaluation_batches(
        data, batches, split="validation", n_voltages=N_VOLTAGES
    ):
        scores += list(finder.score(batch["maps"].numpy()))
        truth += [p[np.isfinite(p[:, 0])] for p in batch["positions"].numpy()]
    return scores, truth


def virtual(finder: Wang2020Detector, name: str, n: int, seed: int) -> Scores:
    scores, truth = [], []
    for i in range(n):
        rng = np.random.default_rng([seed, i])
        experiment = simulate_virtual(named_virtual("medium", name), rng)
        maps = ConductanceMaps(
            experiment.maps,
            experiment.bias_v,
            (PAPER_EXTENT_NM, PAPER_EXTENT_NM),
        )
        options = PredictOptions(surface="au111")
        found = finder.predict(keep_maps(maps, N_VOLTAGES), options)
        scores.append(found.score)
        truth.append(experiment.positions)
    return scores, truth


def peaks(scores: list[np.ndarray], scale: str) -> list[Peaks]:
    return [find_peaks(SCALES[scale](score)) for score in scores]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", default="saved_models/wang2020")
    parser.add_argument("--data", type=Path, default=Path("data/friedel"))
    parser.add_argument("--experiments", type=int, default=4)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {N_VOLTAGES} maps, {options.experiments} "
        f"experiments a line, seed {options.seed}"
    )
    finder = load_detector(options.model)
    if not isinstance(finder, Wang2020Detector):
        raise SystemExit(f"{options.model} gives probabilities, not S alone.")
    fields, truth = trained_on(finder, options.data)
    thresholds = {}
    for scale in SCALES:
        best = best_threshold(
            peaks(fields, scale), truth, tolerance=TOLERANCE_PX
        )
        assert best is not None
        thresholds[scale] = best.value
        print(
            f"{scale}: threshold {best.value:.3g}, Jaccard "
            f"{best.score.jaccard:.3f} where it was chosen"
        )
    for name in ("clean", "typical", "hard"):
        scores, positions = virtual(
            finder, name, options.experiments, options.seed
        )
        for scale, threshold in thresholds.items():
            found = peaks(scores, scale)
            score = pooled_score(found, positions, threshold, TOLERANCE_PX)
            best = best_threshold(found, positions, tolerance=TOLERANCE_PX)
            assert best is not None
            print(
                f"{name:8} {scale:9} Jaccard {score.jaccard:.3f}, best "
                f"possible {best.score.jaccard:.3f}"
            )


if __name__ == "__main__":
    main()
