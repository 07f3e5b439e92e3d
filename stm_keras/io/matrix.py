"""Omicron and Scienta Matrix results (.Z_mtrx, .I(V)_mtrx ...).

A data file holds the counts of one channel in the order in which they were
taken: up and down, line by line, each line forward and backward, point by
point, at each point the ramp of the bias and its way back. Its size, units
and biases stand in the session's parameter file beside it, whose blocks are
followed as far as the entry of the data file.

No real file was at hand. Written from what access2theMatrix and Gwyddion
read, and compared with the former on files written for the tests.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.matrix_session import (
    MAGIC,
    Parameters,
    Result,
    Transfer,
    follow_session,
    read_result,
)
from stm_keras.io.placement import Placement
from stm_keras.io.recording import (
    UNKNOWN_BIAS,
    Channel,
    Direction,
    Recording,
    as_seen,
    printable,
)
from stm_keras.io.units import to_si

_FREE_SAMPLES = 1 << 22  # of a frame of which little was measured
_MAX_UNMEASURED = 64
_XY = "XYScanner."
_SPECTROSCOPY = "Spectroscopy."
_MATCH_BACKWARD = 2

_NAME = re.compile(r"(?P<session>.+)--(?P<run>\d+_\d+)\.(?P<channel>.+)_mtrx")
_LAST_YEAR_S = 253402300800  # the year 10000
_MAX_LINKS = 10_000  # parameter files of one session


@dataclass(frozen=True)
class Order:
    """The order of the samples, the outermost first.

    Attributes:
        passes: 1, or 2 where the frame was scanned up and then down.
        rows: lines of a pass.
        line_directions: of the passes over one line.
        columns: points of a line.
        ramps: 1, or 2 where the bias came back.
        biases: points of a ramp; 1 for an image.
    """

    passes: int
    rows: int
    line_directions: tuple[Direction, ...]
    columns: int
    ramps: int
    biases: int

    @property
    def shape(self) -> tuple[int, ...]:
        """As an array."""
        lines = len(self.line_directions)
        return (
            *(self.passes, self.rows, lines, self.columns),
            *(self.ramps, self.biases),
        )


def find_order(
    path: Path, parameters: Parameters, result: Result, channel: str
) -> Order:
    """How the samples follow each other, checked against their number."""
    columns = parameters.count(_XY + "Points")
    rows = parameters.count(_XY + "Lines")
    lines = _line_directions(parameters, spectra="(" in channel)
    ramps, biases = 1, 1
    if "(" in channel:
        ramps, biases = _ramps(path, parameters, channel)
        columns = -(-columns // max(1, parameters.count(_XY + "Subgrid_X")))
        rows = -(-rows // max(1, parameters.count(_XY + "Subgrid_Y")))
    passes = 2 if parameters.count(_XY + "Y_Retrace") else 1
    order = Order(passes, rows, lines, columns, ramps, biases)
    if min(order.shape) < 1 or rows * columns < 2:
        raise InputError(
            f"{path}: no map, but {rows} x {columns} points. Give the data "
            "file of an image or of a grid of spectra."
        )
    reached = min(result.intended, result.taken)
    if passes == 2 and 2 * reached <= math.prod(order.shape):
        order = Order(1, rows, lines, columns, ramps, biases)
    most = max(_FREE_SAMPLES, _MAX_UNMEASURED * result.taken)
    n_samples = math.prod(order.shape)
    if result.taken > n_samples or n_samples > min(most, result.intended):
        raise InputError(
            f"{path}: {result.taken} samples of {result.intended}, which do "
            f"not fit {rows} x {columns} points of {biases} values. It is "
            "damaged, or single spectra, which are no maps."
        )
    return order


def _line_directions(
    parameters: Parameters, *, spectra: bool
) -> tuple[Direction, ...]:
    """Directions in which each line was measured; spectra need not be."""
    if not parameters.count(_XY + "X_Retrace"):
        return ("forward",)
    match = parameters.count(_XY + "Subgrid_Match_Mode") if spectra else 0
    if match == 0:
        return ("forward", "backward")
    return ("backward",) if match == _MATCH_BACKWARD else ("forward",)


def _ramps(path: Path, parameters: Parameters, channel: str) -> tuple[int, int]:
    """Number of ramps at each point, and of biases on each."""
    device = _bias_device(parameters)
    if not channel.endswith("(V)") or device is None:
        raise InputError(
            f"{path}: spectra over something else than the bias. Give an "
            "image, or spectra over V, such as I(V)."
        )
    name = f"{_SPECTROSCOPY}Enable_{device}_Ramp_Reversal"
    n_biases = parameters.count(f"{_SPECTROSCOPY}{device}_Points")
    return (2 if parameters.count(name) else 1), n_biases


def _bias_device(parameters: Parameters) -> str | None:
    """The device that ramps the bias: the first whose unit is the volt."""
    for device in ("Device_1", "Device_2"):
        name = f"{_SPECTROSCOPY}{device}_Start"
        if parameters.values.get(name, (0, ""))[1] == "Volt":
            return device
    return None


def biases_v(parameters: Parameters, order: Order) -> NDArray[np.float64]:
    """The bias of each map [V]."""
    if order.biases == 1:
        gap = parameters.values.get("GapVoltageControl.Voltage")
        known = gap is not None and not isinstance(gap[0], str)
        return np.array([float(gap[0])]) if gap and known else UNKNOWN_BIAS
    device = f"{_SPECTROSCOPY}{_bias_device(parameters)}_"
    first, last = (
        parameters.number(device + end, math.nan) for end in ("Start", "End")
    )
    with np.errstate(invalid="ignore", over="ignore"):
        return np.linspace(first, last, order.biases)


def frame(
    parameters: Parameters, order: Order
) -> tuple[tuple[float, float], Placement] | None:
    """Height and width [nm], and where the frame lies; None where unknown.

    Of a grid of spectra, whose first point is that of the scan, each cell
    reaches half a step around its point.
    """
    points = parameters.count(_XY + "Points"), parameters.count(_XY + "Lines")
    sides = parameters.number(_XY + "Width"), parameters.number(_XY + "Height")
    steps = 1, 1
    if order.biases > 1:
        steps = (
            max(1, parameters.count(_XY + "Subgrid_X")),
            max(1, parameters.count(_XY + "Subgrid_Y")),
        )
    pixel = [side * 1e9 / n for side, n in zip(sides, points, strict=True)]
    width = order.columns * steps[0] * pixel[0]
    height = order.rows * steps[1] * pixel[1]
    numbers = (
        *(
            parameters.number(_XY + "X_Offset"),
            parameters.number(_XY + "Angle"),
        ),
        *(parameters.number(_XY + "Y_Offset"), width, height),
    )
    if not all(map(math.isfinite, numbers)) or min(width, height) <= 0:
        return None
    centre = numbers[0] * 1e9, numbers[2] * 1e9
    # The first point is at the lower left.
    right = width / 2 + ((1 - steps[0]) / 2 - points[0] / 2) * pixel[0]
    up = height / 2 + ((1 - steps[1]) / 2 - points[1] / 2) * pixel[1]
    return (height, width), Placement(centre, numbers[1]).moved(-up, right)


def open_mtrx(path: Path) -> Recording:
    """Read the parameters of a Matrix data file.

    Args:
        path: a data file, with the session's parameter file beside it.

    Returns:
        One channel for each direction; sweeps of the bias where spectra were
        taken on a grid. What was not measured is NaN.

    Raises:
        InputError: for a damaged file, a missing parameter file, or spectra
            that are no maps.
        OSError: where a file cannot be read.
    """
    session, channel = _session_and_channel(path)
    result = read_result(path)
    parameters = _session_parameters(path, session)
    order = find_order(path, parameters, result, channel)
    place = frame(parameters, order)
    channels = tuple(_channels(path, parameters, result, order, channel))
    return Recording(
        source=str(path),
        format="Omicron Matrix file",
        shape=(order.rows, order.columns),
        extent_nm=None if place is None else place[0],
        channels=channels,
        placement=None if place is None else place[1],
        metadata=_metadata(parameters, result),
        notes=tuple(_doubts(parameters, result, order)),
        # Its name says which channel was wanted; I(V) is differentiated.
        curated=channels[0].unit != "A" or order.biases == 1,
    )


def _session_and_channel(path: Path) -> tuple[str, str]:
    """The two by a data file's name, which must be that of one."""
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise InputError(
            f"{path}: its name is not that of a Matrix data file. Give one "
            "named like the instrument does, such as session--1_1.Z_mtrx; "
            "the parameter file session_0001.mtrx is found by itself."
        )
    with path.open("rb") as file:
        if file.read(len(MAGIC)) != MAGIC:
            raise InputError(f"{path}: no Omicron Matrix file.")
    return match["session"], match["channel"]


