"""The results as tables: Markdown for the documentation, CSV for the rest."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.bench.case import Cell
from stm_keras.bench.notes import GENERAL, suite_notes
from stm_keras.bench.result import CellResult, of_cell, paired_difference
from stm_keras.bench.roster import FINDERS, OURS
from stm_keras.reproduction.tables import write_rows
from stm_keras.scoring import bootstrap_interval
from stm_keras.system import atomic_file

Results = Sequence[CellResult]
_FAMILY = "context"
"""Finders of this name's family are not set against each other."""


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


def cell_row(result: CellResult) -> dict[str, Any]:
    """A result as a line of the CSV file."""
    score = result.score
    row: dict[str, Any] = {
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
        low, high = interval(result, name)
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
        "off_ground": result.off_ground,
        "seconds": result.seconds,
        "threshold": result.settings.get("threshold", math.nan),
        "setting": result.settings.get("setting", ""),
    }


def interval(result: CellResult, name: str) -> tuple[float, float]:
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
    parts = ["# Finders on the same maps", _list(GENERAL)]
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
        parts += ["Seconds a stack:", _by_finder(own, names, kept, _seconds)]
    return "\n\n".join(part for part in parts if part) + "\n"


def _list(lines: Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _suite(
    cells: Sequence[Cell], names: Sequence[str], results: Results
) -> list[str]:
    """Tables of one suite, those without content empty."""
    every: dict[str, Callable[[CellResult], str]] = {
        "Jaccard index, with its 95 % interval over the stacks": _jaccard,
        "RMSE of the pairs [px]": _rmse,
    }
    if any(cell.shows_best for cell in cells):
        every[
            "Jaccard index at the best threshold on these very files: what "
            "no user could know"
        ] = lambda r: _number(r.best_possible)
    if any(r.bound[0] for r in results):
        every["RMSE over the Cramér-Rao bound of the same pairs"] = lambda r: (
            _number(r.over_bound, 2)
        )
    parts = []
    for title, text in every.items():
        parts += [f"{title}:", _by_finder(cells, names, results, text)]
    beside = _beside(cells, names, results)
    if beside:
        parts += ["Jaccard index less that of the matched cell:", beside]
    honest = _honesty(cells, results)
    if honest:
        parts += [f"`{OURS}` beside the best of the others:", honest]
    return parts


def _by_finder(
    cells: Sequence[Cell],
    names: Sequence[str],
    results: Results,
    text: Callable[[CellResult], str],
) -> str:
    rows = []
    for cell in cells:
        found = of_cell(results, cell.suite, cell.name)
        rows.append(
            [cell.name] + [text(found[n]) if n in found else "" for n in names]
        )
    return _table(["", *names], rows)


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
    return _table(["", *names], rows) if rows else ""


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
                _number(ours.off_ground, 2),
            ]
        )
    header = ["", "best other", "Jaccard, difference", "RMSE, difference [px]"]
    header += ["std of z", "calibration error", "off its ground, share"]
    return _table(header, rows) if rows else ""


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _jaccard(result: CellResult) -> str:
    return _with_interval(result, "jaccard")


def _rmse(result: CellResult) -> str:
    return _with_interval(result, "rmse")


def _seconds(result: CellResult) -> str:
    return f"{result.seconds:.2g}"


def _with_interval(result: CellResult, name: str) -> str:
    value = _number(getattr(result.score, name))
    low, high = interval(result, name)
    if not math.isfinite(low):
        return value
    return f"{value} [{low:.3f}, {high:.3f}]"


def _difference(value: float, low: float, high: float) -> str:
    if not math.isfinite(low):
        return _number(value, sign=True)
    return f"{value:+.3f} [{low:+.3f}, {high:+.3f}]"


def _number(value: float, digits: int = 3, *, sign: bool = False) -> str:
    if not math.isfinite(value):
        return ""
    return f"{value:{'+' if sign else ''}.{digits}f}"
