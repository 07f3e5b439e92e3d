"""The results as tables (Markdown and CSV) and as a phase diagram."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from stm_keras.files import atomic_file
from stm_keras.scoring import bootstrap_interval
from stm_keras.studies.bench.cases import Cell
from stm_keras.studies.bench.finders import FINDERS, OURS, network_of
from stm_keras.studies.bench.scoring import (
    CellResult,
    of_cell,
    paired_difference,
)
from stm_keras.studies.bench.simulated import (
    PHASE,
    PHASE_IMPURITIES,
    PHASE_NOISE,
    phase_name,
)
from stm_keras.studies.tables import Row, markdown_table, write_rows
from stm_keras.surfaces import PAPER_SIZE_PX

Results = Sequence[CellResult]
_FAMILY = "context"
"""Finders of this name's family are not set against each other."""

_GENERAL = (
    "thresholds and settings of all finders but `context` are tuned on the "
    "tuning stacks; `context` uses that of its model card",
    "`pursuit` fits 16 maps at most: of longer stacks means of neighbours in k",
    "tolerance 1 px; real files: 0.3 nm, blanked 0.37 nm. Networks get "
    "these as `stmk predict` prepares them, the others at the pixel of the "
    "virtual experiments, which `px` means there",
)
"""Lines for the top of the report."""

_SECONDS = "Seconds a stack"
_DPI = 200
_STYLE: dict[Any, Any] = {"font.size": 9, "axes.titlesize": 9}


def write_report(
    results: Results, cells: Sequence[Cell], out: Path
) -> list[Path]:
    """Write `bench.md` and `bench.csv`.

    Args:
        results: what was found.
        cells: their order, and which is set beside which.
        out: folder.

    Returns:
        The two files.
    """
    table, text = out / "bench.csv", out / "bench.md"
    write_rows(table, [cell_row(result) for result in ordered(results, cells)])
    with atomic_file(text) as temporary:
        temporary.write_text(markdown(results, cells))
    return [text, table]


def ordered(results: Results, cells: Sequence[Cell]) -> list[CellResult]:
    """Results of these cells, in their order and that of the finders."""
    found = {result.key: result for result in results}
    keys = [(c.suite, c.name, f) for c in cells for f in FINDERS]
    return [found[key] for key in keys if key in found]


def cell_row(result: CellResult) -> Row:
    """A result as a line of the CSV file."""
    score = result.score
    row: Row = {
        "suite": result.suite,
        "cell": result.cell,
        "finder": result.finder,
        "stacks": len(result.counts),
        "tuning_stacks": result.run.get("tune_maps", ""),
        "seed": result.run.get("seed", ""),
        "weights": result.run.get("weights", ""),
        "tolerance_px": result.tolerance_px,
        "impurities": score.n_reference,
        "found": score.n_predicted,
        "true": score.true_positives,
    }
    for name in ("jaccard", "rmse"):
        low, high = _interval(result, name)
        row |= {name: getattr(score, name), f"{name}_low": low}
        row |= {f"{name}_high": high}
    return row | {
        "precision": score.precision,
        "recall": score.recall,
        "f1": score.f1,
        "jaccard_best_possible": result.best_possible,
        "rmse_over_bound": result.over_bound,
        "z_deviation": result.z_deviation,
        "calibration_error": result.calibration_error,
        "out_of_distribution": result.out_of_distribution,
        "seconds": result.seconds,
        "threshold": result.settings.get("threshold", math.nan),
        "setting": result.settings.get("setting", ""),
    }


def _interval(result: CellResult, name: str) -> tuple[float, float]:
    """95 % bootstrap interval over the test cases, see `METRICS`."""
    return bootstrap_interval(result.scores, name, np.random.default_rng(0))


def best_other(found: dict[str, CellResult]) -> CellResult | None:
    """The finder not of our family with the highest Jaccard index.

    It is the best on the test cases themselves: a favour to the others.
    """
    others = [r for f, r in found.items() if not f.startswith(_FAMILY)]
    return max(others, key=lambda r: r.score.jaccard, default=None)


