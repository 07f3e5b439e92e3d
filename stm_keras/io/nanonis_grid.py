"""The file of a Nanonis grid (.3ds): its header, and its records of points.

Lines `key=value`, values of several words in quotes, up to `:HEADER_END:`.
Then follows one record a point, in the order of the measurement: parameters,
then every channel's sweep, all big-endian float32.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.maps import checked_extent
from stm_keras.io.nanonis_text import (
    Signal,
    decoded,
    parse_signal,
    read_head,
)
from stm_keras.io.placement import Placement
from stm_keras.io.recording import as_seen
from stm_keras.io.units import NM_PER_M, finite_number

SAMPLE_BYTES = 4
_HEADER_END = re.compile(rb"(?:^|\n):HEADER_END:(\r?\n)")
_GRID_DIM = re.compile(r"\s*([0-9]{1,9})\s*[xX]\s*([0-9]{1,9})\s*")
_COUNT = re.compile(r"\s*[0-9]{1,15}\s*")

_SAMPLE = ">f4"
# What the maps of an unfinished grid may take up beyond twice its records'
# size [byte].
_SPARE_BYTES = 1 << 16
_LONG_RECORD = 1 << 14  # of which it pays to read a part alone [byte]
_BLOCK_BYTES = 1 << 18


@dataclass(frozen=True)
class GridHeader:
    """What a grid says of itself, checked against the file's size.

    Attributes:
        fields: text by key, such as "Filetype"; the first of equal keys.
        data_start: offset of the first record [byte].
        shape: rows and columns of points.
        n_points: points of every sweep.
        parameters: what begins every record, fixed ones first.
        channels: what was swept, in the order of the record.
        n_held: whole records that the file holds; fewer than the grid has
            points where it was stopped.
        extent_nm: height and width of the frame whose pixels' centres are
            the points [nm].
        is_line: whether the points lie on a line, which has no height.
        placement: where the frame lies.
    """

    fields: dict[str, str]
    data_start: int
    shape: tuple[int, int]
    n_points: int
    parameters: tuple[Signal, ...]
    channels: tuple[Signal, ...]
    n_held: int
    extent_nm: tuple[float, float]
    is_line: bool
    placement: Placement

    @property
    def record_bytes(self) -> int:
        """Size of one point's record [byte]."""
        return SAMPLE_BYTES * (
            len(self.parameters) + len(self.channels) * self.n_points
        )

    @property
    def sweep_signal(self) -> Signal:
        """What was swept at every point."""
        return parse_signal(self.fields.get("Sweep Signal", ""))


def read_grid_header(file: BinaryIO, path: Path) -> GridHeader:
    """Read a grid's header and check it against the file's size.

    Args:
        file: the open file.
        path: its name, for messages.

    Raises:
        InputError: where a field is missing or no sense can be made of it,
            or where the records it promises do not fit the file.
        OSError: where the file cannot be read.
    """
    head, size = read_head(file)
    end = _HEADER_END.search(head)
    if end is None:
        raise _damaged(path, "its header has no end")
    fields = _parse_fields(decoded(head[: end.start()]), end.group(1).decode())
    shape = _shape(fields, path)
    extent_nm, placement, is_line = _frame(fields, shape, path)
    header = GridHeader(
        fields=fields,
        data_start=end.end(),
        shape=shape,
        n_points=_count(fields, "Points", path),
        parameters=_parameters(fields, path),
        channels=_channels(fields, path),
        n_held=0,
        extent_nm=extent_nm,
        is_line=is_line,
        placement=placement,
    )
    n_held = _held_records(header, size - end.end(), path)
    return replace(header, n_held=n_held)


def _parse_fields(text: str, newline: str) -> dict[str, str]:
    """The header's values by key, without their quotes."""
    fields: dict[str, str] = {}
    lines = iter(text.split(newline))
    for line in lines:
        key, found, value = line.partition("=")
        # A quoted comment may go on over several lines.
        while value.startswith('"') and not _is_closed(value):
            more = next(lines, None)
            if more is None:
                break
            value += f"\n{more}"
        if found:
            fields.setdefault(key.strip(), value.strip().strip('"'))
    return fields


def _is_closed(value: str) -> bool:
    return len(value) > 1 and value.rstrip().endswith('"')


def _shape(fields: dict[str, str], path: Path) -> tuple[int, int]:
    """Rows and columns; the header names the columns first."""
    match = _GRID_DIM.fullmatch(fields.get("Grid dim", ""))
    if match is None or not int(match.group(1)) * int(match.group(2)):
        raise _damaged(path, "Grid dim is not two whole numbers")
    return int(match.group(2)), int(match.group(1))


