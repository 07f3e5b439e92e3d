"""Tables: rows of numbers in CSV files, exact to the last bit; Markdown."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.errors import InputError
from stm_keras.files import atomic_file

Row = dict[str, Any]


def write_rows(path: str | Path, rows: Sequence[Row]) -> None:
    """Write a table, whole or not at all.

    Args:
        path: CSV to write.
        rows: names to values, those of all rows in the order in which they
            first occur. Floats are written so that they are read back to the
            same bits; a name that a row lacks stays empty.
    """
    names = list(dict.fromkeys(name for row in rows for name in row))
    with atomic_file(path) as temporary, temporary.open("w", newline="") as to:
        writer = csv.DictWriter(to, names, lineterminator="\n")
        writer.writeheader()
        for row in rows:
            writer.writerow({k: _text(v) for k, v in row.items()})


def _text(value: Any) -> str:
    is_float = isinstance(value, (float, np.floating))
    return repr(float(value)) if is_float else str(value)


def read_rows(path: str | Path) -> list[Row]:
    """Read what `write_rows` wrote; numbers become int or float.

    Raises:
        InputError: where the file is missing or is no table.
    """
    path = Path(path)
    try:
        with path.open(newline="") as source:
            rows = list(csv.DictReader(source))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"Cannot read the table {path}: {error}.") from error
    if not rows or any(None in row or None in row.values() for row in rows):
        raise InputError(
            f"{path} is no whole table of this program: make it again."
        )
    return [{k: _value(v) for k, v in row.items() if v != ""} for row in rows]


def _value(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def where(rows: Iterable[Row], **wanted: Any) -> list[Row]:
    """Rows that hold just these values."""
    return [
        row
        for row in rows
        if all(row.get(name) == value for name, value in wanted.items())
    ]


def markdown_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
