"""Createc images (.dat): a text header of 16 kB, then images in counts.

The header's first line tells how the images are kept: "[Paramco32]" float32
in one zlib stream, "[Paramet32]" the same unpacked, "[Parameter]" int16; all
little-endian. One unused number comes first. Then follow, each [rows,
columns] with row 0 the top of the frame, all quantities of the forward
direction and, where recorded, all of the backward direction. A backward image
is kept with its left edge first, as the forward one is.
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.createc.createc_header import (
    HEADER_BYTES,
    Fields,
    bias_v,
    frame_extent_nm,
    placement,
)
from stm_keras.io.formats.createc.createc_planes import (
    Layout,
    find_layout,
    planes,
)
from stm_keras.io.formats.createc.createc_signals import Signal, signals
from stm_keras.io.recording import Channel, Recording


def open_dat(path: Path) -> Recording:
    """Read the header of a Createc image, and check that its images are there.

    Args:
        path: the file.

    Returns:
        Channels of one map each, V = 1. Rows that were not scanned are NaN.

    Raises:
        InputError: for a damaged or truncated file, or one whose header does
            not fit its size.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(HEADER_BYTES)
    fields = Fields(content)
    layout = find_layout(path, content, fields)
    empty = _unscanned_rows(path, layout, fields)
    bias, notes = bias_v(fields)
    extent = frame_extent_nm(fields)
    channels = _channels(path, layout, fields, empty, bias)
    return Recording(
        source=str(path),
        format="Createc image",
        shape=layout.shape,
        extent_nm=extent,
        channels=tuple(channels),
        placement=placement(fields, extent),
        metadata=_metadata(fields),
        notes=(*notes, *_doubts(fields, empty)),
    )


def _read_plane(
    path: Path,
    layout: Layout,
    number: int,
    signal: Signal,
    empty: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """One image in SI units: float32 [1, H, W], NaN where not scanned."""
    for index, plane in enumerate(planes(path, layout)):
        if index == number:
            with np.errstate(invalid="ignore", over="ignore"):
                scale = np.float32(signal.scale)
                image = np.multiply(plane, scale, dtype=np.float32)
            image[empty] = np.nan
            return image[np.newaxis]
    raise InputError(f"{path}: cut short while it was read. Try again.")


def _channels(
    path: Path,
    layout: Layout,
    fields: Fields,
    empty: NDArray[np.bool_],
    bias: float,
) -> list[Channel]:
    """A channel for each image, forward before backward."""
    recorded = signals(fields, layout.n_planes)
    return [
        Channel(
            (signal := recorded[number % len(recorded)]).name,
            signal.unit,
            np.array([bias]),
            partial(_read_plane, path, layout, number, signal, empty),
            "forward" if number < len(recorded) else "backward",
        )
        for number in range(layout.n_planes)
    ]


def _unscanned_rows(
    path: Path, layout: Layout, fields: Fields
) -> NDArray[np.bool_]:
    """Rows that are zero in all images, or that the scan did not reach."""
    rows = layout.shape[0]
    empty = np.ones(rows, dtype=bool)
    for plane in planes(path, layout):
        empty &= ~(plane != 0).any(axis=1)
    following = fields.count("ImageYPosMax")  # counted from 1
    if 1 < following <= rows:
        empty[following - 1 :] = True
    if empty.all():
        raise InputError(f"{path}: no scanned row, all images hold zeros.")
    return empty


def _metadata(fields: Fields) -> dict[str, str]:
    """What is worth showing to a person."""
    set_point = fields.number("SetPoint", "Current[A]")
    found = {
        "title": fields.text("Titel"),
        "set point": "" if set_point is None else f"{set_point:g} A",
        "comment": " ".join(fields.memo),
    }
    return {name: text for name, text in found.items() if text}


def _doubts(fields: Fields, empty: NDArray[np.bool_]) -> list[str]:
    """Lines for `provenance` about what the header leaves open."""
    notes = []
    if empty.any():
        notes.append(
            f"warning: unfinished: {empty.sum()} of {empty.size} rows were "
            "not scanned"
        )
    if fields.number("ScanmodeSine"):
        notes.append("warning: scanned with a sine: uneven columns in x")
    if fields.text("ScanYDirec") and not fields.count("ScanYDirec"):
        notes.append(
            "warning: ScanYDirec=0, of which no file was at hand to check: "
            "the image may be upside down"
        )
    return notes