def markdown(results: Results, cells: Sequence[Cell]) -> str:
    """The report as Markdown; arguments as of `write_report`."""
    parts = ["# Finders on the same maps", _list(_GENERAL)]
    for suite in dict.fromkeys(cell.suite for cell in cells):
        own = [cell for cell in cells if cell.suite == suite]
        kept = ordered(results, own)
        labels = {result.cell for result in kept}
        own = [cell for cell in own if cell.name in labels]
        if not own:
            continue
        names = [f for f in FINDERS if any(r.finder == f for r in kept)]
        parts += [f"## {suite}", _list(suite_notes(kept))]
        parts += _suite(own, names, kept)
    return "\n\n".join(parts) + "\n"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _suite(
    cells: Sequence[Cell], names: Sequence[str], results: Results
) -> list[str]:
    """Titles and tables of one suite, those without content left out."""
    tables = {t: by_finder(t, cells, names, results) for t in TITLES}
    seconds = {_SECONDS: tables.pop(_SECONDS)}
    tables["Jaccard index less that of the matched cell"] = _beside(
        cells, names, results
    )
    tables[f"`{OURS}` against the best of the others"] = _honesty(
        cells, results
    )
    return [
        part
        for title, table in (tables | seconds).items()
        if table
        for part in (f"{title}:", table)
    ]


def by_finder(
    title: str, cells: Sequence[Cell], names: Sequence[str], results: Results
) -> str:
    """A table with a row a cell and a column a finder.

    Args:
        title: a key of `TITLES`, which says what fills it.
        cells: its rows.
        names: of the finders.
        results: a gap stays empty.

    Returns:
        Markdown; empty where nothing fills it.
    """
    text, rows = TITLES[title], []
    for cell in cells:
        found = of_cell(results, cell.suite, cell.name)
        texts = [text(found[n]) if n in found else "" for n in names]
        rows.append([cell.name, *texts])
    if not any(any(row[1:]) for row in rows):
        return ""
    return markdown_table(["", *names], rows)


def _beside(
    cells: Sequence[Cell], names: Sequence[str], results: Results
) -> str:
    rows = []
    for cell in cells:
        if cell.beside is None:
            continue
        found = of_cell(results, cell.suite, cell.name)
        matched = of_cell(results, cell.suite, cell.beside)
        both = [n for n in names if n in found and n in matched]
        texts = {
            n: _difference(*paired_difference(found[n], matched[n], "jaccard"))
            for n in both
        }
        rows.append([cell.name] + [texts.get(n, "") for n in names])
    return markdown_table(["", *names], rows) if rows else ""


def _honesty(cells: Sequence[Cell], results: Results) -> str:
    """Differences to the best other, z-scores and calibration of ours."""
    rows = []
    for cell in cells:
        found = of_cell(results, cell.suite, cell.name)
        ours = found.get(OURS)
        if ours is None:
            continue
        other = best_other(found)
        name, jaccard, rmse = "", "", ""
        if other is not None:
            name = other.finder
            jaccard = _difference(*paired_difference(ours, other, "jaccard"))
            rmse = _difference(*paired_difference(ours, other, "rmse"))
        rows.append(
            [
                cell.name,
                name,
                jaccard,
                rmse,
                _number(ours.z_deviation, 2),
                _number(ours.calibration_error),
                _number(ours.out_of_distribution, 2),
            ]
        )
    head = ["", "best other", "Jaccard, difference", "RMSE, difference [px]"]
    head += ["std of z", "calibration error", "out of distribution, share"]
    return markdown_table(head, rows) if rows else ""


def _with_interval(name: str) -> Callable[[CellResult], str]:
    def text(result: CellResult) -> str:
        value = _number(getattr(result.score, name))
        low, high = _interval(result, name)
        if not math.isfinite(low):
            return value
        return f"{value} [{low:.3f}, {high:.3f}]"

    return text


def _difference(value: float, low: float, high: float) -> str:
    if not math.isfinite(low):
        return _number(value, sign=True)
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _number(value: float, digits: int = 3, *, sign: bool = False) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:{'+' if sign else ''}.{digits}f}"


TITLES: dict[str, Callable[[CellResult], str]] = {
    "Jaccard index, with its 95 % interval over the stacks": _with_interval(
        "jaccard"
    ),
    "RMSE of the pairs [px]": _with_interval("rmse"),
    "Jaccard index at the best threshold on these very files: what no user "
    "could know": lambda r: _number(r.best_possible),
    "RMSE over the Cramér-Rao bound of the same pairs": lambda r: _number(
        r.over_bound, 2
    ),
    _SECONDS: lambda r: f"{r.seconds:.2g}",
}
"""Of tables, and what fills them."""


