"""Images of an RHK file: which belong together, and their maps."""

import math
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.rhk.rhk_pages import Page
from stm_keras.io.formats.rhk.rhk_units import page_bias_v, si_unit
from stm_keras.io.options import Direction
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, as_seen, printable

_PAGE_NAMES = {1: "Topography", 2: "Current", 3: "Aux"}
_VERTICAL = "the fast scan ran up and down"


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
    done = int(text) if text.isdecimal() and len(text) < 10 else page.rows
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
