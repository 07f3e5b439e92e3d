"""What does `context` find without being told the wave numbers?

Shows it the same test stacks of the bench twice, with the wave numbers and, as
`stmk predict --no-tell-rings` does, without. Prints recall, precision, Jaccard
index and RMSE at 1 px of what `stmk predict` keeps. From the project's folder:

    python benchmarks/untold.py
"""

import datetime
import functools
import operator
import os
import platform

from detecting import SEED, detector, model_options, shown, stacks, sure
from stm_keras.bench.case import TOLERANCE_PX, Role

from stm_keras.detector import ContextDetector
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.bench.cases import Case

CELLS = (
    "eq3/eta 0.2",
    "eq3/eta 0.5",
    "virtual/typical, medium, 1 map",
    "virtual/typical, medium, 16 maps",
    "virtual/hard, medium, 1 map",
    "virtual/hard, medium, 4 maps",
    "virtual/hard, medium, 16 maps",
)


def main() -> None:
    options = model_options(__doc__, fields=40, experiments=6, cached=True)
    finder = detector(options.model)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; test stacks, seed {SEED}: {options.fields} "
        f"fields of Eq. 3, {options.experiments} experiments a cell\n"
    )
    print("| | told | recall | precision | Jaccard index | RMSE [px] |")
    print("|---|---|---|---|---|---|")
    drawn = stacks(
        CELLS,
        Role.TEST,
        fields=options.fields,
        experiments=options.experiments,
        cache=options.cache,
    )
    for label, cases in drawn:
        for told in (True, False):
            of_all = functools.reduce(
                operator.add, (scored(finder, case, told) for case in cases)
            )
            print(
                f"| {label.partition('/')[2]} | {'yes' if told else 'no'} | "
                f"{of_all.recall:.3f} | {of_all.precision:.3f} | "
                f"{of_all.jaccard:.3f} | {of_all.rmse:.3f} |",
                flush=True,
            )


def scored(finder: ContextDetector, case: Case, told: bool) -> Score:
    """Of what is kept of one stack."""
    maps, ring = shown(case)
    found = sure(finder, maps, ring if told else 0 * ring)
    return score_positions(found, case.positions, tolerance=TOLERANCE_PX)


if __name__ == "__main__":
    main()
