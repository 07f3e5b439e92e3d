"""One run of the bench: which cells, which finders, results, report."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.studies.bench.cases import Cell
from stm_keras.studies.bench.real import REAL, named_cells, real_cells
from stm_keras.studies.bench.report import write_phase, write_report
from stm_keras.studies.bench.run import BenchOptions, run_bench
from stm_keras.studies.bench.simulated import (
    EQ3,
    MISMATCH,
    PHASE,
    VIRTUAL,
    eq3_cells,
    mismatch_cells,
    phase_cells,
    virtual_cells,
)
from stm_keras.studies.bench.surfaces import (
    SURFACES,
    surface_cells,
    write_surfaces,
)

SUITES = (EQ3, VIRTUAL, MISMATCH, SURFACES, REAL, PHASE)
DEFAULT_SUITES = (EQ3, VIRTUAL, MISMATCH, REAL)

_QUICK_VIRTUAL = ("hard, medium, 1 map", "hard, medium, 16 maps")

Report = Callable[[str], None]


def run_command(
    options: BenchOptions,
    out: Path,
    *,
    suites: Sequence[str] = DEFAULT_SUITES,
    cells: str | None = None,
    quick: bool = False,
    real: Path | None = None,
    cache: Path | None = None,
    report: Report = lambda line: None,
) -> list[Path]:
    """Run the bench and report all that its folder holds.

    Suites that earlier commands did there stay in the report, see
    `stm_keras.studies.bench.run.latest`.

    Args:
        options: finders, numbers of maps, seed, processes.
        out: folder of the results.
        suites: see `all_cells`.
        cells: see `chosen_cells`.
        quick: see `all_cells`.
        real: folder of real files; None for none.
        cache: folder for simulated experiments; None keeps them in memory.
        report: given a line for all that is left out and every result.

    Returns:
        The files of the report.

    Raises:
        InputError: for a mistake in what is asked for, before anything is
            written.
    """
    every = all_cells(
        suites, cache=cache, real=real, quick=quick, report=report
    )
    chosen = chosen_cells(every, cells)
    if not chosen:
        raise InputError("No cell is left to do.")
    results = run_bench(chosen, out, options, report=report)
    return [
        *write_report(results, table_cells(), out),
        *write_surfaces(results, out),
        *write_phase(results, out),
    ]


def all_cells(
    suites: Sequence[str] = SUITES,
    *,
    cache: Path | None = None,
    real: Path | None = None,
    quick: bool = False,
    report: Report = lambda line: None,
) -> list[Cell]:
    """Cells of some suites.

    Args:
        suites: of `SUITES`.
        cache: see `stm_keras.studies.bench.simulated.experiment`.
        real: folder of real files; see `real_cells`.
        quick: leave out most of the virtual experiments.
        report: given what is left out and why.

    Raises:
        InputError: for an unknown suite, or a folder of real files that is
            not there.
    """
    for name in suites:
        if name not in SUITES:
            raise InputError(
                f"--suite: unknown suite {name!r}. Known: {', '.join(SUITES)}."
            )
    if real is not None and not real.is_dir():
        raise InputError(
            f"No such folder of real files: {real}. Leave --real out to do "
            "without."
        )
    makers = {
        EQ3: eq3_cells,
        VIRTUAL: lambda: virtual_cells(cache),
        MISMATCH: lambda: mismatch_cells(cache),
        SURFACES: surface_cells,
        REAL: lambda: real_cells(real, cache, report),
        PHASE: lambda: phase_cells(cache),
    }
    cells = [c for name in SUITES if name in suites for c in makers[name]()]
    return [
        cell
        for cell in cells
        if not quick or cell.suite != VIRTUAL or cell.name in _QUICK_VIRTUAL
    ]


def table_cells() -> list[Cell]:
    """All cells in the order of the table, whether or not there are files."""
    return [
        *eq3_cells(),
        *virtual_cells(),
        *mismatch_cells(),
        *surface_cells(),
        *named_cells(),
        *phase_cells(),
    ]


def chosen_cells(cells: Sequence[Cell], part: str | None) -> list[Cell]:
    """Cells whose label holds a text.

    Args:
        cells: to choose from.
        part: of `Cell.label`, in capitals or not; None for all.

    Raises:
        InputError: where it is in none of them.
    """
    wanted = (part or "").lower()
    chosen = [cell for cell in cells if wanted in cell.label.lower()]
    if cells and not chosen:
        raise InputError(
            f"--cells {part!r} is part of no cell's name. The first of "
            f"{len(cells)}: {cells[0].label!r}."
        )
    return chosen
