"""RHK files (.sm4): images of both directions, and spectra on a grid.

An image is kept as signed counts [rows, columns]. The signs of its scales
tell how: with a negative scale the first column is the right edge, with a
positive one the first row is the bottom of the frame; that holds for both
scan directions. Checked against the feedback's lag in a real file: in the
picture, the forward tip runs to the right.

A page of spectra holds them in the order in which they were taken, each with
the place of the tip, and several at one place where the sweep was repeated;
every other sweep then runs backward, and is kept in the forward one's order.
"""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.placement import Placement
from stm_keras.io.recording import (
    Channel,
    Direction,
    Recording,
    as_seen,
    printable,
)
from stm_keras.io.rhk_pages import IMAGE, Page, page_bias_v, read_pages, si_unit

_PAGE_NAMES = {1: "Topography", 2: "Current", 3: "Aux"}
_VERTICAL = "the fast scan ran up and down"

_N_POSITION = 7  # float32 numbers a spectrum: time, x, y, drift
_SAME_LEVEL = 1e-3  # of the grid's length: places on one line of it
_EVEN = 0.1  # how far lines may lie from even distances, in distances

# Fourier transforms, noise spectra and autocorrelations are no places.
_DERIVED_TYPES = (6, 7, 17, 24)
_SAME_EXTENT = 0.05


def image_channels(
    path: Path, pages: Sequence[Page]
) -> tuple[tuple[Channel, ...], list[str]]:
    """One channel a name and direction, and notes on unfinished images."""
    same: dict[tuple[str, Direction], list[Page]] = {}
    for page in pages:
        same.setdefault((page_name(page), _direction(page)), []).append(page)
    channels = []
    for (name, direction), stack in same.items():
        biases = [page_bias_v(page) for page in stack]
        if len(set(biases)) == len(stack) and np.isfinite(biases).all():
            order = np.argsort(biases)
            stacks = [[stack[index] for index in order]]
        else:  # one bias twice: they stay apart
            stacks = [[page] for page in stack]
        for number, parts in enumerate(stacks, 1):
            label = name if number == 1 else f"{name} #{number}"
            channels.append(_image_channel(path, label, direction, parts))
    lines = {_n_lines(page) for page in pages if _n_lines(page) < page.rows}
    notes = [
        f"warning: unfinished: {done} of {pages[0].rows} lines were scanned"
        for done in sorted(lines)
    ]
    return tuple(channels), notes


def _image_channel(
    path: Path, name: str, direction: Direction, pages: Sequence[Page]
) -> Channel:
    unit, _ = si_unit(pages[0].texts["z units"])
    return Channel(
        name,
        unit,
        np.array([page_bias_v(page) for page in pages]),
        partial(_read_images, path, tuple(pages)),
        direction,
        note=_VERTICAL if pages[0].scan_type in (2, 3) else "",
    )


def _read_images(path: Path, pages: tuple[Page, ...]) -> NDArray[np.float32]:
    """Images as seen, in SI units: float32 [V, H, W]."""
    shape = pages[0].rows, pages[0].columns
    stack = np.empty((len(pages), *shape), dtype=np.float32)
    with path.open("rb") as file:
        for image, page in zip(stack, pages, strict=True):
            file.seek(page.data_offset)
            content = file.read(image.nbytes)
            if len(content) != image.nbytes:
                raise InputError(f"{path}: cut short while it was read.")
            counts = np.frombuffer(content, "<i4").reshape(shape)
            _, factor = si_unit(page.texts["z units"])
            with np.errstate(over="ignore", invalid="ignore"):
                np.multiply(counts, page.scales[2] * factor, out=image)
                image += np.float32(page.offsets[2] * factor)
            image[_n_lines(page) :] = np.nan
            image[:] = as_seen(
                image.copy(),
                upwards=page.scales[1] > 0,
                backward=page.scales[0] < 0,
            )
    return stack


def frame_of(page: Page) -> tuple[int | float, ...]:
    """What two images share that show the same place."""
    size = (page.rows, page.columns, *page.scales[:2])
    return (*size, *page.offsets[:2], page.angle_deg)


def page_name(page: Page) -> str:
    """The name of what a page holds, or of its kind where it has none."""
    label = printable(page.texts["label"])
    return label or _PAGE_NAMES.get(page.page_type, f"page {page.page_type}")


def _direction(page: Page) -> Direction:
    return "backward" if page.scan_type in (1, 3) else "forward"


def _n_lines(page: Page) -> int:
    """Lines that were scanned, of an image."""
    text = page.texts["completed lines"]
    done = int(text) if re.fullmatch("[0-9]{1,9}", text) else page.rows
    return done if 0 < done < page.rows else page.rows


def page_extent_nm(page: Page) -> tuple[float, float] | None:
    """Height and width of the frame [nm]; None where they are not known."""
    _, of_x = si_unit(page.texts["x units"] or "m")
    _, of_y = si_unit(page.texts["y units"] or "m")
    height = abs(page.rows * page.scales[1] * of_y) * 1e9
    width = abs(page.columns * page.scales[0] * of_x) * 1e9
    known = math.isfinite(height * width) and height * width > 0
    return (height, width) if known else None