def suite_notes(results: Results) -> list[str]:
    """How the results of a suite were made, as they hold it themselves.

    Args:
        results: of one suite, made alike (see `run.latest`), at least one.

    Returns:
        When and on what which finders ran, seed and numbers of stacks, and
        the weights of the networks.
    """
    weights = {
        network_of(result.finder): result.run["weights"]
        for result in results
        if result.run.get("weights")
    }
    notes = [*_occasions(results), _stacks(results)]
    if weights:
        notes.append(
            "weights: " + ", ".join(f"{n} {w}" for n, w in weights.items())
        )
    return notes


def _occasions(results: Results) -> list[str]:
    """A line for the finders that ran on one day on one machine."""
    finders: dict[str, list[str]] = {}
    for result in sorted(results, key=lambda r: r.made.get("date", "")):
        if result.made:
            names = finders.setdefault(_occasion(result), [])
            names += [result.finder] if result.finder not in names else []
    return [f"{when}: {', '.join(names)}" for when, names in finders.items()]


def _occasion(result: CellResult) -> str:
    made = result.made
    threads = "one thread each" if made["processes"] > 1 else "all threads"
    return (
        f"{made['date']}, {made['cores']} cores, {made['machine']}; "
        f"{made['processes']} at once, {threads}"
    )


def _stacks(results: Results) -> str:
    # Of a suite some cells may have a number of their own.
    numbers = sorted({len(result.counts) for result in results})
    tested = " or ".join(map(str, numbers))
    run = results[0].run
    return (
        f"seed {run.get('seed', '?')}; {tested} test and "
        f"{run.get('tune_maps', '?')} tuning stacks a cell"
    )


def phase_rows(results: Results) -> list[Row]:
    """The phase diagram as a table, a row a cell.

    Args:
        results: of the suite, of any finders.

    Returns:
        `density_per_px2`, `noise`, `jaccard` of `OURS`, the best of the
        others' and its name; NaN where a result is missing.
    """
    rows = []
    for n in PHASE_IMPURITIES:
        for noise in PHASE_NOISE:
            found = of_cell(results, PHASE, phase_name(n, noise))
            ours, best = found.get(OURS), best_other(found)
            rows.append(
                {
                    "density_per_px2": n / PAPER_SIZE_PX**2,
                    "noise": noise,
                    "jaccard": ours.score.jaccard if ours else math.nan,
                    "best_other": best.score.jaccard if best else math.nan,
                    "best_other_name": best.finder if best else "",
                }
            )
    return rows


def write_phase(results: Results, out: Path) -> list[Path]:
    """Write the phase diagram as CSV and PNG.

    Args:
        results: see `phase_rows`.
        out: folder.

    Returns:
        The two files; none without a result of the suite.
    """
    if not any(result.suite == PHASE for result in results):
        return []
    rows = phase_rows(results)
    table, picture = out / "phase.csv", out / "phase.png"
    write_rows(table, rows)
    with atomic_file(picture) as temporary:
        _draw_phase(rows, temporary)
    return [table, picture]


def _draw_phase(rows: Sequence[Row], path: Path) -> None:
    shape = len(PHASE_IMPURITIES), len(PHASE_NOISE)
    panels = {OURS: "jaccard", "best of the others": "best_other"}
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(7.4, 3.3), layout="constrained")
        FigureCanvasAgg(figure)
        every = figure.subplots(1, 2, sharey=True)
        colours = ScalarMappable(Normalize(0, 1))
        for axes, (title, name) in zip(every, panels.items(), strict=True):
            table = np.array([row[name] for row in rows]).reshape(shape)
            axes.imshow(table, vmin=0, vmax=1, origin="lower")
            for (row, col), value in np.ndenumerate(table):
                if np.isfinite(value):
                    colour = "black" if value > 0.6 else "white"
                    axes.text(
                        col, row, f"{value:.2f}", ha="center", color=colour
                    )
            axes.set_title(title)
            axes.set_xticks(range(shape[1]), [f"{n:g}" for n in PHASE_NOISE])
            axes.set_xlabel("white noise [std of the waves]")
        every[0].set_yticks(
            range(shape[0]),
            [f"{1e3 * n / PAPER_SIZE_PX**2:.2g}" for n in PHASE_IMPURITIES],
        )
        every[0].set_ylabel("impurities per 1000 px²")
        figure.colorbar(colours, ax=every, label="Jaccard index")
        figure.savefig(path, dpi=_DPI)
