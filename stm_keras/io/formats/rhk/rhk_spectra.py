"""Bias sweeps of an RHK file that were taken on a grid, as maps.

A page of spectra holds them in the order in which they were taken, each with
the place of the tip, and several at one place where the sweep was repeated;
every other sweep then runs backward, and is kept in the forward one's order.
"""

import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.rhk.rhk_pages import Page
from stm_keras.io.formats.rhk.rhk_units import si_unit
from stm_keras.io.options import Direction
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel

_N_POSITION = 7  # float32 numbers a spectrum: time, x, y, drift
_SAME_LEVEL = 1e-3  # of the grid's length: places on one line of it
_EVEN = 0.1  # how far lines may lie from even distances, in distances


@dataclass(frozen=True, eq=False)
class Grid:
    """Places of spectra.

    Attributes:
        shape: rows and columns.
        rows: row of each place, int [n], 0 the top of the frame.
        columns: column of each place, int [n].
        repeats: number of spectra at each place.
        extent_nm: height and width, half a step beyond the outer places.
        placement: of the grid.
    """

    shape: tuple[int, int]
    rows: NDArray[np.intp]
    columns: NDArray[np.intp]
    repeats: int
    extent_nm: tuple[float, float]
    placement: Placement


def find_grid(path: Path, page: Page, angle_deg: float | None) -> Grid | None:
    """The grid on which the spectra of a page were taken.

    Args:
        path: the file.
        page: a page of spectra.
        angle_deg: of the image that was scanned with them; None where there
            is none, and the page's own counts.

    Returns:
        None where they were taken elsewhere: at a point, along a line.

    Raises:
        InputError: where the file was cut short since its header was read.
    """
    places = _places_nm(path, page)
    found = None if places is None else _distinct(places)
    if found is None:
        return None
    distinct, repeats = found
    angle = page.angle_deg if angle_deg is None else angle_deg
    turn = math.radians(angle) if math.isfinite(angle) else 0.0
    x, y = distinct.T
    right = x * math.cos(turn) + y * math.sin(turn)
    up = y * math.cos(turn) - x * math.sin(turn)
    cells = _cells(right, up)
    if cells is None:
        return None
    shape, rows, columns = cells
    height, middle_up = _side(up, shape[0])
    width, middle_right = _side(right, shape[1])
    centre = (
        middle_right * math.cos(turn) - middle_up * math.sin(turn),
        middle_right * math.sin(turn) + middle_up * math.cos(turn),
    )
    placed = Placement(centre, math.degrees(turn))
    return Grid(shape, rows, columns, repeats, (height, width), placed)


def spectra_channels(
    path: Path, page: Page, grid: Grid, name: str
) -> list[Channel]:
    """The sweeps of a page, one channel a direction.

    With an even number of spectra at each place, every other is a backward
    sweep; repetitions of one direction are averaged.
    """
    unit, _ = si_unit(page.texts["z units"])
    _, of_bias = si_unit(page.texts["x units"] or "V")
    steps = np.arange(page.columns, dtype=np.float64)
    bias = np.asarray(
        (page.offsets[0] + steps * page.scales[0]) * of_bias, dtype=np.float64
    )
    both = grid.repeats % 2 == 0
    kept = grid.repeats // 2 if both else grid.repeats
    directions: list[Direction] = ["forward", "backward"]
    return [
        Channel(
            name,
            unit,
            bias,
            partial(_read_sweeps, path, page, grid, start, 2 if both else 1),
            direction,
            sweep=True,
            note=f"mean of {kept} sweeps at each place" if kept > 1 else "",
        )
        for start, direction in enumerate(directions[: 1 + both])
    ]


def _places_nm(path: Path, page: Page) -> NDArray[np.float64] | None:
    """X and y of each spectrum [nm], [n, 2]; None where they are not kept."""
    if not page.positions_offset or page.rows < 4:
        return None
    content = _read(path, page.positions_offset, page.rows * _N_POSITION)
    numbers = np.frombuffer(content, "<f4").reshape(-1, _N_POSITION)
    places = numbers[:, 1:3].astype(np.float64) * 1e9
    return places if np.isfinite(places).all() else None


def _distinct(
    places: NDArray[np.float64],
) -> tuple[NDArray[np.float64], int] | None:
    """Each place once, and how many spectra were taken at every one."""
    moved = np.flatnonzero(np.any(np.diff(places, axis=0) != 0, axis=1)) + 1
    starts = np.concatenate([[0], moved])
    counts = np.diff(np.append(starts, len(places)))
    if counts[-1] < counts[0]:  # stopped between the sweeps of a place
        starts, counts = starts[:-1], counts[:-1]
    if len(starts) < 4 or np.any(counts != counts[0]):
        return None
    return places[starts], int(counts[0])


def _cells(
    right: NDArray[np.float64], up: NDArray[np.float64]
) -> tuple[tuple[int, int], NDArray[np.intp], NDArray[np.intp]] | None:
    """Shape of the grid, and each place's row and column in it."""
    columns, rows = _levels(right), _levels(-up)
    if columns is None or rows is None:
        return None
    shape = int(rows.max()) + 1, int(columns.max()) + 1
    cells = rows * shape[1] + columns
    if min(shape) < 2 or len(np.unique(cells)) < len(cells):
        return None
    if shape[0] * shape[1] > 2 * len(cells):  # not even half of it
        return None
    return shape, rows, columns


def _levels(along: NDArray[np.float64]) -> NDArray[np.intp] | None:
    """Number of the evenly spaced line on which each place lies."""
    ordered = np.sort(along)
    span = ordered[-1] - ordered[0]
    gaps = np.diff(ordered)
    n = int(np.count_nonzero(gaps > _SAME_LEVEL * span))
    if not n or not 0 < span < math.inf:
        return None
    numbers = (along - ordered[0]) * (n / span)
    levels = np.rint(numbers)
    if np.abs(numbers - levels).max() > _EVEN:
        return None
    return levels.astype(np.intp)


def _side(along: NDArray[np.float64], n: int) -> tuple[float, float]:
    """Length of the grid's side and its middle [nm]."""
    least, most = float(along.min()), float(along.max())
    return (most - least) * n / (n - 1), (most + least) / 2


def _read_sweeps(
    path: Path, page: Page, grid: Grid, start: int, step: int
) -> NDArray[np.float32]:
    """The sweeps of one direction in SI units: float32 [V, H, W]."""
    content = _read(path, page.data_offset, page.rows * page.columns)
    n = len(grid.rows)
    counts = np.frombuffer(content, "<i4").reshape(page.rows, page.columns)
    counts = counts[: n * grid.repeats].reshape(n, grid.repeats, page.columns)
    _, factor = si_unit(page.texts["z units"])
    maps = np.full((page.columns, *grid.shape), np.nan, dtype=np.float32)
    scale, offset = page.scales[2] * factor, page.offsets[2] * factor
    with np.errstate(over="ignore", invalid="ignore"):
        for place, sweeps in enumerate(counts[:, start::step]):
            values = sweeps.mean(axis=0) * scale + offset
            maps[:, grid.rows[place], grid.columns[place]] = values
    return maps


def _read(path: Path, offset: int, n_samples: int) -> bytes:
    size = 4 * n_samples
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) != size:
        raise InputError(f"{path}: cut short while it was read. Try again.")
    return content