def page_placement(page: Page) -> Placement | None:
    """Where the frame lies; the offsets are those of its centre."""
    _, of_x = si_unit(page.texts["x units"] or "m")
    _, of_y = si_unit(page.texts["y units"] or "m")
    centre = page.offsets[0] * of_x * 1e9, page.offsets[1] * of_y * 1e9
    if not all(map(math.isfinite, (*centre, page.angle_deg))):
        return None
    return Placement(centre, page.angle_deg)


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
    content = _samples(path, page.positions_offset, page.rows * _N_POSITION)
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
    content = _samples(path, page.data_offset, page.rows * page.columns)
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


def _samples(path: Path, offset: int, n_samples: int) -> bytes:
    size = 4 * n_samples
    with path.open("rb") as file:
        file.seek(offset)
        content = file.read(size)
    if len(content) != size:
        raise InputError(f"{path}: cut short while it was read. Try again.")
    return content


def open_sm4(path: Path) -> Recording:
    """Read the headers of an RHK file.

    Args:
        path: the file.

    Returns:
        Channels of one map each, or of as many as there are images of that
        name at different biases; where spectra were taken on a grid, their
        bias sweeps, and those images that have the grid's shape. Lines that
        were not scanned and spectra that were not taken are NaN.

    Raises:
        InputError: for a damaged or truncated file, one of an older version,
            or one without maps.
        OSError: where the file cannot be read.
    """
    pages = read_pages(path)
    images = [page for page in pages if _is_map(page)]
    sweeps = [page for page in pages if page.kind != IMAGE]
    angle = images[0].angle_deg if images else None
    grids = [(page, find_grid(path, page, angle)) for page in sweeps]
    on_grid = [(page, grid) for page, grid in grids if grid is not None]
    notes = []
    if len(on_grid) < len(sweeps):
        notes.append(
            f"{len(sweeps) - len(on_grid)} sets of spectra left out: not taken "
            "on a grid"
        )
    if on_grid:
        return _of_grid(path, on_grid, images, notes)
    if not images:
        raise InputError(
            f"{path}: no image and no grid of spectra in it. Export single "
            "spectra elsewhere; maps are needed here."
        )
    return _of_images(path, images, notes)


def _is_map(page: Page) -> bool:
    derived = page.page_type in _DERIVED_TYPES or page.image_type != 0
    return page.kind == IMAGE and not derived


def _of_images(
    path: Path, images: Sequence[Page], notes: list[str]
) -> Recording:
    """A recording of those images that show the most common frame."""
    frame, _ = Counter(map(frame_of, images)).most_common(1)[0]
    shown = [page for page in images if frame_of(page) == frame]
    if others := [page for page in images if frame_of(page) != frame]:
        names = ", ".join(dict.fromkeys(map(page_name, others)))
        notes.append(f"images of another frame left out: {names}")
    channels, unfinished = image_channels(path, shown)
    first = shown[0]
    return Recording(
        source=str(path),
        format="RHK SM4 file",
        shape=(first.rows, first.columns),
        extent_nm=page_extent_nm(first),
        channels=channels,
        placement=page_placement(first),
        metadata=_metadata(first),
        notes=(*notes, *unfinished),
    )


def _of_grid(
    path: Path,
    on_grid: Sequence[tuple[Page, Grid]],
    images: Sequence[Page],
    notes: list[str],
) -> Recording:
    """A recording of the spectra on the first grid, and what fits to it."""
    _, grid = on_grid[0]
    channels: list[Channel] = []
    for page, other in on_grid:
        if other.shape == grid.shape:
            channels += spectra_channels(path, page, other, page_name(page))
    fitting = [page for page in images if _fits(page, grid)]
    of_images, _ = image_channels(path, fitting)
    taken = {channel.name for channel in channels}
    channels += [c for c in of_images if c.name not in taken]
    if len(fitting) < len(images):
        notes.append("images of another size than the grid's left out")
    if missing := grid.shape[0] * grid.shape[1] - len(grid.rows):
        notes.append(f"warning: unfinished: {missing} spectra were not taken")
    return Recording(
        source=str(path),
        format="RHK SM4 file",
        shape=grid.shape,
        extent_nm=grid.extent_nm,
        channels=tuple(channels),
        placement=grid.placement,
        metadata=_metadata(on_grid[0][0]),
        notes=tuple(notes),
    )


def _fits(page: Page, grid: Grid) -> bool:
    extent = page_extent_nm(page)
    return (page.rows, page.columns) == grid.shape and (
        extent is not None and np.allclose(extent, grid.extent_nm, _SAME_EXTENT)
    )


def _metadata(page: Page) -> dict[str, str]:
    texts = page.texts
    found = {
        "date": f"{texts['date']} {texts['time']}".strip(),
        "set point": f"{page.set_point_a:g} A",
        "session": texts["session text"],
        "comment": texts["user text"],
    }
    return {name: printable(text) for name, text in found.items() if text}
