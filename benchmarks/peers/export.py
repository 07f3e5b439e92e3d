"""Write the bench's stacks, and fields to train on, for the peers.

    python benchmarks/peers/export.py --suite eq3 --maps 40 --tune-maps 20 \
        --fields 4000 --out out/peers/eq3

Writes `training.npz` with the truth, and in `stacks/` a file for each cell
and role without it. Run from the project's folder in its environment; what
follows is in docs/peers.md.

**No map is both trained and tested on.** Every stack of the bench is drawn by
`CaseId.rng` from [first number + seed, CRC-32 of a stream's name, role,
number]. Training fields are drawn by the same function from streams of their
own, `STREAM` in front of the name, so that no seed of theirs is one of a
tuning or test stack, whatever `--seed` is; and a peer is given the truth of
training fields alone. `tests/benchmarks/peers` compares all seeds.
"""

import argparse
import json
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
from peer_files import STACKS, TRAINING, Stacks, digest, save_stacks

from stm_keras.baselines import rms_map
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.simulation.virtual_experiment import (
    DENSITIES,
    DIFFICULTIES,
    named_virtual,
)
from stm_keras.studies.bench.cases import MAX_SEED, Case, CaseId, Cell, Role
from stm_keras.studies.bench.simulated import (
    FIELDS,
    eq3_case,
    eq3_cells,
    evenly_spaced,
    experiment,
    virtual_cells,
    virtual_name,
)

STREAM = "training of peers: "
"""In front of the name of every stream that training fields come from."""

ETA = (0.1, 0.9)
"""Noise of training fields, drawn evenly: one network serves all cells."""

N_VIRTUAL_MAPS = 16
"""Of the suite `virtual`: a peer takes one number of channels."""

_MADE = "made.json"


@dataclass(frozen=True)
class PeerSuite:
    """A suite of the bench as peers get it.

    Attributes:
        cells: of the bench, all of one number of maps and one size.
        train: from seed and number to a training field.
    """

    cells: Callable[[], list[Cell]]
    train: Callable[[int, int], Case]


@dataclass(frozen=True)
class Made:
    """What an export holds, so that its stacks can be made again.

    Attributes:
        suite: a key of `PEER_SUITES`.
        seed: of the bench.
        n_test: test stacks of a cell.
        n_tune: tuning stacks of a cell.
        n_train: training fields.

    Raises:
        InputError: for a number out of range or an unknown suite.
    """

    suite: str
    seed: int
    n_test: int
    n_tune: int
    n_train: int

    def __post_init__(self) -> None:
        if self.suite not in PEER_SUITES:
            raise InputError(
                f"--suite: unknown suite {self.suite!r}. Known: "
                f"{', '.join(PEER_SUITES)}."
            )
        if not 0 <= self.seed <= MAX_SEED:
            raise InputError(
                f"--seed must lie between 0 and {MAX_SEED}, not {self.seed}."
            )
        if self.n_test < 1 or self.n_tune < 1 or self.n_train < 10:
            raise InputError(
                "Ask for a test and a tuning stack and 10 training fields at "
                f"least. Received: --maps {self.n_test}, --tune-maps "
                f"{self.n_tune}, --fields {self.n_train}."
            )


def eq3_training(seed: int, number: int) -> Case:
    """A field like those of suite eq3, with 1 to 8 impurities and any noise.

    Args:
        seed: of the bench.
        number: of the field.
    """
    stream = f"{STREAM}eq3"
    which = CaseId(Role.TUNE, seed, number)
    noise = which.rng(f"{stream} noise")
    config = replace(FIELDS, n_impurities=(1, FIELDS.n_impurities[1]))
    eta = float(noise.uniform(*ETA))
    return eq3_case(config, stream, eta, which)


def virtual_training(seed: int, number: int) -> Case:
    """A virtual experiment, of each density and difficulty in turn.

    Args:
        seed: of the bench.
        number: of the field.
    """
    names = [(d, how) for how in DIFFICULTIES for d in DENSITIES]
    density, difficulty = names[number % len(names)]
    stream = f"{STREAM}virtual {density}"
    config = named_virtual(density, difficulty)
    whole = experiment(config, stream, CaseId(Role.TUNE, seed, number))
    kept = evenly_spaced(N_VIRTUAL_MAPS, len(whole.maps))
    return Case(whole.maps[kept], whole.wave_numbers[kept], whole.positions)


def _virtual_cells(cache: Path | None = None) -> list[Cell]:
    names = {
        virtual_name(density, difficulty, N_VIRTUAL_MAPS)
        for difficulty in DIFFICULTIES
        for density in DENSITIES
    }
    return [cell for cell in virtual_cells(cache) if cell.name in names]


PEER_SUITES: dict[str, PeerSuite] = {
    "eq3": PeerSuite(eq3_cells, eq3_training),
    "virtual": PeerSuite(_virtual_cells, virtual_training),
}


def stack_file(cell: Cell, role: Role) -> str:
    """Name of the file that holds a cell's stacks, or what was found there."""
    words = re.sub(r"[^a-z0-9.]+", "-", cell.name.lower())
    return f"{words}-{role.name.lower()}.npz"


def cell_cases(made: Made, cell: Cell, role: Role) -> list[Case]:
    """Stacks of a cell, as the bench makes them."""
    if role is Role.TUNE:
        return cell.tune(made.seed, made.n_tune)
    return cell.test(made.seed, made.n_test)


def write_made(folder: Path, made: Made) -> None:
    """Keep what an export holds."""
    with atomic_file(folder / _MADE) as temporary:
        temporary.write_text(json.dumps(asdict(made)) + "\n")


def read_made(folder: Path) -> Made:
    """What an export holds.

    Raises:
        InputError: where the folder holds none.
    """
    path = folder / _MADE
    try:
        return Made(**json.loads(path.read_text()))
    except (OSError, ValueError, TypeError) as error:
        raise InputError(
            f"{folder} holds no export ({path.name} cannot be read): run "
            "export.py first."
        ) from error


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
