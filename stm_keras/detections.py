"""Detections: THE table of a result, its files, and matching with a truth."""

import csv
import io
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import KDTree

from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.maps import ConductanceMaps
from stm_keras.notebook import html_lines, html_table

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from stm_keras.plots import Marks
    from stm_keras.results.report import Report

ONE_CLUSTER = 64
"""So few allowed pairs are solved at once: splitting them would cost more."""


class Matches(NamedTuple):
    """Pairs, ordered by the index of the predicted position.

    Attributes:
        pairs: int64 [k, 2], the indices (predicted, reference); none of them
            occurs twice.
        distances: float64 [k], in the unit of the positions.
    """

    pairs: np.ndarray
    distances: np.ndarray


def as_positions(positions: ArrayLike, name: str) -> np.ndarray:
    """Check an array of positions.

    Args:
        positions: [n, 2]; an empty list is an empty array.
        name: what the error calls it.

    Returns:
        The same, float64 [n, 2].

    Raises:
        InputError: for another shape, or a position that is not finite.
    """
    array = np.asarray(positions, dtype=np.float64)
    if array.shape == (0,):
        array = array.reshape(0, 2)
    if array.ndim != 2 or array.shape[1] != 2:
        raise InputError(
            f"`{name}` must have the shape [n, 2] (row, column). "
            f"Received: {array.shape}."
        )
    if not np.isfinite(array).all():
        bad = int(np.flatnonzero(~np.isfinite(array).all(axis=1))[0])
        raise InputError(
            f"`{name}` holds a position that is not finite (index {bad}). "
            "Leave such positions out."
        )
    return array


def check_tolerance(tolerance: float) -> None:
    """Refuse a tolerance that is not a positive, finite number.

    Raises:
        InputError: for such a tolerance.
    """
    if not (np.isfinite(tolerance) and tolerance > 0):
        raise InputError(
            f"`tolerance` must be positive and finite. Received: {tolerance}."
        )


def match(
    predicted: ArrayLike, reference: ArrayLike, tolerance: float
) -> Matches:
    """Match two sets of positions one to one.

    Of all one-to-one matchings whose pairs are no farther apart than the
    tolerance, this finds one with the most pairs and, among these, the least
    sum of squared distances, so that the RMSE does not depend on the order of
    the positions. Assigning by distance alone and dropping the pairs that are
    too far would lose pairs.

    The set is split into clusters that no allowed pair connects, each solved
    exactly by a linear assignment, so that time and memory grow with the
    largest cluster and not with the whole map.

    Args:
        predicted: [n, 2], float.
        reference: [m, 2], float, in the same unit.
        tolerance: the farthest that a pair may be apart (inclusive), in the
            unit of the positions.

    Returns:
        The pairs and their distances.

    Raises:
        InputError: for positions of another shape or not finite, or a
            tolerance that is not positive and finite.
    """
    check_tolerance(tolerance)
    predicted = as_positions(predicted, "predicted")
    reference = as_positions(reference, "reference")
    if not (len(predicted) and len(reference)):
        return Matches(np.empty((0, 2), dtype=np.int64), np.empty(0))
    close = KDTree(predicted).sparse_distance_matrix(
        KDTree(reference), tolerance, output_type="ndarray"
    )
    shape = (len(predicted), len(reference))
    rows, cols, distances = close["i"], close["j"], close["v"]
    taken = [
        edges[_assign(rows[edges], cols[edges], distances[edges])]
        for edges in _clusters(rows, cols, shape)
    ]
    taken = np.concatenate(taken)
    taken = taken[np.argsort(rows[taken])]
    pairs = np.stack([rows[taken], cols[taken]], axis=1)
    return Matches(pairs.astype(np.int64), distances[taken])


def _clusters(
    rows: np.ndarray, cols: np.ndarray, shape: tuple[int, int]
) -> list[np.ndarray]:
    """Indices of the allowed pairs, split where none connects them."""
    edges = np.arange(len(rows))
    if len(edges) <= ONE_CLUSTER:
        return [edges]
    total = sum(shape)
    graph = coo_array(
        (np.ones(len(edges)), (rows, cols + shape[0])), shape=(total, total)
    )
    cluster = connected_components(graph, directed=False)[1][rows]
    order = np.argsort(cluster, kind="stable")
    starts = np.flatnonzero(np.diff(cluster[order])) + 1
    return np.split(order, starts)


