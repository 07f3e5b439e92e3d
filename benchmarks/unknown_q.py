"""What does `context` find where q is unknown?

Gives it the same test stacks of the bench twice, with q and, as
`stmk predict --no-give-q` does, without. Prints recall, precision, Jaccard
index and RMSE at 1 px of what `stmk predict` selects. From the project's
folder:

    python benchmarks/unknown_q.py
"""

import functools
import operator

from detecting import (
    SEED,
    detector,
    given,
    model_options,
    selected,
    stacks,
)
from header import machine

from stm_keras.detector import ContextDetector
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.bench.cases import TOLERANCE_PX, Case, Role

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
        f"{machine()}; test stacks, seed {SEED}: {options.fields} fields of "
        f"Eq. 3, {options.experiments} experiments a cell\n"
    )
    print("| | q given | recall | precision | Jaccard index | RMSE [px] |")
    print("|---|---|---|---|---|---|")
    drawn = stacks(
        CELLS,
        Role.TEST,
        fields=options.fields,
        experiments=options.experiments,
        cache=options.cache,
    )
    for label, cases in drawn:
        for known in (True, False):
            of_all = functools.reduce(
                operator.add, (scored(finder, case, known) for case in cases)
            )
            print(
                f"| {label.partition('/')[2]} | {'yes' if known else 'no'} | "
                f"{of_all.recall:.3f} | {of_all.precision:.3f} | "
                f"{of_all.jaccard:.3f} | {of_all.rmse:.3f} |",
                flush=True,
            )


def scored(finder: ContextDetector, case: Case, known: bool) -> Score:
    """Of what is selected in one stack."""
    maps, q = given(case)
    found = selected(finder, maps, q if known else 0 * q)
    return score_positions(found, case.positions, tolerance=TOLERANCE_PX)


if __name__ == "__main__":
    main()