def _session_parameters(path: Path, session: str) -> Parameters:
    """The parameters, as the files beside tell them up to this one's entry."""
    first = path.with_name(f"{session}_0001.mtrx")
    if not first.is_file():
        raise InputError(
            f"{path}: the session's parameter file {first.name} is missing "
            "beside it, which tells sizes, units and biases. Put it there."
        )
    parameters = Parameters()
    for number in range(1, _MAX_LINKS):
        link = first.with_name(f"{session}_{number:04d}.mtrx")
        if not link.is_file():
            break
        if follow_session(link, path.name, parameters):
            return parameters
    raise InputError(
        f"{path}: {first.name} does not list it. It was renamed, or the "
        "parameter file is that of another session."
    )


def _channels(
    path: Path,
    parameters: Parameters,
    result: Result,
    order: Order,
    channel: str,
) -> Iterator[Channel]:
    """A channel for each direction; the later ones have their own names."""
    transfer = parameters.transfer(channel) or Transfer(channel, "", 1.0, 0.0)
    factor, unit = to_si(printable(transfer.unit))
    transfer = replace(transfer, scale=transfer.scale * factor)
    bias_v = biases_v(parameters, order)
    spectra = order.biases > 1
    for number in range(order.passes):
        for line, direction in enumerate(order.line_directions):
            for ramp in range(order.ramps):
                of_ramp: Direction = "backward" if ramp else "forward"
                name = channel.partition("(")[0]
                name += " down" if number else ""
                name += " of lines back" if spectra and line else ""
                yield Channel(
                    printable(name),
                    unit,
                    bias_v,
                    partial(
                        _read_maps,
                        *(path, result, order, transfer),
                        (number, line, ramp),
                    ),
                    of_ramp if spectra else direction,
                    sweep=spectra,
                    note="" if transfer.unit else "in counts: no scale found",
                )


