"""RHK files (.sm4): images of both directions, and spectra on a grid.

An image is kept as signed counts [rows, columns]. The signs of its scales
tell how: with a negative scale the first column is the right edge, with a
positive one the first row is the bottom of the frame; that holds for both
scan directions. Checked against the feedback's lag in a real file: in the
picture, the forward tip runs to the right.
"""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.formats.rhk.rhk_images import (
    frame_of,
    image_channels,
    page_extent_nm,
    page_name,
    page_placement,
)
from stm_keras.io.formats.rhk.rhk_pages import IMAGE, Page, read_pages
from stm_keras.io.formats.rhk.rhk_spectra import (
    Grid,
    find_grid,
    spectra_channels,
)
from stm_keras.io.recording import Channel, Recording, printable

# Fourier transforms, noise spectra and autocorrelations are no places.
_DERIVED_TYPES = (6, 7, 17, 24)
_SAME_EXTENT = 0.05


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
