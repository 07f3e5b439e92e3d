"""One run of the bench: which cells, which finders, results, report."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from stm_keras.detector import load_detector
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.studies.bench.cases import Cell
from stm_keras.studies.bench.real import (
    FOLDER,
    REAL,
    named_cells,
    real_cells,
)
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
from stm_keras.studies.bench.waves import WAVES, Rows, tables

SUITES = (EQ3, VIRTUAL, MISMATCH, SURFACES, REAL, PHASE, WAVES)
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
    tables = wave_tables(suites, cells, options, real, report)
    every = all_cells(
        suites, cache=cache, real=real, quick=quick, report=report
    )
    chosen = chosen_cells(every, None if tables and not every else cells)
    if not chosen and not tables:
        raise InputError("No cell is left to do.")
    written = [write_waves(tables, out, options, report)] if tables else []
    if not chosen:
        return written
    results = run_bench(chosen, out, options, report=report)
    return [
        *written,
        *write_report(results, table_cells(), out),
        *write_surfaces(results, out),
        *write_phase(results, out),
    ]


def wave_tables(
    suites: Sequence[str],
    part: str | None,
    options: BenchOptions,
    real: Path | None,
    report: Report,
) -> dict[str, Rows]:
    """The tables of the suite `waves` whose name holds a text.

    Args:
        suites: as of `all_cells`; without `WAVES` there are none.
        part: see `chosen_cells`.
        options: numbers of fields, seed, the network.
        real: folder of real files; None leaves them out and says so.
        report: given a line for what is left out.
    """
    if WAVES not in suites:
        return {}
    if real is None or not (real / FOLDER).is_dir():
        report(
            f"waves: no folder of real files with {FOLDER} in it (--real), so "
            "their tables are left out"
        )
        real = None

    def finder() -> Any:
        directory = options.roster.directory("context")
        if directory is None:
            raise InputError("The suite waves needs the model `context`.")
        return load_detector(directory)

    every = tables(options.n_test, options.seed, real, finder)
    wanted = (part or "").lower()
    chosen = {
        name: rows
        for name, rows in every.items()
        if wanted in f"{WAVES}/{name}"
    }
    if not chosen and set(suites) == {WAVES}:
        raise InputError(
            f"--cells {part!r} is part of no table's name of the suite "
            f"{WAVES}. Known: {', '.join(every)}."
        )
    return chosen


def write_waves(
    chosen: dict[str, Rows], out: Path, options: BenchOptions, report: Report
) -> Path:
    """Work out tables of the suite `waves`, line by line.

    Args:
        chosen: see `wave_tables`.
        out: folder.
        options: for the head of the file.
        report: given every line.

    Returns:
        `waves.md`: a command that was stopped has written none.
    """
    made = options.circumstances()
    lines = [
        "# What waves tell",
        "",
        f"{made['date']}, {made['cores']} cores, {made['machine']}; seed "
        f"{options.seed}, {options.n_test} fields a line",
    ]
    for name, rows in chosen.items():
        lines += ["", f"## {name}", ""]
        report(f"{WAVES}/{name}")
        for line in rows():
            report(line)
            lines.append(line)
    path = writable_directory(out) / "waves.md"
    with atomic_file(path) as temporary:
        temporary.write_text("\n".join(lines) + "\n")
    return path


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
        WAVES: list,  # tables of its own, see `wave_tables`
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
