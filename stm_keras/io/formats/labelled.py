"""Arrays whose axes have names, values and units: which is bias, y and x.

Axes may stand in any order and run either way; maps come out as they are
everywhere here, [V, H, W], row 0 the top and column 0 the left edge.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stm_keras.io.channels import channel_key
from stm_keras.io.si_units import nm_per, volts_per

# Compared in small letters, without blanks and signs: "Bias (V)" is "biasv".
_BIAS = {
    *("bias", "biasv", "biasmv", "samplebias", "biasvoltage", "vbias", "v"),
    *("voltage", "voltagev", "energy", "energyev", "e", "ev", "vgap"),
    *("samplevoltage", "gapvoltage", "biascalc", "biascalcv"),
}
_Y = {"y", "ynm", "ym", "row", "rows", "ny", "yaxis", "line", "lines"}
_X = {"x", "xnm", "xm", "column", "columns", "col", "cols", "nx", "xaxis"}
_UNEVEN = 0.02  # of a step; coordinates are rounded in some files
_EDGES = 2

Role = str | None


class NotMapsError(Exception):
    """An array is no stack of maps; the text says why, after its name."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of an array, as a file describes it.

    Attributes:
        name: empty where it has none.
        size: number of points.
        values: where these lie, in `unit`; None where the file does not tell.
        unit: as the file writes it.
        downwards: for y, whether it counts from the frame's top; None where
            the file does not tell, and then a y with values counts upwards,
            as in plots.
    """

    name: str
    size: int
    values: NDArray[np.floating] | None = None
    unit: str = ""
    downwards: bool | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """How an array becomes maps.

    Attributes:
        order: the array's axes in the order bias (where there is one), y, x;
            all others have one point.
        flip: whether rows, and columns, are to be turned round.
        shape: rows and columns [px].
        bias_v: bias of each map [V], float64 [V]; NaN where unknown.
        extent_nm: height and width [nm], from the centres of the outer
            pixels and half a pixel around; None where unknown.
        centre_nm: x and y of the frame's centre [nm], where its y axis counts
            upwards, as a scanner's does; None otherwise.
    """

    order: tuple[int, ...]
    flip: tuple[bool, bool]
    shape: tuple[int, int]
    bias_v: NDArray[np.float64]
    extent_nm: tuple[float, float] | None
    centre_nm: tuple[float, float] | None

    def arranged(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Turn the array into maps, a view [V, H, W]."""
        others = [i for i in range(values.ndim) if i not in self.order]
        maps = np.transpose(values, (*others, *self.order))
        maps = maps.reshape(self.bias_v.size, *self.shape)
        rows, columns = (-1 if flip else 1 for flip in self.flip)
        return maps[:, ::rows, ::columns]


def layout_of(axes: Sequence[Axis]) -> Layout:
    """Find bias, y and x among the axes of an array.

    Args:
        axes: in the array's order. Names count first, then units; of axes
            without either, the last two are y and x and one before them is
            the bias.

    Raises:
        NotMapsError: where the array is no stack of maps.
    """
    roles = _roles(axes)
    y, x = (axes[roles.index(role)] for role in ("y", "x"))
    for axis in (y, x):
        _check_even(axis)
    order = tuple(
        roles.index(role) for role in ("bias", "y", "x") if role in roles
    )
    bias = axes[roles.index("bias")] if "bias" in roles else None
    height, width = _length_nm(y), _length_nm(x)
    down = bool(y.downwards) or y.values is None
    centres = None if down else (_middle_nm(x), _middle_nm(y))
    return Layout(
        order=order,
        # Values that rise with the index put the bottom first, if y is up.
        flip=(_falls(y) if down else _rises(y), _falls(x)),
        shape=(y.size, x.size),
        bias_v=np.array([np.nan]) if bias is None else _bias_v(bias),
        extent_nm=None if height is None or width is None else (height, width),
        centre_nm=None
        if centres is None or None in centres
        else (float(centres[0] or 0), float(centres[1] or 0)),
    )


def _roles(axes: Sequence[Axis]) -> list[Role]:
    """What each axis is: "bias", "y", "x" or None for one point alone."""
    roles = [_named(axis) for axis in axes]
    lengths = [i for i, r in enumerate(roles) if r == "length"]
    free = [
        i
        for i, (axis, role) in enumerate(zip(axes, roles, strict=True))
        if role is None and (axis.size > 1 or not axis.name)
    ]
    # The last axis is x where nothing else tells, as in every image.
    for role in ("x", "y"):
        if role not in roles:
            places = lengths or [i for i in free if axes[i].values is None]
            if not places:
                raise NotMapsError(f"has no axis {role}")
            roles[places[-1]] = role
            lengths, free = (
                [i for i in group if i != places[-1]]
                for group in (lengths, free)
            )
    left = [i for i in (*lengths, *free) if axes[i].size > 1]
    if not left and "bias" not in roles:
        left = free[-1:]
    for i in left:
        if "bias" in roles or axes[i].values is not None:
            raise NotMapsError(
                f"has the axis {axes[i].name!r}, neither bias, y nor x"
            )
        roles[i] = "bias"
    if any(roles.count(role) > 1 for role in ("bias", "y", "x")):
        raise NotMapsError("has two axes for one direction")
    return [None if role == "length" else role for role in roles]


def _named(axis: Axis) -> Role:
    key = channel_key(axis.name)
    for role, names in (("bias", _BIAS), ("y", _Y), ("x", _X)):
        if key in names:
            return role
    if volts_per(axis.unit) is not None:
        return "bias"
    return "length" if nm_per(axis.unit) is not None else None


def _check_even(axis: Axis) -> None:
    if axis.values is None or axis.size < _EDGES:
        return
    steps = np.diff(axis.values.astype(np.float64))
    step = (float(axis.values[-1]) - float(axis.values[0])) / steps.size
    if not (
        np.isfinite(step)
        and step != 0
        and np.all(np.abs(steps - step) <= _UNEVEN * abs(step))
    ):
        raise NotMapsError(f"has an uneven axis {axis.name!r}")


def _rises(axis: Axis) -> bool:
    values = axis.values
    return values is not None and axis.size > 1 and values[0] < values[-1]


def _falls(axis: Axis) -> bool:
    values = axis.values
    return values is not None and axis.size > 1 and values[0] > values[-1]


def _length_nm(axis: Axis) -> float | None:
    """The frame along an axis, half a pixel beyond the outer centres."""
    unit = nm_per(axis.unit)
    if axis.values is None or unit is None or axis.size < _EDGES:
        return None
    span = abs(float(axis.values[-1]) - float(axis.values[0])) * unit
    return span * axis.size / (axis.size - 1)


def _middle_nm(axis: Axis) -> float | None:
    unit = nm_per(axis.unit)
    if axis.values is None or unit is None:
        return None
    return (float(axis.values[0]) + float(axis.values[-1])) / 2 * unit


def _bias_v(axis: Axis) -> NDArray[np.float64]:
    """Values of the bias axis in V; NaN where it has none or no unit."""
    unit = volts_per(axis.unit)
    key = channel_key(axis.name)
    if unit is None and key.endswith(("biasv", "voltagev", "calcv")):
        unit = 1.0
    if axis.values is None or unit is None:
        return np.full(axis.size, np.nan)
    return axis.values.astype(np.float64) * unit