def _parameters(fields: dict[str, str], path: Path) -> tuple[Signal, ...]:
    names = [
        *_listed(fields.get("Fixed parameters", "")),
        *_listed(fields.get("Experiment parameters", "")),
    ]
    promised = _count(fields, "# Parameters (4 byte)", path)
    if promised != len(names):
        raise _damaged(
            path, f"it names {len(names)} of {promised} parameters a point"
        )
    return tuple(parse_signal(name) for name in names)


def _channels(fields: dict[str, str], path: Path) -> tuple[Signal, ...]:
    names = _listed(fields.get("Channels", ""))
    if not names:
        raise _damaged(path, "it lists no channel")
    return tuple(parse_signal(name) for name in names)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(";")] if text.strip() else []


def _count(fields: dict[str, str], key: str, path: Path) -> int:
    text = fields.get(key, "")
    if not _COUNT.fullmatch(text):
        raise _damaged(path, f"{key} is no whole number")
    return int(text)


def _frame(
    fields: dict[str, str], shape: tuple[int, int], path: Path
) -> tuple[tuple[float, float], Placement, bool]:
    """Extent [nm], placement, and whether it is a line.

    The points are the centres of equal cells that fill the frame. Those of a
    line begin and end it, so that its pixels reach beyond by half of one.
    Angles count clockwise in the header.
    """
    words = _listed(fields.get("Grid settings", ""))
    values = [n for n in map(finite_number, words) if n is not None]
    if len(values) != len(words) or len(words) != 5:
        raise _damaged(path, "Grid settings are not five numbers")
    x, y, width, height = (value * NM_PER_M for value in values[:4])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise _damaged(path, "Grid settings lie beyond all bounds")
    rows, columns = shape
    is_line = rows == 1 and columns > 1 and height == 0
    if is_line:
        width *= columns / (columns - 1)
        height = width / columns
    extent = checked_extent(f"{path} (Grid settings)", (height, width))
    # Minus nothing is nothing, not -0.
    return extent, Placement((x, y), 0.0 - values[4]), is_line


def _held_records(header: GridHeader, size: int, path: Path) -> int:
    """How many whole records lie in the file."""
    rows, columns = header.shape
    promised_sweeps = _count(header.fields, "Experiment size (bytes)", path)
    sweeps = len(header.channels) * header.n_points * SAMPLE_BYTES
    if promised_sweeps != sweeps or header.n_points < 1:
        raise _damaged(
            path,
            f"its {len(header.channels)} channels of {header.n_points} points "
            f"make {sweeps} bytes, not {promised_sweeps}",
        )
    promised = rows * columns * header.record_bytes
    if size > promised:
        raise _damaged(
            path, f"it promises {promised} bytes of data and holds {size}"
        )
    n_held = size // header.record_bytes
    if n_held < 1:
        raise _damaged(path, f"it holds none of its {rows * columns} points")
    return n_held


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(
        f"{path}: not a readable Nanonis grid: {fault}. It is truncated, "
        "damaged or still being written: copy it again."
    )


@dataclass(frozen=True, eq=False)
class GridPoints:
    """The measured points of a grid.

    Attributes:
        path: the file.
        header: its header, with the frame cut to the rows that are kept.
        parameters: of every measured point, in the order of the measurement,
            float32 [n, P], in the header's units.
        whole_shape: rows and columns of the grid as it was to be.
    """

    path: Path
    header: GridHeader
    parameters: NDArray[np.float32]
    whole_shape: tuple[int, int]

    @property
    def n_measured(self) -> int:
        """Number of measured points; the grid's first ones."""
        return len(self.parameters)

    def parameter(self, name: str) -> NDArray[np.float64] | None:
        """A parameter by its name without unit, float64 [n], SI.

        None where the grid does not have it, or not of every point.
        """
        for signal, values in zip(
            self.header.parameters, self.parameters.T, strict=True
        ):
            if signal.name.lower() == name.lower():
                found = _doubled(values) * signal.factor
                return found if np.isfinite(found).all() else None
        return None

    def parameter_image(self, index: int) -> NDArray[np.float32]:
        """A parameter as an image: float32 [1, H, W], SI, as seen."""
        factor = self.header.parameters[index].factor
        return self._as_seen(self.parameters[:, index : index + 1], factor)

    def sweeps(self, index: int) -> NDArray[np.float32]:
        """A channel's sweeps: float32 [V, H, W], SI, as seen.

        Raises:
            InputError: where the file was cut short in the meantime.
            OSError: where it cannot be read.
        """
        n = self.header.n_points
        first = len(self.header.parameters) + index * n
        values = _read_columns(
            self.path, self.header, first, n, self.n_measured
        )
        return self._as_seen(values, self.header.channels[index].factor)

    def first_sweep(self, index: int) -> NDArray[np.float64]:
        """A channel's sweep at the first point, float64 [V], SI."""
        n = self.header.n_points
        first = len(self.header.parameters) + index * n
        values = _read_columns(self.path, self.header, first, n, 1)[0]
        return _doubled(values) * self.header.channels[index].factor

    def off_grid_px(self) -> float | None:
        """How far a point's own X and Y lie from its pixel, at most [px].

        None where the grid does not record X and Y.
        """
        x, y = self.parameter("X"), self.parameter("Y")
        if x is None or y is None:
            return None
        rows, columns = self.header.shape
        row, column = np.divmod(np.arange(len(x)), columns)
        height, width = self.header.extent_nm
        down, right = height / rows, width / columns
        # The first point is the frame's bottom left.
        places = np.stack(
            [(rows - row - 0.5) * down, (column + 0.5) * right], axis=1
        )
        expected = self.header.placement.to_scanner(places, (height, width))
        away = np.stack([x, y], axis=1) * NM_PER_M - expected
        return float(np.hypot(*away.T).max() / min(down, right))

    def _as_seen(
        self, values: np.ndarray, factor: float
    ) -> NDArray[np.float32]:
        """Values of the measured points [n, V] as maps [V, H, W]."""
        rows, columns = self.header.shape
        maps = np.full((values.shape[1], rows * columns), np.nan, np.float32)
        maps[:, : len(values)] = values.T
        if factor != 1:
            with np.errstate(over="ignore", invalid="ignore"):
                maps *= np.float32(factor)
        maps = maps.reshape(-1, rows, columns)
        return as_seen(maps, upwards=True, backward=False)


