"""Do the cells of the bench that are not done yet."""

import itertools
import multiprocessing
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from pathlib import Path

from stm_keras.bench.case import Cell
from stm_keras.bench.finders import Finder
from stm_keras.bench.options import BenchOptions
from stm_keras.bench.result import CellResult
from stm_keras.bench.scoring import score_cell
from stm_keras.bench.store import (
    RESULTS,
    Key,
    append_result,
    end_line,
    latest,
    made_under,
    read_results,
)
from stm_keras.errors import InputError
from stm_keras.system import (
    end_with_parent,
    single_threaded,
    writable_directory,
)

Report = Callable[[str], None]


def run_bench(
    cells: Sequence[Cell],
    out: str | Path,
    options: BenchOptions,
    *,
    report: Report = lambda line: None,
) -> list[CellResult]:
    """Score every finder in every cell.

    Each result is written as soon as it is there; the same call again does
    those that are missing, or that other numbers of maps, another seed or
    other weights gave. What is there already counts as made last.

    Args:
        cells: the cells, those of one source one after the other.
        out: folder of the results.
        options: see `BenchOptions`.
        report: told a line for every finder left out and every result.

    Returns:
        Of all suites that the folder holds, those that were made like the
        suite's last one, see `latest`.

    Raises:
        InputError: where the folder cannot be written to or holds something
            else, and whatever a finder refuses.
    """
    finders = available(options, report)
    path = writable_directory(out) / RESULTS
    end_line(path)
    done = _done(path, cells, finders, options)
    groups = []
    for _, group in itertools.groupby(cells, lambda cell: cell.source):
        todo = [
            (cell, names)
            for cell in group
            if (names := _missing(cell, finders, done))
        ]
        if todo:
            groups.append(todo)
    if options.processes == 1 or not groups:
        for todo in groups:
            for line in _do_group(todo, path, options):
                report(line)
    else:
        _spread(groups, path, options, report)
    return _shown(path, report)


def available(options: BenchOptions, report: Report) -> list[str]:
    """The finders that can be had; the others are reported.

    Raises:
        InputError: where none can.
    """
    kept = []
    for name in options.finders:
        if reason := options.roster.missing(name):
            report(f"left out: {name} ({reason})")
        else:
            kept.append(name)
    if not kept:
        raise InputError("None of the finders that were asked for can be had.")
    return kept


def _done(
    path: Path,
    cells: Sequence[Cell],
    finders: Sequence[str],
    options: BenchOptions,
) -> set[Key]:
    """What is asked for and there already, from now on the last of its suite.

    Were it not, the table would show what another command made since.
    """
    stored = read_results(path)
    made, shown = made_under(stored, options), latest(stored)
    wanted = [(c.suite, c.name, f) for c in cells for f in finders]
    done = [key for key in wanted if key in made]
    for key in done:
        if shown.get(key) is not made[key]:
            append_result(path, made[key])
    return set(done)


def _shown(path: Path, report: Report) -> list[CellResult]:
    """What one table may hold; the number of others is reported."""
    results = read_results(path)
    shown = latest(results)
    others = {result.key for result in results} - shown.keys()
    for suite, n in sorted(Counter(suite for suite, *_ in others).items()):
        report(
            f"left out of the table: {n} results of suite {suite} with other "
            "numbers of maps, another seed or other weights"
        )
    return list(shown.values())


def _missing(cell: Cell, finders: Sequence[str], done: set[Key]) -> list[str]:
    return [f for f in finders if (cell.suite, cell.name, f) not in done]


def _spread(
    groups: Sequence[list[tuple[Cell, list[str]]]],
    path: Path,
    options: BenchOptions,
    report: Report,
) -> None:
    """Groups of cells in processes of their own."""
    context = multiprocessing.get_context("spawn")
    with (
        single_threaded(),
        ProcessPoolExecutor(
            options.processes, mp_context=context, initializer=end_with_parent
        ) as pool,
    ):
        futures = [
            pool.submit(_do_whole_group, todo, path, options) for todo in groups
        ]
        try:
            for future in as_completed(futures):
                for line in future.result():
                    report(line)
        finally:
            for future in futures:
                future.cancel()


def _do_whole_group(
    todo: list[tuple[Cell, list[str]]], path: Path, options: BenchOptions
) -> list[str]:
    return list(_do_group(todo, path, options))


def _do_group(
    todo: list[tuple[Cell, list[str]]], path: Path, options: BenchOptions
) -> Iterator[str]:
    """Do cells of one source; yield a line for each result."""
    finders: dict[str, Finder] = {}
    tuned: dict[str, str] = {}
    for cell, names in todo:
        test = cell.test(options.seed, options.n_test)
        tuning = None
        for name in names:
            finder = finders.setdefault(name, options.roster.make(name))
            if tuned.get(name) != cell.tuning_label:
                tuning = tuning or cell.tune(options.seed, options.n_tune)
                finder.tune(tuning)
                tuned[name] = cell.tuning_label
            result = replace(
                score_cell(cell, finder, test),
                run=options.conditions(name),
                made=options.circumstances(),
            )
            append_result(path, result)
            score = result.score
            yield (
                f"{cell.label}: {name}: Jaccard {score.jaccard:.3f}, "
                f"RMSE {score.rmse:.3f} px, {result.seconds:.2f} s"
            )
