"""Variables with named dimensions, as NetCDF and Zarr keep them, as maps.

Dimensions are found by name or unit, in any order. y counts from the top
where its coordinate has the attribute positive="down", as
`ConductanceMaps.to_xarray` writes, and upwards otherwise, as xarray and every
plotting program draw it. Without coordinates row 0 is the top.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stm_keras.io.axes import (
    Axis,
    Framed,
    NotMapsError,
    Refused,
    bias_of,
    framed_array,
    reasons,
    recording_of,
)
from stm_keras.io.placement import placed
from stm_keras.io.recording import Recording, printable
from stm_keras.io.units import scaled

REAL_KINDS = "fiu"
_NO_NAME = "__xarray_dataarray_variable__"
_MOST_METADATA = 40
_MOST_TEXT = 300
_NO_METADATA = ("units", "unit", "long_name", "angle_deg", "provenance")
# What `nc_def_var_fill` puts where nothing was written.
_UNWRITTEN = 9.969209968386869e36


@dataclass(frozen=True, eq=False)
class Variable:
    """A variable of a file.

    Attributes:
        dims: names of its dimensions.
        shape: their sizes.
        kind: NumPy's letter for its kind of type.
        attrs: its attributes; texts are str.
        read: gives its numbers as they are stored. It may raise `InputError`
            and `OSError` alone.
        short: what it holds, where that is little; None otherwise.
    """

    dims: tuple[str, ...]
    shape: tuple[int, ...]
    kind: str
    attrs: Mapping[str, Any]
    read: Callable[[], NDArray[Any]]
    short: NDArray[Any] | None = None

    @property
    def number(self) -> float:
        """The single number that it holds; NaN where it holds none."""
        short = self.short if self.kind in REAL_KINDS else None
        if short is None or short.size != 1:
            return math.nan
        return float(short.ravel()[0])

    @property
    def text(self) -> str:
        """Letters that it holds, as one line; empty where it holds none."""
        if self.short is None or self.kind != "S":
            return ""
        content = self.short.tobytes().split(b"\0", 1)[0]
        words = content.decode("utf-8", "replace").split()
        return printable(" ".join(words))[:_MOST_TEXT]

    def told(self, *names: str) -> str:
        """The first of some attributes that is a text; empty for none."""
        found = (self.attrs.get(name) for name in names)
        return next((text for text in found if isinstance(text, str)), "")

    def load(self) -> NDArray[np.floating]:
        """Its numbers, unpacked and NaN where nothing was written."""
        values = scaled(self.read(), 1.0)
        missing = np.abs(values) >= _UNWRITTEN * (1 - 1e-6)
        for name in ("_FillValue", "missing_value"):
            fill = _number(self.attrs.get(name))
            missing |= values == fill  # NaN equals nothing
        factor, offset = (
            _number(self.attrs.get(name))
            for name in ("scale_factor", "add_offset")
        )
        if math.isfinite(factor) or math.isfinite(offset):
            values = values.astype(np.float64)
            with np.errstate(over="ignore", invalid="ignore"):
                values = values * (factor if math.isfinite(factor) else 1.0)
                values += offset if math.isfinite(offset) else 0.0
        return np.where(missing, np.nan, values) if missing.any() else values


@dataclass(frozen=True, eq=False)
class Table:
    """A file or store: variables by name, and its own attributes."""

    variables: Mapping[str, Variable]
    attrs: Mapping[str, Any] = field(default_factory=dict)


def table_recording(path: Path, format_name: str, table: Table) -> Recording:
    """Make a recording of all stacks and images of a table.

    Args:
        path: the file or store.
        format_name: for people.
        table: what it holds.

    Raises:
        InputError: where there is none; the message says why each is not.
    """
    framed, refused, history = list[Framed](), list[Refused](), ()
    for name, variable in table.variables.items():
        if variable.kind not in REAL_KINDS or len(variable.shape) < 2:
            continue
        try:
            framed.append(_framed(name, table, variable))
        except NotMapsError as error:
            refused.append(Refused(name, variable.shape, str(error)))
        history = history or _lines(variable.attrs.get("provenance"))
    why = reasons(refused)
    return recording_of(
        path,
        format_name,
        framed,
        metadata=_metadata(table.attrs),
        history=history,
        refused=refused,
        none=f"no maps. {why or 'It has no variable of two axes or more'}. "
        "Maps have the dimensions y, x and, for several, bias, with units",
    )


def _framed(name: str, table: Table, variable: Variable) -> Framed:
    attrs = variable.attrs
    ours = "extent_nm" in attrs
    axes = [
        _axis(table, *pair)
        for pair in zip(variable.dims, variable.shape, strict=True)
    ]
    if ours:
        axes = [replace(axis, downwards=True) for axis in axes]
    label = variable.told("long_name") if ours or name == _NO_NAME else name
    one = framed_array(
        label,
        axes,
        variable.told("units", "unit"),
        variable.load,
        bias_v=_scalar_bias_v(table, variable),
        extent_nm=_pair(attrs.get("extent_nm")),
        placement=placed(
            _pair(attrs.get("centre_nm")), _number(attrs.get("angle_deg", 0))
        ),
    )
    channel = one.channel
    if ours:  # such as "LI Demod 1 X (backward)", which is no direction here
        channel = replace(channel, name=printable(label), direction="forward")
    return replace(one, channel=channel, metadata=_metadata(attrs))


def _axis(table: Table, name: str, size: int) -> Axis:
    """A dimension with its coordinate, or the one variable along it."""
    along = [
        key
        for key, variable in table.variables.items()
        if variable.dims == (name,) and variable.kind in REAL_KINDS
    ]
    chosen = name if name in along else along[0] if len(along) == 1 else ""
    # Dimensions of files that do not name them.
    bare = "" if name.startswith(("phony_dim", "dim_")) else name
    if not chosen or table.variables[chosen].short is None:
        return Axis(bare, size)
    variable = table.variables[chosen]
    points = replace(variable, read=lambda: np.asarray(variable.short)).load()
    positive = variable.told("positive").lower()
    return Axis(
        bare or chosen,
        size,
        points.astype(np.float64),
        variable.told("units", "unit"),
        {"down": True, "up": False}.get(positive),
    )


def _scalar_bias_v(table: Table, variable: Variable) -> float:
    """The bias of a single map [V]: a coordinate, or an attribute."""
    texts: dict[str, str] = {}
    for attrs in (table.attrs, variable.attrs):
        texts |= {k: str(v) for k, v in attrs.items() if np.ndim(v) == 0}
    for key, other in table.variables.items():
        if math.isfinite(other.number):
            texts[key] = f"{other.number!r} {other.told('units', 'unit')}"
    return bias_of(texts)


def _number(value: Any) -> float:
    """A single real number; NaN where it is none."""
    number = np.asarray(value)
    known = number.size == 1 and number.dtype.kind in REAL_KINDS
    return float(number.ravel()[0]) if known else math.nan


def _pair(value: Any) -> tuple[float, float] | None:
    pair = np.asarray(value)
    if pair.shape != (2,) or pair.dtype.kind not in REAL_KINDS:
        return None
    return float(pair[0]), float(pair[1])


def _lines(value: Any) -> tuple[str, ...]:
    """Lines of a provenance; a single one comes back as a text."""
    if value is None:
        return ()
    lines = [value] if isinstance(value, str) else np.ravel(value).tolist()
    return tuple(printable(str(line)) for line in lines)


def _metadata(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that are texts or numbers, for people."""
    kept = {
        printable(key): printable(str(value))[:_MOST_TEXT]
        for key, value in attrs.items()
        if np.ndim(value) == 0
        and key not in _NO_METADATA
        and not key.startswith("_")
    }
    return dict([(k, v) for k, v in kept.items() if v][:_MOST_METADATA])
