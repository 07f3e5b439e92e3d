"""`array.stm` of xarray: find impurities in a DataArray, units kept.

    import stm_keras
    import xarray

    maps = xarray.open_dataset("scan.nc")["LI_Demod_1_X"]
    found = maps.stm.find(surface="cu111")
    maps.stm.with_positions(found).to_netcdf("found.nc")

`import stm_keras` registers it where xarray is imported, before or after. An
array is read as the same array in a NetCDF file would be: see `io.tables`.
"""

from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray

from stm_keras.errors import InputError

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from stm_keras.detections import Detections
    from stm_keras.io.recording import Recording
    from stm_keras.maps import ConductanceMaps

_COLUMN_UNITS = {"row": "px", "col": "px"}


@xarray.register_dataarray_accessor("stm")
class StmAccessor:
    """Maps in an array with the dimensions y, x and, for several, bias.

    Dimensions are known by name, in any order; lengths may be in any unit of
    length and the bias in V, mV or eV, as the `units` of the coordinates say.
    y counts upwards unless its coordinate has positive="down".

    Args:
        array: the array.
    """

    def __init__(self, array: xarray.DataArray) -> None:
        self._array = array

    @cached_property
    def maps(self) -> "ConductanceMaps":
        """The maps, float32 [V, H, W], row 0 the top of the frame.

        Raises:
            InputError: where the array is no stack of maps, or lacks a bias
                or a size.
        """
        return self.read()

    def read(self, **options: Any) -> "ConductanceMaps":
        """The maps, with what the array does not say.

        Args:
            **options: see `stm_keras.io.recording.ReadOptions`: `bias_v` [V]
                of each map, `extent_nm`, height and width [nm].

        Raises:
            InputError: see `maps`.
        """
        from stm_keras.io.reader import maps_of
        from stm_keras.io.recording import ReadOptions

        return maps_of(_recording(self._array), ReadOptions(**options))

    def find(self, surface: str | None = None, **options: Any) -> "Detections":
        """Find the impurities.

        Args:
            surface: see `stm_keras.find`.
            **options: likewise: `detector`, `threshold`, `region` ...

        Returns:
            The table of impurities. Rows and columns [px] are those of
            `maps`; `with_positions` gives the array's own coordinates.

        Raises:
            InputError: see `maps` and `stm_keras.find`.
        """
        from stm_keras.api import find

        return find(self.maps, surface=surface, **options)

    def plot(self, most: int = 6) -> "Figure":
        """Draw the maps side by side; see `ConductanceMaps.plot`."""
        return self.maps.plot(most)

    def with_positions(self, found: "Detections") -> xarray.Dataset:
        """The array and a table of impurities in one data set.

        Args:
            found: in this array.

        Returns:
            The array, and along `impurity` the columns of the table with
            their units, and `x` and `y` of the array as `impurity_x` and
            `impurity_y`, in its own coordinates and units.

        Raises:
            InputError: where `found` is of other maps.
        """
        if found.maps.shape != self.maps.shape:
            raise InputError(
                "These impurities were found in other maps: of the shape "
                f"{found.maps.shape}, not {self.maps.shape}."
            )
        variables: dict[str, Any] = {
            name: ("impurity", values, {"units": _unit(name)})
            for name, values in found.columns().items()
        }
        order = np.argsort(-found.scores, kind="stable")
        for short, axis in (("y", 1), ("x", 2)):
            values, unit = self._along(axis, found.positions_px[order])
            variables[f"impurity_{short}"] = (
                "impurity",
                values,
                {"units": unit},
            )
        array = self._array.rename(self._array.name or "maps")
        return (
            array.to_dataset()
            .assign(variables)
            .assign_attrs(
                expected_false=np.nan
                if found.expected_false is None
                else found.expected_false,
                provenance=list(found.notes),
            )
        )

    def _along(
        self, axis: int, positions_px: np.ndarray
    ) -> tuple[np.ndarray, str]:
        """Positions along an axis in the array's coordinate, and its unit."""
        pixels = positions_px[:, axis - 1]
        # Read like the array, a coordinate comes out as the maps lie.
        for dimension in self._array.dims:
            coordinate = self._array.coords.get(dimension)
            if coordinate is None or coordinate.dtype.kind not in "fiu":
                continue
            spread = coordinate.astype(float).broadcast_like(self._array)
            grid = self._array.copy(data=spread.transpose(*self._array.dims))
            # Where rows count from belongs to it, the maps' unit does not.
            grid.attrs.pop("units", None)
            (channel, *_) = _recording(grid).channels
            line = np.moveaxis(channel.load(), axis, 0)
            line = line.reshape(len(line), -1)
            if np.ptp(line[:, 0]) and not np.ptp(line, axis=1).any():
                steps = np.arange(len(line))
                slope, start = np.polyfit(steps, line[:, 0], 1)
                return start + slope * pixels, coordinate.attrs.get("units", "")
        return pixels, "px"


def _recording(array: xarray.DataArray) -> "Recording":
    """An array as a file would hold it.

    Raises:
        InputError: where it is no stack of maps.
    """
    from stm_keras.io.tables import Table, Variable, table_recording

    name = str(array.name or "maps")
    variables = {
        str(key): Variable(
            tuple(map(str, one.dims)),
            one.shape,
            one.dtype.kind,
            one.attrs,
            lambda one=one: one.values,
            one.values if one.ndim < 2 else None,
        )
        for key, one in {**array.coords, name: array}.items()
    }
    source = Path(str(array.attrs.get("source", name)))
    return table_recording(source, "DataArray", Table(variables))


def _unit(column: str) -> str:
    return "nm" if column.endswith("_nm") else _COLUMN_UNITS.get(column, "1")
