"""Images of GXSM 3 and 4, which are NetCDF files.

GXSM keeps one image of counts (time, value, dimy, dimx), the first row at the
top, beside a few hundred settings. What one count is stands in `dz`, the
frame in `rangex`, `rangey`, `offsetx`, `offsety` and `alpha`. Lengths are in
angstrom, as the attribute `var_unit` says, whatever `unit` displays: that is
for the screen alone. A signal that is no length is in the unit on the screen.

Source: http://gxsm.sourceforge.net, file `gxsm4/.../dataio.C`; what the
numbers of real files say is in `docs/formats/netcdf.md`.
"""

import math
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.axes import Axis, NotMapsError, framed_array, recording_of
from stm_keras.io.placement import placed
from stm_keras.io.recording import Direction, Recording
from stm_keras.io.tables import REAL_KINDS, Table, Variable
from stm_keras.io.units import nm_per, volts_per

_IMAGES = ("FloatField", "DoubleField", "LongField", "H", "Intensity")
_SETTINGS = ("dz", "rangex", "rangey")
_BIAS = (
    *("sranger_mk2_hwi_bias", "sranger_hwi_bias"),
    "JSON_RedPACPALL_SPMC_BIAS",
)
_ANGSTROM_NM = 0.1
_LENGTHS = {"AA": "Å"}  # GXSM's own way to write it
# In the file's name and in the title: X+ is forward, X- is backward.
_NAME_WAY = re.compile(r"-X([pm])(?=[-.])")
_TITLE_WAY = re.compile(r"^(?:M\s+)?X([+-])\s+")
_WAYS: dict[str, Direction] = {
    **dict.fromkeys("p+", "forward"),
    **dict.fromkeys("m-", "backward"),
}
_UNTITLED = ("", "title not set", "not set")
_TEXTS = {"date": "dateofscan", "user": "username", "comment": "comment"}


def is_gxsm(table: Table) -> bool:
    """Whether a file was written by GXSM."""
    names = table.variables
    return _image(table) is not None and all(key in names for key in _SETTINGS)


def recording(path: Path, table: Table) -> Recording:
    """Make a recording of a GXSM image.

    Args:
        path: the file; its name tells the direction of the scan.
        table: what it holds.

    Raises:
        InputError: where a setting is missing or no number, or the image has
            layers over something else than the bias.
    """
    image = _image(table)
    assert image is not None  # see `is_gxsm`
    scale = _setting(path, table, "dz")
    sides = [_setting(path, table, f"range{axis}") for axis in "yx"]
    extent = (sides[0] * _ANGSTROM_NM, sides[1] * _ANGSTROM_NM)
    centre = [table.variables.get(f"offset{axis}") for axis in "xy"]
    turn = table.variables.get("alpha")
    title, direction = _title(path, table, image)
    packed = {**image.attrs, "scale_factor": scale}
    try:
        one = framed_array(
            title,
            _axes(table, image),
            _unit(table.variables["dz"], image),
            replace(image, attrs=packed).load,
            bias_v=_bias_v(table),
            extent_nm=extent,
            placement=placed(
                [v and v.number * _ANGSTROM_NM for v in centre],
                0.0 if turn is None else turn.number,
            ),
        )
    except NotMapsError as error:
        raise InputError(f"{path}: the image of GXSM {error}.") from error
    channel = replace(one.channel, name=title, direction=direction)
    return recording_of(
        path,
        "GXSM image",
        [replace(one, channel=channel)],
        metadata=dict(_metadata(table)),
    )


def _image(table: Table) -> Variable | None:
    for name in _IMAGES:
        variable = table.variables.get(name)
        if variable is not None and variable.dims[-2:] == ("dimy", "dimx"):
            return variable if variable.kind in REAL_KINDS else None
    return None


def _setting(path: Path, table: Table, name: str) -> float:
    """A setting that makes the image what it is."""
    value = table.variables[name].number
    if not math.isfinite(value) or value == 0:
        raise InputError(
            f"{path}: {name} is no number, without which the image of GXSM "
            "has no scale. It is damaged: copy it again."
        )
    return value if name == "dz" else abs(value)


def _axes(table: Table, image: Variable) -> list[Axis]:
    """Time, layer, y and x; layers are maps where they are voltages."""
    axes = []
    for name, size in zip(image.dims, image.shape, strict=True):
        along = table.variables.get(name)
        points = None if along is None else along.short
        unit = "" if along is None else along.told("unit")
        if name == "value" and size > 1 and points is not None:
            unit = unit if volts_per(unit) is not None else ""
            axes.append(Axis("bias" if unit else name, size, points, unit))
        elif name == "dimy" and points is not None and points[0] < points[-1]:
            axes.append(Axis("y", size, np.arange(size)))  # y counts upwards
        else:
            axes.append(Axis({"dimy": "y", "dimx": "x"}.get(name, name), size))
    return axes


def _unit(dz: Variable, image: Variable) -> str:
    """The unit of counts times dz."""
    shown = image.told("ZSrcUnit", "unit") or dz.told("unit")
    shown = _LENGTHS.get(shown, shown)
    stored = dz.told("var_unit")
    # GXSM 3 says "Ang" of whatever is on the screen.
    if nm_per(stored) is not None and shown and nm_per(shown) is None:
        return shown
    return stored or ("Å" if nm_per(shown) is not None else shown)


def _bias_v(table: Table) -> float:
    """The sample bias [V] of the controller; NaN where it does not tell."""
    for name in _BIAS:
        variable = table.variables.get(name)
        if variable is not None and math.isfinite(variable.number):
            return variable.number * (volts_per(variable.told("var_unit")) or 1)
    return math.nan


def _title(path: Path, table: Table, image: Variable) -> tuple[str, Direction]:
    """The channel's name and the direction of the scan."""
    written = table.variables.get("title")
    text = "" if written is None else written.text
    in_title = _TITLE_WAY.search(text)
    in_name = _NAME_WAY.search(path.name)
    if in_name is None and "basename" in table.variables:  # it was renamed
        in_name = _NAME_WAY.search(table.variables["basename"].text)
    way = in_name or in_title
    name = _TITLE_WAY.sub("", text)
    if name.lower() in _UNTITLED:
        name = image.told("label", "ZLabel") or "image"
    return name, _WAYS[way[1]] if way else "forward"


def _metadata(table: Table) -> Iterator[tuple[str, str]]:
    """What is worth showing to a person."""
    for key, name in _TEXTS.items():
        variable = table.variables.get(name)
        if variable is not None and variable.text:
            yield key, variable.text
