"""Which detections of `context` are of impurities just beside the frame?

A wave source 0.2 px beyond the last pixel's edge is no impurity of the frame,
but looks like one. On tuning stacks of the bench, as `stmk predict` keeps
detections, without the fit of rings: how many are false at 1 px, and of how
many of those an impurity beside the frame lies within 1 px. From the project's
folder:

    python benchmarks/beside.py --model saved_models/context
"""

import datetime
import os
import platform

import numpy as np
from detecting import SEED, detector, model_options, shown, stacks
from scipy.spatial.distance import cdist
from stm_keras.bench.case import TOLERANCE_PX, Role, case_rng

from stm_keras.detections import match
from stm_keras.detector import ContextDetector
from stm_keras.simulation.scene import draw_positions, in_frame
from stm_keras.simulation.virtual_experiment import named_virtual
from stm_keras.studies.bench.cases import Case

CELLS = tuple(
    (difficulty, density, count)
    for difficulty in ("typical", "hard")
    for density in ("sparse", "medium", "dense")
    for count in ("1 map", "32 maps")
)


def main() -> None:
    options = model_options(__doc__, experiments=6, cached=True)
    finder = detector(options.model)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; tuning stacks, seed {SEED}: "
        f"{options.experiments} experiments a cell\n"
    )
    print("| virtual | impurities | missed | false | of them beside |")
    print("|---|---|---|---|---|")
    cells = stacks(
        [f"virtual/{', '.join(cell)}" for cell in CELLS],
        Role.TUNE,
        fields=0,
        experiments=options.experiments,
        cache=options.cache,
    )
    for cell, (_, cases) in zip(CELLS, cells, strict=True):
        counts = np.sum(
            [
                counted(finder, case, beside(cell, number, case))
                for number, case in enumerate(cases)
            ],
            axis=0,
        )
        numbers = " | ".join(str(count) for count in counts)
        print(f"| {', '.join(cell)} | {numbers} |", flush=True)


def beside(cell: tuple[str, str, str], number: int, case: Case) -> np.ndarray:
    """Impurities around the frame of a stack [n, 2], which no case keeps."""
    difficulty, density, _ = cell
    config = named_virtual(density, difficulty)
    rng = case_rng(f"virtual {density}", Role.TUNE, SEED, number)
    shape = (config.size_px, config.size_px)
    # The first draw of `simulate_virtual`.
    every = draw_positions(
        rng.spawn(5)[0],
        shape=shape,
        density=config.n_impurities / config.size_px**2,
        margin_px=config.margin_px,
        min_distance_px=config.min_distance_px,
    )
    inside = in_frame(every, shape)
    if not np.array_equal(every[inside], case.positions):
        raise SystemExit("these are not the impurities of the stack")
    return every[~inside]


def counted(
    finder: ContextDetector, case: Case, around: np.ndarray
) -> tuple[int, int, int, int]:
    """Impurities, missed, false, and false near one of those around."""
    found = finder.detect(*shown(case), fit_rings=False)
    sure = found.probabilities >= finder.least_kept(found.probabilities)
    places = found.positions[sure]
    pairs = match(places, case.positions, TOLERANCE_PX).pairs
    false = np.delete(places, pairs[:, 0], axis=0)
    near = cdist(false, around).min(axis=1, initial=np.inf) < TOLERANCE_PX
    missed = len(case.positions) - len(pairs)
    return len(case.positions), missed, len(false), int(near.sum())


if __name__ == "__main__":
    main()
