"""One run of the bench: cells, finders, results, report."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from stm_keras.bench.options import BenchOptions
from stm_keras.bench.phase import write_phase
from stm_keras.bench.report import write_report
from stm_keras.bench.roster import OURS, Roster, checked_finders
from stm_keras.bench.run import run_bench
from stm_keras.bench.suites import (
    DEFAULT_SUITES,
    all_cells,
    chosen_cells,
    table_cells,
)
from stm_keras.errors import InputError

_SLOW = "pursuit"


@dataclass(frozen=True)
class BenchCommand:
    """What is asked for; see `stmk bench --help`.

    Attributes:
        out: folder of the results.
        suites: names; empty for the usual ones.
        cells: part of the labels of the cells wanted; None for all.
        finders: names; empty for all.
        n_test: test cases a cell.
        n_tune: tuning cases a cell.
        seed: of all cases.
        quick: fewer cells, and not the slowest finder unless asked for.
        processes: how many work at once.
        real: folder of real files; None for none.
        models: directory of each network, by its name.
        cache: folder for simulated experiments; None keeps them in memory.
    """

    out: Path
    suites: tuple[str, ...] = ()
    cells: str | None = None
    finders: tuple[str, ...] = ()
    n_test: int = 20
    n_tune: int = 8
    seed: int = 0
    quick: bool = False
    processes: int = 1
    real: Path | None = None
    models: tuple[tuple[str, Path], ...] = ()
    cache: Path | None = None


def run_command(
    command: BenchCommand, *, report: Callable[[str], None] = lambda line: None
) -> list[Path]:
    """Run the bench and report all that its folder holds.

    Suites that earlier commands did there stay in the report, see `latest`.

    Args:
        command: what is asked for.
        report: told a line for all that is left out and every result.

    Returns:
        The files of the report.

    Raises:
        InputError: for a mistake in what is asked for, before anything is
            written.
    """
    finders = checked_finders(command.finders)
    if command.quick and not command.finders:
        finders = tuple(name for name in finders if name != _SLOW)
    options = BenchOptions(
        finders=finders,
        n_test=command.n_test,
        n_tune=command.n_tune,
        seed=command.seed,
        processes=command.processes,
        roster=Roster(command.models),
    )
    cells = all_cells(
        command.suites or DEFAULT_SUITES,
        cache=command.cache,
        real=command.real,
        quick=command.quick,
        report=report,
    )
    chosen = chosen_cells(cells, command.cells)
    if not chosen:
        raise InputError("No cell is left to do.")
    results = run_bench(chosen, command.out, options, report=report)
    return [
        *write_report(results, table_cells(), command.out),
        *write_phase(results, OURS, command.out),
    ]
