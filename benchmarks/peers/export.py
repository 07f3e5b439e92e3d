"""Write the bench's stacks, and fields to train on, for the peers.

    python benchmarks/peers/export.py --suite eq3 --maps 40 --tune-maps 20 \
        --fields 4000 --out out/peers/eq3

Writes `training.npz` with the truth, and in `stacks/` a file for each cell
and role without it. Run from the project's folder in its environment; what
follows is in docs/peers.md.
"""

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from peer_files import STACKS, TRAINING, Stacks, digest, save_stacks
from peer_suites import (
    PEER_SUITES,
    Made,
    cell_cases,
    stack_file,
    write_made,
)
from stm_keras.bench.case import Role

from stm_keras.analysis.baselines import rms_map
from stm_keras.errors import InputError
from stm_keras.studies.bench.cases import Case
from stm_keras.system import writable_directory


def stacks_of(cases: Iterable[Case], *, truth: bool) -> Stacks:
    """Cases as a peer takes them.

    Args:
        cases: at least one, all of one shape.
        truth: whether the true positions go along.
    """
    cases = list(cases)
    nothing = np.empty((0, 2))
    return Stacks(
        np.stack([np.asarray(case.maps, np.float32) for case in cases]),
        np.stack([rms_map(case.maps).astype(np.float32) for case in cases]),
        [case.positions if truth else nothing for case in cases],
        [digest(case.maps) for case in cases],
    )


def export(made: Made, out: Path) -> None:
    """Write all files of one suite.

    Args:
        made: what is asked for.
        out: folder; files of the same names are replaced.

    Raises:
        InputError: where the folder cannot be written to.
    """
    suite = PEER_SUITES[made.suite]
    writable_directory(out)
    fields = (suite.train(made.seed, i) for i in range(made.n_train))
    save_stacks(out / TRAINING, stacks_of(fields, truth=True))
    for cell in suite.cells():
        for role in (Role.TUNE, Role.TEST):
            path = out / STACKS / stack_file(cell, role)
            cases = cell_cases(made, cell, role)
            save_stacks(path, stacks_of(cases, truth=False))
    write_made(out, made)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--suite", default="eq3", help=", ".join(PEER_SUITES))
    parser.add_argument("--maps", type=int, default=40)
    parser.add_argument("--tune-maps", type=int, default=20)
    parser.add_argument("--fields", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    try:
        made = Made(
            options.suite,
            options.seed,
            options.maps,
            options.tune_maps,
            options.fields,
        )
        export(made, options.out)
    except InputError as error:
        parser.error(str(error))
    print(options.out)


if __name__ == "__main__":
    main()
