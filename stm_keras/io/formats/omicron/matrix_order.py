"""The order of the samples in a Matrix data file, by its parameters."""

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.omicron.matrix_blocks import Result
from stm_keras.io.formats.omicron.matrix_parameters import Parameters
from stm_keras.io.options import Direction
from stm_keras.io.placement import Placement
from stm_keras.io.recording import UNKNOWN_BIAS

_FREE_SAMPLES = 1 << 22  # of a frame of which little was measured
_MAX_UNMEASURED = 64
_XY = "XYScanner."
_SPECTROSCOPY = "Spectroscopy."
_MATCH_BACKWARD = 2


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