def _assign(
    rows: np.ndarray, cols: np.ndarray, distances: np.ndarray
) -> np.ndarray:
    """Solve one cluster; returns the indices of its edges that are taken."""
    if len(rows) < 2:
        return np.arange(len(rows))
    row_ids, row = np.unique(rows, return_inverse=True)
    col_ids, col = np.unique(cols, return_inverse=True)
    shape = (len(row_ids), len(col_ids))
    # One forbidden pair costs more than all allowed ones together, so that no
    # gain in distance can pay for a pair that is lost.
    scale = distances.max() or 1.0
    cost = np.full(shape, float(min(shape) + 1))
    cost[row, col] = np.square(distances / scale)
    edge = np.full(shape, -1, dtype=np.int64)
    edge[row, col] = np.arange(len(rows))
    taken = edge[linear_sum_assignment(cost)]
    return taken[taken >= 0]


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


def position_columns(
    positions: ArrayLike,
    scores: ArrayLike,
    *,
    pixel_nm: tuple[float, float],
    scanner_nm: ArrayLike | None = None,
    deviations_nm: ArrayLike | None = None,
    physics: Mapping[str, np.ndarray] | None = None,
) -> dict[str, np.ndarray]:
    """The columns of a table of positions, the highest score first.

    Args:
        positions: [n, 2], row and column [px] of the input file.
        scores: [n].
        pixel_nm: height and width of a pixel [nm].
        scanner_nm: x and y in the scanner's coordinates [nm], [n, 2], for two
            more columns; None where they are unknown.
        deviations_nm: standard deviations of y and x [nm], [n, 2], for two
            more columns; None where they are unknown.
        physics: further columns, one value an impurity [n].

    Returns:
        Columns [n] by name, in the order of a file.

    Raises:
        InputError: for arrays that do not belong together or are not finite,
            or a pixel size that is not positive.
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
    y_nm, x_nm = to_nm(positions, pixel_nm).T
    row, col = positions.T
    columns = {"row": row, "col": col, "x_nm": x_nm, "y_nm": y_nm}
    if deviations_nm is not None:
        pairs = _one_each(deviations_nm, "deviations_nm", len(positions))
        columns |= dict(zip(DEVIATION_COLUMNS, pairs[:, ::-1].T, strict=True))
    if scanner_nm is not None:
        pairs = _one_each(scanner_nm, "scanner_nm", len(positions))
        columns |= dict(zip(SCANNER_COLUMNS, pairs.T, strict=True))
    columns["score"] = scores
    columns |= physics or {}
    order = np.argsort(-scores, kind="stable")
    ranked = {name: values[order] for name, values in columns.items()}
    return {**ranked, "rank": np.arange(1, len(order) + 1)}


def write_table(
    path: str | Path,
    columns: Mapping[str, np.ndarray],
    notes: Sequence[str] = (),
) -> None:
    """Write a table of positions to a CSV file, and what it is beside it.

    The table is nothing but a table, which pandas and spreadsheets open as it
    is. The file of `about_file` says what the columns are.

    Args:
        path: the file; its directory is made where missing.
        columns: see `position_columns`.
        notes: lines to add to what is said of the columns.

    Raises:
        InputError: for a path that cannot be written.
    """
    about = "".join(f"{line}\n" for line in table_head(columns, notes))
    text = io.StringIO()
    text.write(",".join(columns) + "\n")
    for row in zip(*columns.values(), strict=True):
        cells = map(table_cell, columns, row)
        text.write(",".join(cells) + "\n")
    _write_text(about_file(path), about)
    _write_text(Path(path), text.getvalue())


def about_file(path: str | Path) -> Path:
    """Where it is said what the columns of a table are: beside it, `.txt`."""
    path = Path(path)
    beside = path.with_suffix(".txt")
    return beside if beside != path else path.with_name(f"{path.name}.txt")


def table_head(
    columns: Mapping[str, np.ndarray], notes: Sequence[str] = ()
) -> list[str]:
    """What is said beside a table: what its columns are, and notes.

    Args:
        columns: see `position_columns`.
        notes: lines to add.
    """
    head = [*_HEADER]
    head += _DEVIATION_HEADER if DEVIATION_COLUMNS[0] in columns else ()
    head += _SCANNER_HEADER if SCANNER_COLUMNS[0] in columns else ()
    return head + [line for note in notes for line in note.splitlines()]


def write_positions(
    path: str | Path,
    positions: ArrayLike,
    scores: ArrayLike,
    *,
    notes: Sequence[str] = (),
    **columns: Any,
) -> None:
    """Write positions to a CSV file, the highest score first.

    Args:
        path: the file; its directory is made where missing.
        positions: [n, 2], row and column [px] of the input file.
        scores: [n].
        notes: lines to add to what is said of the columns.
        **columns: see `position_columns`; `pixel_nm` at least.

    Raises:
        InputError: see `position_columns` and `write_table`.
    """
    table = position_columns(positions, scores, **columns)
    write_table(path, table, notes)


def table_cell(name: str, value: Any) -> str:
    """A value as a table has it: lengths to 5 places, numbers to 8 digits.

    Args:
        name: of its column.
        value: a number or a word.
    """
    if isinstance(value, (float, np.floating)):
        if math.isnan(value):
            return ""  # not determined
        places = name in COLUMNS[:4] or name.endswith("_nm")
        return f"{value:.5f}" if places else f"{value:.8g}"
    return str(value)


def _known(value: Any) -> Any:
    return None if isinstance(value, float) and math.isnan(value) else value


def read_positions(path: str | Path) -> PositionTable:
    """Read positions from a CSV file.

    Accepts the files of `write_positions` and any other table with the
    columns `row`, `col` or `row_px`, `col_px`, in any order and with any
    columns beside them; `x_nm`, `y_nm` and `score` are read where present.
    Comments (#), as earlier versions wrote, blank lines, a byte order mark
    and any line ends are fine; a table without a line is an empty one.

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


@dataclass(frozen=True, eq=False)
class Search:
    """What was searched, and with what.

    Attributes:
        origin_px: row and column in the file of the top left pixel of the
            part that was searched.
        levelled: that part cleaned, sorted by bias.
        maps: the same at the network's pixel.
        score: S of `maps`, float32 [H, W]; NaN where nothing was searched.
        needs_every_map: whether a pixel that one map of a stack lacks was not
            searched; else only one that all of them lack.
        model: what a result says of the model, as JSON has it.
        options: likewise of the options.
        layers: further images of that part by name, which the report page
            shows: float [H', W'], or [V, H', W'] with one a map of
            `levelled`, at any resolution; NaN where unknown.
    """

    origin_px: tuple[int, int]
    levelled: ConductanceMaps
    maps: ConductanceMaps
    score: np.ndarray
    needs_every_map: bool
    model: Mapping[str, Any]
    options: Mapping[str, Any]
    layers: Mapping[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def of(
        cls, maps: ConductanceMaps, score: np.ndarray, *, needs_every_map: bool
    ) -> "Search":
        """Of maps that are at the network's pixel already."""
        return cls((0, 0), maps, maps, score, needs_every_map, {}, {})

    def searched(self, maps: ConductanceMaps) -> NDArray[np.bool_]:
        """Pixels of these maps in which impurities were looked for [H, W]."""
        return maps.mask if self.needs_every_map else maps.measured

    @property
    def origin_nm(self) -> tuple[float, float]:
        """The y and x [nm] of the part's top left in the file's frame."""
        (row, col), (down, right) = self.origin_px, self.levelled.pixel_nm
        return row * down, col * right


@dataclass(frozen=True, eq=False)
class Detections:
    """Impurities in maps, the surest first: the table of a result.

    `len` gives their number; `columns` all that is known of them, which CSV,
    JSON and DataFrame share.

    Attributes:
        maps: the maps as they were read; positions are in their pixels.
        positions_px: row, column, float64 [n, 2]; (0, 0) is the centre of the
            top left pixel.
        scores: how sure each is, float64 [n]: the probability, or S in
            standard deviations above its mean.
        threshold: the least of them that counted.
        search: what was searched, and with what.
        floor: S that a detection had to exceed as well; -inf for none.
        deviations_px: standard deviations of row and column [px], float64
            [n, 2]; None from a network that gives none, whose scores are no
            probabilities either.
        expected_false: expected number of false ones; None likewise.
        surrogates: detections in each phase-randomised surrogate map, float64
            [s]; None where none was tried.
        physics: further columns, one value an impurity [n], by name.
        notes: all that was done, and what to know about it, warnings among
            them.
        left_out: candidates less sure than the threshold, in the same columns
            and pixels; None from a network that has none.
    """

    maps: ConductanceMaps
    positions_px: np.ndarray
    scores: np.ndarray
    threshold: float
    _: KW_ONLY
    search: Search
    floor: float = -np.inf
    deviations_px: np.ndarray | None = None
    expected_false: float | None = None
    surrogates: np.ndarray | None = None
    physics: Mapping[str, np.ndarray] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    left_out: "Detections | None" = None

    def __len__(self) -> int:
        return len(self.positions_px)

    def placed_in(
        self,
        maps: ConductanceMaps,
        to_px: Callable[[np.ndarray], np.ndarray],
        scale: ArrayLike,
        search: Search,
        notes: tuple[str, ...],
    ) -> "Detections":
        """The same impurities and candidates in pixels of other maps.

        Args:
            maps: the other maps.
            to_px: from positions here to positions there, float64 [n, 2] both.
            scale: pixels there in one pixel here, along rows and columns [2].
            search: what was searched.
            notes: in place of those here.
        """
        left_out, deviations = self.left_out, self.deviations_px
        if left_out is not None:
            left_out = left_out.placed_in(maps, to_px, scale, search, ())
        return replace(
            self,
            maps=maps,
            positions_px=to_px(self.positions_px),
            deviations_px=None
            if deviations is None
            else deviations * np.asarray(scale),
            search=search,
            notes=notes,
            left_out=left_out,
        )

    @property
    def positions_nm(self) -> np.ndarray:
        """The y and x [nm] of each from the top left corner, [n, 2]."""
        return to_nm(self.positions_px, self.maps.pixel_nm)

    @property
    def deviations_nm(self) -> np.ndarray | None:
        """Standard deviations of y and x [nm], [n, 2], where known."""
        if self.deviations_px is None:
            return None
        return self.deviations_px * np.asarray(self.maps.pixel_nm)

    @property
    def gives_probabilities(self) -> bool:
        """Whether `scores` are probabilities."""
        return self.deviations_px is not None

    @property
    def meaning_of_score(self) -> str:
        """What the numbers in the column `score` are."""
        if self.gives_probabilities:
            return "probability of an impurity"
        return "standard deviations of S above its mean"

    @property
    def measured(self) -> np.ndarray:
        """Pixels of `maps` that were searched, bool [H, W].

        Those of the part that are measured, and were not taken out as noise,
        in every map; for a network that bears gaps, in any map.
        """
        part = self.search.levelled
        _, height, width = part.shape
        row, col = self.search.origin_px
        seen = np.zeros(self.maps.shape[1:], dtype=bool)
        searched = self.search.searched(part)
        seen[row : row + height, col : col + width] = searched
        return seen

    @property
    def warnings(self) -> list[str]:
        """The warnings among the notes, each once."""
        return warnings_in(self.notes)

    def columns(self) -> dict[str, np.ndarray]:
        """All columns by name, each [n], in the order of a file."""
        return position_columns(
            self.positions_px,
            self.scores,
            pixel_nm=self.maps.pixel_nm,
            scanner_nm=self.maps.scanner_nm(self.positions_px),
            deviations_nm=self.deviations_nm,
            physics=self.physics,
        )

    def records(self) -> list[dict[str, Any]]:
        """One dictionary an impurity, of plain numbers and words.

        What is not determined of an impurity is None, where columns have NaN.
        """
        columns = {
            name: [_known(value) for value in column.tolist()]
            for name, column in self.columns().items()
        }
        return [
            dict(zip(columns, row, strict=True))
            for row in zip(*columns.values(), strict=True)
        ]

    def match(self, truth_px: ArrayLike, tolerance_px: float) -> Matches:
        """Pairs with known positions; see `match`.

        Args:
            truth_px: row, column [px], float [m, 2].
            tolerance_px: the farthest that a pair may be apart [px].
        """
        return match(self.positions_px, truth_px, tolerance_px)

    def to_csv(self, path: str | Path, notes: Sequence[str] = ()) -> None:
        """Write the table, and beside it what its columns are.

        Args:
            path: the file; see `about_file` for the other.
            notes: lines for the latter, before those of `notes`.

        Raises:
            InputError: where it cannot be written.
        """
        write_table(path, self.columns(), (*notes, *self.notes))

    def to_dataframe(self) -> "pandas.DataFrame":
        """The table as pandas has it, a row an impurity."""
        import pandas

        return pandas.DataFrame(self.columns())

    def plot(self, truth_px: np.ndarray | None = None) -> "Figure":
        """Draw a map, the score S and the positions side by side.

        Args:
            truth_px: row, column of the true positions [px], where they are
                known.

        Returns:
            A figure of Matplotlib, which a notebook shows and `savefig`
            writes.
        """
        from stm_keras.plots import overview

        criterion = f"S > {self.threshold:.3g} std"
        if self.gives_probabilities:
            criterion = f"probability ≥ {self.threshold:.3g}"
        return overview(
            self.search.levelled,
            self.search.score,
            criterion,
            self.marks(truth_px),
        )

    def marks(self, truth_px: np.ndarray | None = None) -> "Marks":
        """What a picture of the part that was searched has drawn on it.

        Args:
            truth_px: see `plot`.
        """
        from stm_keras.plots import Marks

        corner = self.search.origin_nm
        truth_nm = true = None
        if truth_px is not None:
            truth_nm = to_nm(truth_px, self.maps.pixel_nm) - corner
            true = self.are_true(truth_px)
        return Marks(
            self.positions_nm - corner,
            self.deviations_nm,
            truth_nm,
            true,
            kinds=self.physics.get("species"),
        )

    def are_true(self, truth_px: ArrayLike) -> NDArray[np.bool_]:
        """Which have a true position within a pixel of the network.

        Args:
            truth_px: row, column of the true positions [px], [m, 2].

        Returns:
            bool [n].
        """
        pixel_nm = np.mean(self.search.maps.pixel_nm)
        tolerance_px = float(pixel_nm / np.mean(self.maps.pixel_nm))
        right = np.zeros(len(self), dtype=bool)
        right[self.match(truth_px, tolerance_px).pairs[:, 0]] = True
        return right

    def report(
        self,
        path: str | Path | None = None,
        truth_px: ArrayLike | None = None,
    ) -> "Report":
        """The report page, as `stmk predict` writes it.

        Args:
            path: an HTML file to write it to; None writes nothing.
            truth_px: row, column of the true positions [px], where they are
                known.

        Returns:
            The page, which a notebook shows and `save` writes.

        Raises:
            InputError: where the file cannot be written.
        """
        # By name: results are built upon this table, not it upon them.
        page = import_module("stm_keras.results.report")
        report = page.report_of(self, truth_px)
        if path is not None:
            report.save(path)
        return report

    def _repr_html_(self) -> str:
        """The surest of the table, as a notebook shows it, and warnings."""
        about = [f"{len(self)} impurities in {self.maps.source}"]
        if self.expected_false is not None:
            about.append(f"expected to be false: {self.expected_false:.2g}")
        about += [f"Warning: {line}" for line in self.warnings]
        if len(self) > _MOST_ROWS:
            about.append(
                f"The {_MOST_ROWS} surest follow; to_dataframe() has all."
            )
        return html_lines(about) + html_table(self.columns(), _MOST_ROWS)


_MOST_ROWS = 50
"""That a notebook shows."""


_WARNING = "warning: "


def warnings_in(notes: Iterable[str]) -> list[str]:
    """The warnings among notes, each once, without the word "warning".

    Args:
        notes: lines of `provenance` and of what followed.
    """
    return list(
        dict.fromkeys(
            note.removeprefix(_WARNING)
            for note in notes
            if note.startswith(_WARNING)
        )
    )
