"""All cells, in the order of the table."""

from collections.abc import Callable, Sequence
from pathlib import Path

from stm_keras.bench.case import Cell
from stm_keras.bench.eq3 import SUITE as EQ3
from stm_keras.bench.eq3 import eq3_cells
from stm_keras.bench.mismatch import SUITE as MISMATCH
from stm_keras.bench.mismatch import mismatch_cells
from stm_keras.bench.phase import SUITE as PHASE
from stm_keras.bench.phase import phase_cells
from stm_keras.bench.real import SUITE as REAL
from stm_keras.bench.real import named_cells, real_cells
from stm_keras.bench.virtual import SUITE as VIRTUAL
from stm_keras.bench.virtual import virtual_cells
from stm_keras.errors import InputError

SUITES = (EQ3, VIRTUAL, MISMATCH, REAL, PHASE)
DEFAULT_SUITES = (EQ3, VIRTUAL, MISMATCH, REAL)

_QUICK_VIRTUAL = ("hard, medium, 1 map", "hard, medium, 16 maps")


def all_cells(
    suites: Sequence[str] = SUITES,
    *,
    cache: Path | None = None,
    real: Path | None = None,
    quick: bool = False,
    report: Callable[[str], None] = lambda line: None,
) -> list[Cell]:
    """Cells of some suites.

    Args:
        suites: of `SUITES`.
        cache: see `stm_keras.bench.virtual.experiment`.
        real: folder of real files; see `real_cells`.
        quick: leave out most of the virtual experiments.
        report: told what is left out and why.

    Raises:
        InputError: for an unknown suite.
    """
    for name in suites:
        if name not in SUITES:
            raise InputError(
                f"--suite: unknown suite {name!r}. Known: {', '.join(SUITES)}."
            )
    makers = {
        EQ3: eq3_cells,
        VIRTUAL: lambda: virtual_cells(cache),
        MISMATCH: lambda: mismatch_cells(cache),
        REAL: lambda: real_cells(real, cache, report),
        PHASE: lambda: phase_cells(cache),
    }
    cells = [c for name in SUITES if name in suites for c in makers[name]()]
    return [c for c in cells if not quick or _in_quick(c)]


def table_cells() -> list[Cell]:
    """All cells in the order of the table, whether or not there are files."""
    return [
        *eq3_cells(),
        *virtual_cells(),
        *mismatch_cells(),
        *named_cells(),
        *phase_cells(),
    ]


def _in_quick(cell: Cell) -> bool:
    return cell.suite != VIRTUAL or cell.name in _QUICK_VIRTUAL


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
