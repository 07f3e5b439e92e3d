"""How often does `context` find an impurity where there is none?

Turns the phases of virtual Au(111) experiments at random, all maps of a stack
alike: the spectrum stays, and no impurity. Prints the mean number of
detections in such a frame of 80 x 80 px at the threshold of the model's card,
with its 95 % bootstrap interval over the experiments, and beside it the recall
on the experiments themselves. Run from the project's folder:

    python benchmarks/surrogates.py --model saved_models/context
"""

import numpy as np
from detecting import (
    SEED,
    detector,
    given,
    model_options,
    selected,
)
from header import machine

from stm_keras.scoring import score_positions
from stm_keras.simulation.surrogates import phase_surrogate
from stm_keras.studies.bench.cases import CaseId, Role
from stm_keras.studies.bench.simulated import virtual_make

DIFFICULTIES = ("clean", "typical", "hard")
N_MAPS = (1, 4, 16)
DENSITY = "medium"


def main() -> None:
    options = model_options(__doc__, experiments=6, surrogates=5, cached=True)
    finder = detector(options.model)
    print(
        f"{machine()}; {options.experiments} experiments of density {DENSITY}, "
        f"{options.surrogates} surrogates each, seed {SEED}, "
        f"probability from {finder.threshold:g} on, false-discovery rate "
        f"{finder.false_discovery_rate:g}\n"
    )
    print("| | maps | detections in a surrogate | recall |\n|---|---|---|---|")
    rng = np.random.default_rng(1)
    for difficulty in DIFFICULTIES:
        for n_maps in N_MAPS:
            make = virtual_make(DENSITY, difficulty, n_maps, options.cache)
            false, found, true = [], 0, 0
            for number in range(options.experiments):
                case = make(CaseId(Role.TEST, SEED, number))
                maps, q = given(case)
                score = score_positions(
                    selected(finder, maps, q), case.positions, tolerance=1.0
                )
                found += score.true_positives
                true += score.n_reference
                own = (
                    len(selected(finder, phase_surrogate(maps, rng), q))
                    for _ in range(options.surrogates)
                )
                false.append(sum(own) / options.surrogates)
            drawn = rng.choice(false, (2000, len(false))).mean(axis=1)
            low, high = np.quantile(drawn, (0.025, 0.975))
            print(
                f"| {difficulty} | {n_maps} | {np.mean(false):.2f} "
                f"[{low:.2f}, {high:.2f}] | {found / true:.3f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