def read_grid_points(path: Path, header: GridHeader) -> GridPoints:
    """Find the measured points of a grid.

    A grid is written point by point: one that was stopped is either short or
    ends with records of zeros. Missing points are NaN; where that would take
    several times the room of the file, only the rows with points are kept.

    Raises:
        InputError: where the points are too few to make maps of, or the file
            was cut short in the meantime.
        OSError: where it cannot be read.
    """
    n_parameters = len(header.parameters)
    parameters = _read_columns(path, header, 0, n_parameters, header.n_held)
    n_measured = header.n_held
    if n_parameters:
        written = np.flatnonzero((parameters != 0).any(axis=1))
        n_measured = int(written[-1]) + 1 if written.size else 0
    measured = parameters[:n_measured].astype(np.float32)
    part = _with_room(path, header, n_measured)
    return GridPoints(path, part, measured, header.shape)


def _with_room(path: Path, header: GridHeader, n_measured: int) -> GridHeader:
    """The whole grid, or the lower rows of one that was hardly begun."""
    rows, columns = header.shape
    room = 2 * header.n_held * header.record_bytes + _SPARE_BYTES
    line_bytes = columns * header.n_points * SAMPLE_BYTES
    n_rows = rows
    if rows * line_bytes > room:
        n_rows = math.ceil(n_measured / columns)
    if not n_measured or n_rows * line_bytes > room:
        raise InputError(
            f"{path}: too few points to make maps of: {n_measured} of "
            f"{rows * columns} are measured. Wait until the grid is finished."
        )
    height, width = header.extent_nm
    left_out_nm = height * (rows - n_rows) / rows
    return replace(
        header,
        shape=(n_rows, columns),
        extent_nm=(height - left_out_nm, width),
        placement=header.placement.moved(left_out_nm / 2, 0.0),
    )


def _doubled(values: np.ndarray) -> NDArray[np.float64]:
    """As float64, in silence where a damaged number is no number."""
    with np.errstate(invalid="ignore"):
        return values.astype(np.float64)


def _read_columns(
    path: Path, header: GridHeader, first: int, count: int, n_records: int
) -> np.ndarray:
    """Some values of the first records: big-endian float32 [n, count]."""
    values = np.empty((n_records, count), _SAMPLE)
    size, step, length = header.record_bytes, 1, count * SAMPLE_BYTES
    start, skipped = first * SAMPLE_BYTES, 0
    if size <= _LONG_RECORD:
        # Read whole, many at once; of a long record, the part alone.
        step, length = max(1, _BLOCK_BYTES // size), size
        start, skipped = 0, first
    with path.open("rb", buffering=0) as file:
        for index in range(0, n_records if count else 0, step):
            n = min(step, n_records - index)
            file.seek(header.data_start + index * size + start)
            content = file.read(n * length)
            if len(content) != n * length:
                raise InputError(
                    f"{path}: cut short while it was read. Try again."
                )
            block = np.frombuffer(content, _SAMPLE).reshape(n, -1)
            values[index : index + n] = block[:, skipped : skipped + count]
    return values