def _read_maps(
    path: Path,
    result: Result,
    order: Order,
    transfer: Transfer,
    place: tuple[int, int, int],
) -> NDArray[np.float32]:
    """The maps of one pass, line direction and ramp: float32 [V, H, W]."""
    number, line, ramp = place
    counts = np.fromfile(path, "<i4", result.taken, offset=result.offset)
    if counts.size != result.taken:
        raise InputError(f"{path}: cut short while it was read. Try again.")
    samples = np.full(order.shape, np.nan, dtype=np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        flat = samples.reshape(-1)[: counts.size]
        np.subtract(counts, transfer.offset, out=flat, casting="same_kind")
        flat *= np.float32(transfer.scale)
    maps = np.moveaxis(samples[number, :, line, :, ramp], -1, 0)
    seen = as_seen(
        maps[::-1] if ramp else maps,
        upwards=number == 0,
        backward=order.line_directions[line] == "backward",
    )
    return np.ascontiguousarray(seen)


def _metadata(parameters: Parameters, result: Result) -> dict[str, str]:
    """What is worth showing to a person."""
    marks = parameters.marks
    found = {
        "sample": marks.get("SAMPLE_NAME", ""),
        "title": marks.get("DATA_SET_NAME", ""),
        "comment": marks.get("CREATION_COMMENT", ""),
    }
    if 0 < result.time_s < _LAST_YEAR_S:
        moment = datetime.fromtimestamp(result.time_s, UTC)
        found["date"] = f"{moment:%Y-%m-%d %H:%M:%S} UTC"
    if "Regulator.Setpoint_1" in parameters.values:
        value, unit = parameters.values["Regulator.Setpoint_1"]
        found["set point"] = f"{value} {to_si(unit)[1]}"
    return {name: printable(text) for name, text in found.items() if text}


def _doubts(
    parameters: Parameters, result: Result, order: Order
) -> Iterator[str]:
    """Lines for `provenance` about what the files leave open."""
    n_samples = math.prod(order.shape)
    if result.taken < n_samples:
        yield (
            f"warning: unfinished: {result.taken} of {n_samples} samples "
            "were measured"
        )
    if parameters.number("XYScanner.Zoom", 1.0) != 1:
        yield (
            "warning: a zoom other than 1 is set; the width and height are "
            "taken as they stand"
        )
