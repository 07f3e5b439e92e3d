"""Position tables as CSV files."""

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.analysis.matching import as_positions
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory

COLUMNS = ("row", "col", "x_nm", "y_nm", "score", "rank")

_HEADER = (
    "row, col [px]: the centre of the top left pixel of the input is (0, 0)",
    "x_nm, y_nm [nm]: from the top left corner, x to the right, y down; "
    "x_nm = (col + 0.5) pixel width, y_nm = (row + 0.5) pixel height",
    "score: larger is surer; rank: 1 is the highest score",
)

SCANNER_COLUMNS = ("scanner_x_nm", "scanner_y_nm")
_SCANNER_HEADER = (
    "scanner_x_nm, scanner_y_nm [nm]: on the sample, in the scanner's own "
    "coordinates, y up",
)

DEVIATION_COLUMNS = ("std_x_nm", "std_y_nm")
_DEVIATION_HEADER = ("std_x_nm, std_y_nm [nm]: standard deviations of the two",)

_ALIASES = {"row_px": "row", "col_px": "col"}
_NUMBERS = frozenset(COLUMNS) - {"rank"}


class PositionTable(NamedTuple):
    """What a position file holds, in the order of its lines.

    Attributes:
        positions_px: float64 [n, 2], row and column [px].
        positions_nm: float64 [n, 2], y and x [nm], that is along rows and
            columns like `positions_px`; None where the file has none.
        scores: float64 [n]; None where the file has none.
    """

    positions_px: np.ndarray
    positions_nm: np.ndarray | None
    scores: np.ndarray | None


def to_nm(
    positions_px: np.ndarray, pixel_nm: tuple[float, float]
) -> np.ndarray:
    """Turn pixels [n, 2] (row, col) into nm [n, 2] (y, x) from the corner."""
    return (positions_px + 0.5) * np.asarray(pixel_nm, dtype=np.float64)


def write_positions(
    path: str | Path,
    positions: ArrayLike,
    scores: ArrayLike,
    *,
    pixel_nm: tuple[float, float],
    scanner_nm: ArrayLike | None = None,
    deviations_nm: ArrayLike | None = None,
    header_notes: Sequence[str] = (),
) -> None:
    """Write positions to a CSV file, the highest score first.

    Args:
        path: the file; its directory is made where missing.
        positions: [n, 2], row and column [px] of the input file.
        scores: [n].
        pixel_nm: height and width of a pixel [nm].
        scanner_nm: x and y in the scanner's coordinates [nm], [n, 2], for two
            more columns; None where they are unknown.
        deviations_nm: standard deviations of y and x [nm], [n, 2], for two
            more columns; None where they are unknown.
        header_notes: lines to add to the comments at the top.

    Raises:
        InputError: for arrays that do not belong together or are not finite,
            a pixel size that is not positive, or a path that cannot be
            written.
    """
    positions = as_positions(positions, "positions")
    scores = np.asarray(scores, dtype=np.float64)
    if scores.shape != (len(positions),) or not np.isfinite(scores).all():
        raise InputError(
            f"`scores` must hold {len(positions)} finite numbers, one a "
            f"position. Received the shape {scores.shape}."
        )
    if len(pixel_nm) != 2 or not all(0 < p < math.inf for p in pixel_nm):
        raise InputError(
            "`pixel_nm` must be two positive numbers, height and width. "
            f"Received: {pixel_nm}."
        )
    names, header, table = _places(
        positions, pixel_nm, scanner_nm, deviations_nm
    )
    order = np.argsort(-scores, kind="stable")
    notes = [line for note in header_notes for line in note.splitlines()]
    text = io.StringIO()
    text.writelines(f"# {line}\n" for line in (*header, *notes))
    text.write(",".join((*names, "score", "rank")) + "\n")
    for rank, index in enumerate(order, start=1):
        text.writelines(f"{place:.5f}," for place in table[index])
        text.write(f"{scores[index]:.8g},{rank}\n")
    _write_text(Path(path), text.getvalue())


