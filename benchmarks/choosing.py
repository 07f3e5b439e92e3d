"""Which of several networks `context` should ship?

Compares them on the tuning stacks of the bench, never on the test stacks, and
on simulated topographs (`topographs.py`): Jaccard index at 1 px as `stmk
predict` keeps detections, and the detections in surrogates of one map (see
`surrogates.py`). From the project's folder:

    python benchmarks/choosing.py saved_models/mine saved_models/context
"""

import argparse
import datetime
import functools
import operator
import os
import platform
from pathlib import Path

import numpy as np
from detecting import SEED, detector, shown, stacks, sure
from stm_keras.bench.case import TOLERANCE_PX, Role
from surrogates import DENSITY, DIFFICULTIES
from topographs import seen_topograph

from stm_keras.detector import ContextDetector
from stm_keras.scoring import score_positions
from stm_keras.simulation.surrogates import phase_surrogate
from stm_keras.studies.bench.cases import Case
from stm_keras.studies.bench.simulated import virtual_make

CELLS = (
    "eq3/eta 0.5",
    "virtual/hard, sparse, 1 map",
    "virtual/hard, medium, 1 map",
    "virtual/hard, medium, 4 maps",
    "virtual/hard, medium, 32 maps",
    "virtual/hard, dense, 4 maps",
    "virtual/hard, dense, 32 maps",
)
N_SURROGATES = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", type=Path, nargs="+")
    parser.add_argument("--fields", type=int, default=20, help="of Eq. 3")
    parser.add_argument("--experiments", type=int, default=6)
    parser.add_argument("--topographs", type=int, default=20)
    parser.add_argument("--cache", type=Path, default=None)
    options = parser.parse_args()
    finders = [detector(path) for path in options.models]
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; tuning stacks, seed {SEED}: {options.fields} "
        f"fields of Eq. 3, {options.topographs} topographs, "
        f"{options.experiments} experiments a cell; {N_SURROGATES} "
        f"surrogates of each of these with one map\n"
    )
    print(" | ".join(("| ", *(path.name for path in options.models))) + " |")
    print("|---" * (1 + len(finders)) + "|")
    drawn = stacks(
        CELLS,
        Role.TUNE,
        fields=options.fields,
        experiments=options.experiments,
        cache=options.cache,
    )
    for label, cases in drawn:
        values = [f"{jaccard(finder, cases):.3f}" for finder in finders]
        print(" | ".join((f"| {label}", *values)) + " |", flush=True)
    for blanked in (False, True):
        values = [
            f"{topographs(finder, options.topographs, blanked):.3f}"
            for finder in finders
        ]
        name = f"| topographs{', blanked' if blanked else ''}"
        print(" | ".join((name, *values)) + " |", flush=True)
    for difficulty in DIFFICULTIES:
        make = virtual_make(DENSITY, difficulty, 1, options.cache)
        cases = [
            make(Role.TUNE, SEED, number)
            for number in range(options.experiments)
        ]
        values = [f"{false_ones(finder, cases):.2f}" for finder in finders]
        name = f"| in a surrogate, {difficulty}"
        print(" | ".join((name, *values)) + " |", flush=True)


def jaccard(finder: ContextDetector, cases: list[Case]) -> float:
    """Of all cases together."""
    scores = (
        score_positions(
            sure(finder, *shown(case)), case.positions, tolerance=TOLERANCE_PX
        )
        for case in cases
    )
    return functools.reduce(operator.add, scores).jaccard


def topographs(finder: ContextDetector, count: int, blanked: bool) -> float:
    """Jaccard index of simulated topographs together."""
    every = (
        seen_topograph(finder, number, blanked=blanked)
        for number in range(count)
    )
    scores = (
        seen.score(finder.least_kept(seen.found.probabilities))
        for seen in every
    )
    return functools.reduce(operator.add, scores).jaccard


def false_ones(finder: ContextDetector, cases: list[Case]) -> float:
    """Mean number of detections in a surrogate; the same ones for all."""
    rng = np.random.default_rng(1)
    counts = []
    for case in cases:
        maps, ring = shown(case)
        for _ in range(N_SURROGATES):
            counts.append(len(sure(finder, phase_surrogate(maps, rng), ring)))
    return float(np.mean(counts))


if __name__ == "__main__":
    main()
