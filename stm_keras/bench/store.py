"""Results on disk: a line of JSON each, written as soon as it is there."""

import json
import os
from collections.abc import Callable, Hashable, Iterable, Sequence
from pathlib import Path

from stm_keras.bench.options import BenchOptions
from stm_keras.bench.result import CellResult
from stm_keras.bench.roster import FINDERS, network_of
from stm_keras.errors import InputError

RESULTS = "results.jsonl"
_BEGINNING = '{"suite": '
"""Of every line: with it, a line that cannot be read was cut short."""

Key = tuple[str, str, str]
"""Suite, cell and finder."""


def read_results(path: str | Path) -> list[CellResult]:
    """All results of a file in their order, whatever made them.

    Lines that were cut short are not looked at, nor finders that there are
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


def end_line(path: Path) -> None:
    """End a line that was cut short, so that the next begins a new one."""
    if path.exists() and not path.read_bytes().endswith(b"\n"):
        with path.open("a") as file:
            file.write("\n")
