"""Nanonis grids (.3ds): a sweep of the bias at every point of a frame.

The points are measured from left to right and from the bottom line up; here
row 0 is the top. A sweep back, "[bwd]", is stored in the order of the sweep
forward, so that one bias axis serves both.
"""

from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.nanonis.nanonis_grid_axis import bias_axis
from stm_keras.io.formats.nanonis.nanonis_grid_header import (
    GridHeader,
    read_grid_header,
)
from stm_keras.io.formats.nanonis.nanonis_grid_points import (
    GridPoints,
    read_grid_points,
)
from stm_keras.io.formats.nanonis.nanonis_text import (
    Signal,
    bias_v,
    common_metadata,
    lock_in_is_off,
)
from stm_keras.io.recording import UNKNOWN_BIAS, Channel, Recording, printable

_BIAS = "bias"
_FIXED = ("Sweep Start", "Sweep End")
# A point's own X and Y are float32; drift correction moves the points.
_OFF_GRID_PX = 0.5


def open_3ds(path: Path) -> Recording:
    """Read the header of a Nanonis grid and its points' parameters.

    Args:
        path: the file.

    Returns:
        The channels that were swept over the bias, averages before single
        sweeps; and the points' parameters as images, such as the height Z at
        which each sweep began. Points that were not measured are NaN.

    Raises:
        InputError: for a damaged file, one with no or too few points, or one
            that was swept over something else and holds nothing besides.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        header = read_grid_header(file, path)
    points = read_grid_points(path, header)
    images = _images(points)
    swept, notes = _swept(points, {image.name for image in images})
    header, channels = points.header, (*swept, *images)
    if not channels:
        raise InputError(f"{path}: {notes[0].removeprefix('warning: ')}.")
    return Recording(
        source=str(path),
        format="Nanonis grid",
        shape=header.shape,
        extent_nm=header.extent_nm,
        channels=channels,
        placement=header.placement,
        metadata=_metadata(path, header),
        notes=(*notes, *_frame_notes(points)),
    )


def _images(points: GridPoints) -> list[Channel]:
    """The parameters of the points, one map each."""
    told = bias_v(points.header.fields)
    return [
        Channel(
            name=signal.name,
            unit=signal.unit,
            bias_v=UNKNOWN_BIAS if told is None else np.array([told]),
            load=partial(points.parameter_image, index),
            direction=signal.direction,
        )
        for index, signal in enumerate(points.header.parameters)
        if signal.name not in _FIXED
    ]


def _swept(
    points: GridPoints, taken: set[str]
) -> tuple[list[Channel], list[str]]:
    """The swept channels, and what is to be said of the sweep."""
    header = points.header
    signal = header.sweep_signal
    if signal.name.lower() != _BIAS:
        name = header.fields.get("Sweep Signal", "") or "an unknown signal"
        left_out = ", ".join(channel.name for channel in header.channels)
        return [], [
            f"warning: swept over {printable(name)} and not over the bias, so "
            f"that there are no maps at several biases in {left_out}"
        ]
    axis, notes = bias_axis(points)
    order = sorted(
        range(len(header.channels)),
        key=lambda index: bool(_extra_tags(header.channels[index])),
    )
    return [_sweep(points, index, axis, taken) for index in order], notes


def _sweep(
    points: GridPoints,
    index: int,
    axis: NDArray[np.float64],
    taken: set[str],
) -> Channel:
    signal, fields = points.header.channels[index], points.header.fields
    running = fields.get("Bias Spectroscopy>Lock-In run", "").strip().upper()
    # "Z" may be a parameter as well as a channel.
    name = f"{signal.name} [sweep]" if signal.name in taken else signal.name
    note = f"single sweep {tag}" if (tag := _single_sweep(signal)) else ""
    return Channel(
        name=name,
        unit=signal.unit,
        bias_v=axis,
        load=partial(points.sweeps, index),
        direction=signal.direction,
        sweep=True,
        lock_in_off=lock_in_is_off(fields) and running != "TRUE",
        note="average of the sweeps" if signal.is_average else note,
    )


def _extra_tags(signal: Signal) -> list[str]:
    return [tag for tag in signal.tags if tag not in ("bwd", "AVG")]


def _single_sweep(signal: Signal) -> str:
    return next((tag for tag in signal.tags if tag.isdigit()), "")


def _frame_notes(points: GridPoints) -> list[str]:
    header, notes = points.header, list[str]()
    rows, columns = points.whole_shape
    if points.n_measured < rows * columns:
        kept = f"; frame cut to the lowest {header.shape[0]} of {rows} rows"
        notes.append(
            f"warning: unfinished: {points.n_measured} of {rows * columns} "
            f"points measured{kept if header.shape[0] < rows else ''}"
        )
    if header.is_line:
        notes.append("points on a line; its height is that of a pixel")
    away = points.off_grid_px()
    if away is not None and away > _OFF_GRID_PX:
        notes.append(
            f"warning: points lie up to {away:.2g} px from where the grid's "
            "settings put them"
        )
    return notes


def _metadata(path: Path, header: GridHeader) -> dict[str, str]:
    fields = header.fields
    found = {
        "title": path.stem,
        "experiment": fields.get("Experiment", ""),
        "date": fields.get("Start time", ""),
        "end": fields.get("End time", ""),
        "sweeps": fields.get("Bias Spectroscopy>Number of sweeps", ""),
    }
    told = {name: printable(text) for name, text in found.items() if text}
    return told | common_metadata(fields)
