"""Nanonis grids (.3ds): a sweep of the bias at every point of a frame.

The points are measured from left to right and from the bottom line up; here
row 0 is the top. A sweep back, "[bwd]", is stored in the order of the sweep
forward, so that one bias axis serves both.

That axis is the nominal one, as it was asked for: from the sweep's ends,
which every point repeats, or from the header's table of segments. A recorded
bias is no substitute, as it may come from an input with an offset and a
divider; the controller's own, "Bias (V)", serves where nothing else tells.
"""

import re
from functools import partial
from itertools import pairwise
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.nanonis_grid import (
    GridHeader,
    GridPoints,
    read_grid_header,
    read_grid_points,
)
from stm_keras.io.nanonis_text import (
    Signal,
    bias_v,
    common_metadata,
    lock_in_is_off,
)
from stm_keras.io.recording import UNKNOWN_BIAS, Channel, Recording, printable
from stm_keras.io.units import finite_number

_LINEAR = "linear"
_SEGMENTED = "mls"
_FILE_TYPE = "Filetype"
_SWEEP_MODE = "Bias Spectroscopy>Sweep mode"
_SEGMENTS = "Segment Start"
_STEPS = "Steps"
# Ends of sweeps are stored as float32.
_ROUNDING = 1e-6
_WHOLE = re.compile(r"[0-9]{1,9}")

_BIAS = "bias"
_FIXED = ("Sweep Start", "Sweep End")
# A point's own X and Y are float32; drift correction moves the points.
_OFF_GRID_PX = 0.5


def bias_axis(points: GridPoints) -> tuple[NDArray[np.float64], list[str]]:
    """The bias of every map of a grid that was swept over the bias.

    Args:
        points: the grid.

    Returns:
        Bias [V], float64 [V], NaN where the file does not tell; and lines for
        `provenance`.

    Raises:
        InputError: where the file was cut short in the meantime.
        OSError: where it cannot be read.
    """
    fields = points.header.fields
    # Older controllers know linear sweeps alone and name no type.
    kind = fields.get(_FILE_TYPE, _LINEAR).lower()
    mode = fields.get(_SWEEP_MODE, "").lower()
    recorded = _recorded(points)
    if _SEGMENTED in (kind, mode):
        axis, notes, told = *_segmented(points), "segments of the sweep"
    elif kind == _LINEAR:
        axis, notes, told = *_linear(points), "ends of the sweep"
    else:
        axis, notes, told = None, [], f"sweep of the type {printable(kind)}"
    if axis is not None:
        return axis, [*notes, *_contradiction(axis, recorded)]
    if recorded is not None:
        return recorded, [f"bias as recorded at the first point: no {told}"]
    unknown = np.full(points.header.n_points, np.nan)
    return unknown, [f"bias unknown: no {told} that fits the points"]


def _linear(
    points: GridPoints,
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Evenly spaced from the sweep's start to its end."""
    n, notes, ends = points.header.n_points, list[str](), list[float]()
    for name in ("Sweep Start", "Sweep End"):
        values = points.parameter(name)
        if values is None:
            told = points.header.fields.get(f"Bias Spectroscopy>{name} (V)")
            number = finite_number(told)
            if number is None:
                return None, []
            ends.append(number)
            continue
        # The shortest decimal of the float32: 0.4 and not 0.4000000059.
        ends.append(float(str(np.float32(values[0]))))
        spread = float(np.ptp(values))
        if spread > _ROUNDING * np.abs(values).max():
            notes.append(
                f"warning: {name} differs between points by up to "
                f"{spread:g} V; the first point's is used"
            )
    return np.linspace(ends[0], ends[1], n), notes


def _segmented(
    points: GridPoints,
) -> tuple[NDArray[np.float64] | None, list[str]]:
    """Evenly spaced within each segment; neighbours share a point."""
    for title, text in points.header.fields.items():
        if _SEGMENTS not in title:
            continue
        table = _segment_table(title, text)
        pieces = _pieces(table, points.header.n_points)
        if pieces:
            note = f"bias in {len(table)} segments"
            return np.concatenate(pieces), [note]
    return None, []


def _segment_table(title: str, text: str) -> list[tuple[float, float, int]]:
    """Start [V], end [V] and points of every segment; none if unreadable.

    The title names the columns, as in "Segment Start (V), Segment End (V),
    Settling (s), Integration (s), Steps (xn)", behind some ">" and ":".
    """
    columns = [
        name.strip() for name in title[title.find(_SEGMENTS) :].split(",")
    ]
    steps = [i for i, name in enumerate(columns) if name.startswith(_STEPS)]
    table = []
    for row in text.split(";"):
        cells = [cell.strip() for cell in row.split(",")]
        if not steps or len(cells) <= steps[0] or len(cells) < 3:
            return []
        start, end = finite_number(cells[0]), finite_number(cells[1])
        count = cells[steps[0]]
        if start is None or end is None or not _WHOLE.fullmatch(count):
            return []
        table.append((start, end, int(count)))
    return table


def _pieces(
    table: list[tuple[float, float, int]], n_points: int
) -> list[NDArray[np.float64]]:
    """The segments' biases where they make as many points; else none."""
    if not table or min(count for *_, count in table) < 2:
        return []
    total = sum(count for *_, count in table)
    joined = all(
        np.isclose(first[1], second[0], rtol=_ROUNDING, atol=1e-12)
        for first, second in pairwise(table)
    )
    if joined and total - (len(table) - 1) == n_points:
        shared = 1
    elif total == n_points:
        shared = 0
    else:
        return []
    pieces = [np.linspace(start, end, count) for start, end, count in table]
    return [pieces[0], *(piece[shared:] for piece in pieces[1:])]


def _recorded(points: GridPoints) -> NDArray[np.float64] | None:
    """The controller's own bias at the first point, if it was recorded."""
    for index, signal in enumerate(points.header.channels):
        if (signal.name.lower(), signal.unit, signal.direction) == (
            "bias",
            "V",
            "forward",
        ):
            sweep = points.first_sweep(index)
            return sweep if np.isfinite(sweep).all() else None
    return None


def _contradiction(
    axis: NDArray[np.float64], recorded: NDArray[np.float64] | None
) -> list[str]:
    """A warning where the recorded bias is another by half a step or more."""
    if recorded is None or axis.size < 2:
        return []
    away = float(np.abs(recorded - axis).max())
    if away < 0.5 * float(np.abs(np.diff(axis)).max()):
        return []
    return [
        f"warning: the recorded bias differs from the nominal by {away:g} V; "
        "the nominal is used"
    ]


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
    return next((tag for tag in signal.tags if _WHOLE.fullmatch(tag)), "")


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
