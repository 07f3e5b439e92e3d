"""How much of what `context` detects should be kept?

A default has to serve every user: Jaccard index at 1 px by the arguments of
`least_kept` (the share of false detections that may be expected in a stack, the
least probability, and what is counted as false beforehand), on tuning stacks of
the bench, never on its test stacks, and on the simulated topographs of
`topographs.py`; and what is kept of surrogates of one map, which hold no
impurity. From the project's folder:

    python benchmarks/keeping.py --model saved_models/context
"""

import datetime
import itertools
import os
import platform
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np
from detecting import SEED, detector, model_options, shown, stacks
from stm_keras.bench.case import TOLERANCE_PX, Role
from surrogates import DENSITY, DIFFICULTIES
from topographs import Seen, seen_topograph

from stm_keras.detector import ContextDetector
from stm_keras.nn.decoding import least_kept
from stm_keras.scoring import Score
from stm_keras.simulation.surrogates import phase_surrogate
from stm_keras.studies.bench.simulated import virtual_make

RULES = (
    *itertools.product((0.1, 0.2, 0.3, 0.4), (0.4, 0.5, 0.6), (0.0,)),
    *itertools.product((0.3, 0.4), (0.5,), (0.1, 0.2)),
    *itertools.product((0.4,), (0.3, 0.4, 0.5), (0.3,)),
)
"""Rate, floor, and what is counted beforehand; see `least_kept`."""

Rule = tuple[float, float, float]
EQUATION_3 = tuple(f"eq3/eta {eta}" for eta in (0.2, 0.5, 0.8))
VIRTUAL = tuple(
    f"virtual/{difficulty}, {density}, {count}"
    for difficulty in ("typical", "hard")
    for density in ("sparse", "medium", "dense")
    for count in ("1 map", "4 maps", "32 maps")
)
TOPOGRAPHS = ("topographs", "topographs, blanked")
N_SURROGATES = 5


def main() -> None:
    options = model_options(
        __doc__, fields=40, experiments=8, topographs=40, cached=True
    )
    finder = detector(options.model)
    cells = {
        label: [
            Seen(finder.detect(*shown(case)), case.positions, TOLERANCE_PX)
            for case in cases
        ]
        for label, cases in stacks(
            EQUATION_3 + VIRTUAL,
            Role.TUNE,
            fields=options.fields,
            experiments=options.experiments,
            cache=options.cache,
        )
    }
    for name in TOPOGRAPHS:
        cells[name] = [
            seen_topograph(finder, number, blanked="blanked" in name)
            for number in range(options.topographs)
        ]
    empty = [
        in_surrogates(finder, difficulty, options.experiments, options.cache)
        for difficulty in DIFFICULTIES
    ]
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; tuning stacks, seed {SEED}: {options.fields} "
        f"fields of Eq. 3, {options.experiments} experiments a cell, "
        f"{options.topographs} topographs; {N_SURROGATES} surrogates of each "
        "experiment\n"
    )
    print_table(cells, empty)


def score(every: list[Seen], rule: Rule) -> Score:
    """Of what is kept of all stacks."""
    return reduce(
        add,
        (
            seen.score(least_kept(seen.found.probabilities, *rule))
            for seen in every
        ),
    )


def in_surrogates(
    finder: ContextDetector,
    difficulty: str,
    experiments: int,
    cache: Path | None,
) -> list[np.ndarray]:
    """Probabilities of all that is detected in each surrogate."""
    rng = np.random.default_rng(SEED)
    make = virtual_make(DENSITY, difficulty, 1, cache)
    every = []
    for number in range(experiments):
        maps, ring = shown(make(Role.TUNE, SEED, number))
        for _ in range(N_SURROGATES):
            found = finder.detect(phase_surrogate(maps, rng), ring)
            every.append(found.probabilities)
    return every


def print_table(
    cells: dict[str, list[Seen]], empty: list[list[np.ndarray]]
) -> None:
    """A row for each rule."""
    names = [label.split("/")[-1] for label in EQUATION_3]
    names += ["typical", "hard", *TOPOGRAPHS, "all cells", "in a surrogate"]
    heads = ["false, of kept", "least p", "beforehand", *names]
    print("| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    for rule in RULES:
        jaccard = {
            label: score(seen, rule).jaccard for label, seen in cells.items()
        }
        values = [jaccard[label] for label in EQUATION_3]
        for difficulty in ("typical", "hard"):
            own = [v for label, v in jaccard.items() if difficulty in label]
            values.append(float(np.mean(own)))
        values += [jaccard[name] for name in TOPOGRAPHS]
        values.append(float(np.mean([*jaccard.values()])))
        kept = [
            np.mean([(p >= least_kept(p, *rule)).sum() for p in stack])
            for stack in empty
        ]
        numbers = " | ".join(f"{value:.3f}" for value in values)
        seldom = " / ".join(f"{mean:.2f}" for mean in kept)
        own = " | ".join(f"{number:g}" for number in rule)
        print(f"| {own} | {numbers} | {seldom} |")


if __name__ == "__main__":
    main()