def read_positions(path: str | Path) -> PositionTable:
    """Read positions from a CSV file.

    Accepts the files of `write_positions` and any other table with the
    columns `row`, `col` or `row_px`, `col_px`, in any order and with any
    columns beside them; `x_nm`, `y_nm` and `score` are read where present.
    Comments (#), blank lines, a byte order mark and any line ends are fine; a
    table without a line is an empty one.

    Args:
        path: the file, UTF-8.

    Returns:
        The table.

    Raises:
        InputError: for a file that is missing or not such a table; the
            message names the line.
    """
    path = Path(path)
    lines = _table_lines(path, _read_text(path))
    if not lines:
        raise InputError(
            f"{path} holds no table. Its first line must name the columns, "
            "such as row,col."
        )
    columns = _columns(path, *lines[0])
    width = len(lines[0][1])
    table = {name: np.empty(len(lines) - 1) for name in columns}
    for index, (number, cells) in enumerate(lines[1:]):
        if len(cells) != width:
            raise InputError(
                f"{path}, line {number}: {len(cells)} cells under {width} "
                "column names. Give each line one cell a column."
            )
        for name, column in columns.items():
            table[name][index] = _number(path, number, name, cells[column])
    nm = None
    if "x_nm" in table:
        nm = np.stack([table["y_nm"], table["x_nm"]], axis=1)
    px = np.stack([table["row"], table["col"]], axis=1)
    return PositionTable(px, nm, table.get("score"))


def _places(
    positions: np.ndarray,
    pixel_nm: tuple[float, float],
    scanner_nm: ArrayLike | None,
    deviations_nm: ArrayLike | None,
) -> tuple[list[str], list[str], np.ndarray]:
    """Names and explanations of the columns with places, and these [n, c]."""
    nm = to_nm(positions, pixel_nm)[:, ::-1]
    names, header, columns = [*COLUMNS[:4]], [*_HEADER], [positions, nm]
    if deviations_nm is not None:
        deviations = _one_each(deviations_nm, "deviations_nm", len(positions))
        names += DEVIATION_COLUMNS
        header += _DEVIATION_HEADER
        columns.append(deviations[:, ::-1])
    if scanner_nm is not None:
        names += SCANNER_COLUMNS
        header += _SCANNER_HEADER
        columns.append(_one_each(scanner_nm, "scanner_nm", len(positions)))
    return names, header, np.concatenate(columns, axis=1)


def _one_each(values: ArrayLike, name: str, count: int) -> np.ndarray:
    pairs = as_positions(values, name)
    if len(pairs) != count:
        raise InputError(
            f"`{name}` must hold {count} places, one a position. "
            f"Received: {len(pairs)}."
        )
    return pairs


def _write_text(path: Path, text: str) -> None:
    writable_directory(path.parent)
    try:
        with atomic_file(path) as temporary:
            # Names of files may hold bytes that are no UTF-8.
            temporary.write_text(
                text, "utf-8", "backslashreplace", newline="\n"
            )
    except OSError as error:
        raise InputError(
            f"Cannot write {path}: {error.strerror}. Choose another path."
        ) from error


def _read_text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror}. Check the path."
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path} is not a text file in UTF-8. Save the table as CSV."
        ) from error


def _table_lines(path: Path, text: str) -> list[tuple[int, list[str]]]:
    """Number and cells of each line that is not blank or a comment."""
    table = []
    for number, line in enumerate(io.StringIO(text, newline=None), start=1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            cells = next(csv.reader([line], strict=True))
        except csv.Error as error:
            raise InputError(
                f"{path}, line {number}: not a line of a CSV table ({error})."
            ) from error
        table.append((number, [cell.strip() for cell in cells]))
    return table


def _columns(path: Path, number: int, names: list[str]) -> dict[str, int]:
    """Where the columns that are read stand."""
    found: dict[str, int] = {}
    for column, name in enumerate(names):
        name = _ALIASES.get(name.lower(), name.lower())
        if name in found:
            raise InputError(
                f"{path}, line {number}: two columns for {name!r}. Keep one."
            )
        if name in _NUMBERS:
            found[name] = column
    required = {"row", "col"}
    if found.keys() & {"x_nm", "y_nm"}:
        required |= {"x_nm", "y_nm"}
    missing = sorted(required - found.keys())
    if missing:
        raise InputError(
            f"{path}, line {number}: no column {', '.join(missing)} among "
            f"{', '.join(map(repr, names))}. The columns must be named row, "
            "col (or row_px, col_px), with x_nm and y_nm both or neither, and "
            "separated by commas."
        )
    return found


def _number(path: Path, number: int, name: str, cell: str) -> float:
    try:
        # Python reads 1_000 as a number; in a table it is a slip.
        value = math.nan if "_" in cell else float(cell)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise InputError(
            f"{path}, line {number}: {cell!r} in the column {name!r} is not a "
            "finite number. Correct the cell or leave the line out."
        )
    return value
