"""What the benchmarks of the network `context` share."""

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stm_keras.detector import ContextDetector, load_detector
from stm_keras.studies.bench.cases import Case, CaseId, Role
from stm_keras.studies.bench.command import all_cells

SEED = 0
"""Of the bench."""


def model_options(
    description: str | None, *, cached: bool = False, **counts: int
) -> argparse.Namespace:
    """What the command line says.

    Args:
        description: of the benchmark.
        cached: whether it has `--cache`, the folder of the bench's.
        counts: its options that are numbers, with their defaults.
    """
    parser = argparse.ArgumentParser(
        description=description,
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument(
        "--model",
        type=Path,
        default=Path("saved_models/context"),
        help="directory",
    )
    for name, default in counts.items():
        parser.add_argument(
            f"--{name}", type=int, default=default, help="how many"
        )
    if cached:
        parser.add_argument(
            "--cache", type=Path, help="folder to keep simulated ones in"
        )
    return parser.parse_args()


def detector(path: Path) -> ContextDetector:
    """A model of `context`; ends the program where it is another's."""
    finder = load_detector(path)
    if not isinstance(finder, ContextDetector):
        raise SystemExit(f"{path} is no model of the network `context`")
    return finder


def selected(
    finder: ContextDetector, maps: np.ndarray, q: np.ndarray
) -> np.ndarray:
    """Positions of what `stmk predict` would select, [n, 2]."""
    found = finder.detect(maps, q)
    return found.positions[
        found.probabilities >= finder.least_kept(found.probabilities)
    ]


def given(case: Case) -> tuple[np.ndarray, np.ndarray]:
    """Maps and q = 2k of each [rad/px]."""
    q = 2 * case.given_wave_numbers
    return case.maps.astype(np.float32), q.astype(np.float32)


def stacks(
    labels: Sequence[str],
    role: Role,
    *,
    fields: int,
    experiments: int,
    cache: Path | None,
) -> Iterator[tuple[str, list[Case]]]:
    """Cells of the bench with their stacks.

    Args:
        labels: of the cells, "suite/name".
        role: tuning or test stacks.
        fields: of Eq. 3 in each of its cells.
        experiments: in each other cell.
        cache: of the bench.
    """
    cells = {c.label: c for c in all_cells(("eq3", "virtual"), cache=cache)}
    for label in labels:
        count = fields if label.startswith("eq3") else experiments
        which = [CaseId(role, SEED, number) for number in range(count)]
        yield label, [cells[label].make(one) for one in which]
