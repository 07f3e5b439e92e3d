"""Nanonis scan files (.sxm): a text header, then float32 images.

For every line of the header's table DATA_INFO the file holds its images,
forward before backward, in the order of acquisition. A scan "up" begins with
the bottom line of the frame, and a backward image holds its lines from right
to left; here row 0 is the top and column 0 the left edge of the frame,
whichever way the tip went.
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.nanonis.nanonis_header import (
    SAMPLE_BYTES,
    Header,
    read_header,
)
from stm_keras.io.formats.nanonis.nanonis_passes import PassStack, stacks
from stm_keras.io.formats.nanonis.nanonis_text import (
    common_metadata,
    finite_number,
)
from stm_keras.io.recording import Channel, Recording, as_seen, printable


def open_sxm(path: Path) -> Recording:
    """Read the header of a Nanonis scan.

    Args:
        path: the file.

    Returns:
        Channels of one map each, or of one map a pass where the passes of a
        multi-pass scan had each another bias. Lines that were not scanned
        are NaN.

    Raises:
        InputError: for a damaged or truncated file, one that is still being
            written, or one whose header does not fit its size.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        header = read_header(file, path)
    found, notes = stacks(header.channels, header.fields)
    return Recording(
        source=str(path),
        format="Nanonis scan",
        shape=header.shape,
        extent_nm=header.extent_nm,
        channels=tuple(
            Channel(
                stack.name,
                stack.unit,
                stack.bias_v,
                partial(_read_maps, path, header, stack),
                stack.direction,
                lock_in_off=header.lock_in_off,
                note=printable(stack.note),
            )
            for stack in found
        ),
        placement=header.placement,
        metadata=_metadata(path, header),
        notes=(*notes, *_unfinished(path, header)),
    )


def _read_maps(
    path: Path, header: Header, stack: PassStack
) -> NDArray[np.float32]:
    """Images as seen, row 0 the frame's top: float32 [V, H, W], SI."""
    maps = np.empty((len(stack.images), *header.shape), np.float32)
    for index, image in enumerate(stack.images):
        maps[index] = _read_image(path, header, image.block)
    if stack.factor != 1:
        with np.errstate(over="ignore", invalid="ignore"):
            maps *= np.float32(stack.factor)
    return as_seen(
        maps, upwards=header.upwards, backward=stack.direction == "backward"
    )


def _read_image(path: Path, header: Header, block: int) -> np.ndarray:
    """One image in the order of acquisition, [H, W]."""
    rows, columns = header.shape
    size = rows * columns * SAMPLE_BYTES
    with path.open("rb") as file:
        file.seek(header.data_start + block * size)
        content = file.read(size)
    if len(content) != size:
        raise InputError(f"{path}: cut short while it was read. Try again.")
    return np.frombuffer(content, header.dtype).reshape(rows, columns)


def _unfinished(path: Path, header: Header) -> list[str]:
    """A warning where lines were not scanned, as the first image tells."""
    lines = _read_image(path, header, 0)
    n_scanned = int(np.count_nonzero(~np.isnan(lines).all(axis=1)))
    if n_scanned == len(lines):
        return []
    return [f"warning: unfinished: {n_scanned} of {len(lines)} lines scanned"]


def _metadata(path: Path, header: Header) -> dict[str, str]:
    fields = header.fields
    date = f"{fields.get('REC_DATE', '')} {fields.get('REC_TIME', '')}"
    duration = finite_number(fields.get("ACQ_TIME"))
    found = {
        "title": path.stem,
        "date": " ".join(date.split()),
        "duration": "" if duration is None else f"{duration:g} s",
        "scan direction": fields.get("SCAN_DIR", "").strip(),
    }
    told = {name: printable(text) for name, text in found.items() if text}
    return told | common_metadata(fields)
