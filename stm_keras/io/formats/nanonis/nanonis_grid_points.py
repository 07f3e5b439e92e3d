"""The records of a Nanonis grid: read a few columns at a time."""

import math
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.nanonis.nanonis_grid_header import (
    SAMPLE_BYTES,
    GridHeader,
)
from stm_keras.io.recording import as_seen
from stm_keras.io.si_units import NM_PER_M

_SAMPLE = ">f4"
# What the maps of an unfinished grid may take up beyond twice its records'
# size [byte].
_SPARE_BYTES = 1 << 16
_LONG_RECORD = 1 << 14  # of which it pays to read a part alone [byte]
_BLOCK_BYTES = 1 << 18


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
