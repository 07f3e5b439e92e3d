"""The bias axis of a Nanonis grid.

The nominal one, as it was asked for: from the sweep's ends, which every point
repeats, or from the header's table of segments. A recorded bias is no
substitute, as it may come from an input with an offset and a divider; the
controller's own, "Bias (V)", serves where nothing else tells.
"""

import re
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from stm_keras.io.formats.nanonis.nanonis_grid_points import GridPoints
from stm_keras.io.formats.nanonis.nanonis_text import finite_number
from stm_keras.io.recording import printable

_LINEAR = "linear"
_SEGMENTED = "mls"
_FILE_TYPE = "Filetype"
_SWEEP_MODE = "Bias Spectroscopy>Sweep mode"
_SEGMENTS = "Segment Start"
_STEPS = "Steps"
# Ends of sweeps are stored as float32.
_ROUNDING = 1e-6
_WHOLE = re.compile(r"\d{1,9}")


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
