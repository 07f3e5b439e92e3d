"""Results on disk: a line of JSON each, written as soon as it is there."""

import json
import os
from pathlib import Path

from stm_keras.bench.options import BenchOptions
from stm_keras.bench.result import CellResult
from stm_keras.bench.roster import FINDERS
from stm_keras.errors import InputError

RESULTS = "results.jsonl"
_BEGINNING = '{"suite": '
"""Of every line: with it, a line that cannot be read was cut short."""


def read_results(path: str | Path, options: BenchOptions) -> list[CellResult]:
    """Results of a file that these options would give again.

    Of several for one cell and finder the last counts. Lines that were cut
    short are not looked at.

    Raises:
        InputError: where the file holds something else.
    """
    path = Path(path)
    if not path.exists():
        return []
    lines = path.read_text().split("\n")
    results: dict[tuple[str, str, str], CellResult] = {}
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
        if result.finder in FINDERS and result.run == options.conditions(
            result.finder
        ):
            results[result.key] = result
    return list(results.values())


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
