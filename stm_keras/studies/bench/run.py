"""Do the cells of the bench that are not done yet, and keep every result.

Results are on disk a line of JSON each, written as soon as they are there.
"""

import datetime
import itertools
import json
import multiprocessing
import os
import platform
from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError
from stm_keras.files import writable_directory
from stm_keras.studies.bench.cases import MAX_SEED, Cell, Role
from stm_keras.studies.bench.finders import (
    FINDERS,
    Finder,
    Roster,
    network_of,
)
from stm_keras.studies.bench.scoring import CellResult, score_cell
from stm_keras.system import deaf_to_stops, end_with_parent, single_threaded

RESULTS = "results.jsonl"
_BEGINNING = '{"suite": '
"""Of every line: with it, a line that cannot be read was cut short."""

Report = Callable[[str], None]
Key = tuple[str, str, str]
"""Suite, cell and finder."""

_Todo = list[tuple[Cell, list[str]]]
"""Cells of one source, each with the finders that are missing."""


@dataclass(frozen=True)
class BenchOptions:
    """How the bench is run.

    Attributes:
        finders: names, of `FINDERS`.
        n_test: test cases of a cell.
        n_tune: tuning cases of a cell.
        role: whose cases finders are compared on.
        seed: of all cases, see `CaseId`.
        processes: how many work at once, each single-threaded; 1 works in
            this process.
        roster: makes the finders.

    Raises:
        InputError: for a number out of range.
    """

    finders: tuple[str, ...] = FINDERS
    n_test: int = 20
    n_tune: int = 8
    role: Role = Role.TEST
    seed: int = 0
    processes: int = 1
    roster: Roster = field(default_factory=Roster)

    def __post_init__(self) -> None:
        for option, value, least, most in (
            ("--maps", self.n_test, 1, 100_000),
            ("--tune-maps", self.n_tune, 1, 100_000),
            ("--processes", self.processes, 1, 1_000),
            ("--seed", self.seed, 0, MAX_SEED),
        ):
            if not least <= value <= most:
                raise InputError(
                    f"{option} must lie between {least} and {most}. Received: "
                    f"{value}."
                )

    def conditions(self, finder: str) -> dict[str, Any]:
        """What a finder's results depend on beside the code."""
        return {
            "maps": self.n_test,
            "tune_maps": self.n_tune,
            "seed": self.seed,
            "weights": self.roster.version(finder),
            **({} if self.role is Role.TEST else {"role": self.role.name}),
        }

    def circumstances(self) -> dict[str, Any]:
        """When and on what results are made: only times depend on it."""
        return {
            "date": str(datetime.date.today()),
            "cores": os.cpu_count(),
            "machine": platform.machine(),
            "processes": self.processes,
        }


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
        report: given a line for every finder left out and every result.

    Returns:
        Of all suites that the folder holds, those that were made like the
        suite's last one, see `latest`.

    Raises:
        InputError: where the folder cannot be written to or holds something
            else, and whatever a finder refuses.
    """
    finders = available(options, report)
    path = writable_directory(out) / RESULTS
    _end_line(path)
    done = _done(path, cells, finders, options)
    groups: list[_Todo] = []
    for _, group in itertools.groupby(cells, lambda cell: cell.source):
        missing = (
            (c, [f for f in finders if (c.suite, c.name, f) not in done])
            for c in group
        )
        groups.append([(cell, names) for cell, names in missing if names])
    groups = [todo for todo in groups if todo]
    if options.processes == 1 or not groups:
        for todo in groups:
            for line in _do_group(todo, path, options):
                report(line)
    else:
        _spread(groups, path, options, report)
    return _for_table(path, report)


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
    made, last = made_under(stored, options), latest(stored)
    wanted = [(c.suite, c.name, f) for c in cells for f in finders]
    done = [key for key in wanted if key in made]
    for key in done:
        if last.get(key) is not made[key]:
            append_result(path, made[key])
    return set(done)


def _for_table(path: Path, report: Report) -> list[CellResult]:
    """What one table may hold; the number of others is reported."""
    results = read_results(path)
    kept = latest(results)
    others = {result.key for result in results} - kept.keys()
    for suite, n in sorted(Counter(suite for suite, *_ in others).items()):
        report(
            f"left out of the table: {n} results of suite {suite} with other "
            "numbers of maps, another seed or other weights"
        )
    return list(kept.values())


def _spread(
    groups: Sequence[_Todo], path: Path, options: BenchOptions, report: Report
) -> None:
    """Groups of cells in processes of their own."""
    context = multiprocessing.get_context("spawn")
    with (
        single_threaded(),
        ProcessPoolExecutor(
            options.processes, mp_context=context, initializer=end_with_parent
        ) as pool,
    ):
        with deaf_to_stops():  # processes start here
            futures = [
                pool.submit(_do_whole_group, todo, path, options)
                for todo in groups
            ]
        try:
            for future in as_completed(futures):
                for line in future.result():
                    report(line)
        finally:
            for future in futures:
                future.cancel()


def _do_whole_group(
    todo: _Todo, path: Path, options: BenchOptions
) -> list[str]:
    return list(_do_group(todo, path, options))


def _do_group(todo: _Todo, path: Path, options: BenchOptions) -> Iterator[str]:
    """Do cells of one source; yield a line for each result."""
    finders: dict[str, Finder] = {}
    tuned: dict[str, str] = {}
    for cell, names in todo:
        test = cell.test(options.seed, options.n_test, options.role)
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


def read_results(path: str | Path) -> list[CellResult]:
    """All results of a file in their order, whatever made them.

    Lines that were cut short are passed over, as are finders that there are
    no more.

    Raises:
        InputError: where the file holds something else.
    """
    path = Path(path)
    if not path.exists():
        return []
    results = []
    lines = path.read_text().split("\n")
    for number, line in enumerate(lines, start=1):
        if not line:
            continue
        try:
            result = CellResult.from_dict(json.loads(line))
        except (ValueError, KeyError, TypeError) as error:
            if line.startswith(_BEGINNING):
                continue
            raise InputError(
                f"{path}, line {number} is no result of the bench: delete it."
            ) from error
        if result.finder in FINDERS:
            results.append(result)
    return results


def made_under(
    results: Iterable[CellResult], options: BenchOptions
) -> dict[Key, CellResult]:
    """Those that these options would give again."""
    return {
        result.key: result
        for result in results
        if result.run == options.conditions(result.finder)
    }


def latest(results: Sequence[CellResult]) -> dict[Key, CellResult]:
    """Those that one table may hold: of a suite, all made alike.

    Numbers of stacks and seed are those of the suite's last result, the
    weights of a network those of its last result there. Others would be
    differences between finders or cells that are none.

    Args:
        results: in the order in which they were made.
    """
    alike = _as_the_last(results, lambda r: r.suite, _stacks)
    alike = _as_the_last(
        alike,
        lambda r: (r.suite, network_of(r.finder)),
        lambda r: r.run.get("weights"),
    )
    return {result.key: result for result in alike}


def _stacks(result: CellResult) -> dict[str, object]:
    return {k: v for k, v in result.run.items() if k != "weights"}


def _as_the_last(
    results: Sequence[CellResult],
    group: Callable[[CellResult], Hashable],
    value: Callable[[CellResult], object],
) -> list[CellResult]:
    """Results with the value that the last of their group has."""
    last = {group(result): value(result) for result in results}
    return [r for r in results if value(r) == last[group(r)]]


def append_result(path: Path, result: CellResult) -> None:
    """Add a line; lines of several processes do not mix."""
    line = json.dumps(result.as_dict()) + "\n"
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        os.write(handle, line.encode())
    finally:
        os.close(handle)


def _end_line(path: Path) -> None:
    """End a line that was cut short, so that the next begins a new one."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a") as file:
            file.write("\n")
