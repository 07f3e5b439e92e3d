"""Tiny NetCDF files, written by SciPy (version 3) and h5netcdf (version 4).

Neither goes through xarray.
"""

import io
from collections.abc import Mapping

import h5netcdf.legacyapi
import numpy as np
from scipy.io import netcdf_file

Axes = Mapping[str, tuple[np.ndarray, Mapping[str, str]]]


def version_3(
    name: str, values: np.ndarray, axes: Axes, **attributes: object
) -> bytes:
    """One variable with its coordinates; `axes` in its order."""
    memory = io.BytesIO()
    # Closing the file would close the memory as well.
    file = netcdf_file(memory, "w")
    _fill(file, name, values, axes, attributes)
    file.flush()
    return memory.getvalue()


def version_4(
    name: str, values: np.ndarray, axes: Axes, **attributes: object
) -> bytes:
    """The same as HDF5."""
    memory = io.BytesIO()
    with h5netcdf.legacyapi.Dataset(memory, "w") as file:
        _fill(file, name, values, axes, attributes)
    return memory.getvalue()


def _fill(
    file: netcdf_file | h5netcdf.legacyapi.Dataset,
    name: str,
    values: np.ndarray,
    axes: Axes,
    attributes: Mapping[str, object],
) -> None:
    for axis, (points, texts) in axes.items():
        file.createDimension(axis, len(points))
        variable = file.createVariable(axis, points.dtype, (axis,))
        variable[:] = points
        for key, text in texts.items():
            setattr(variable, key, text)
    variable = file.createVariable(name, values.dtype, tuple(axes))
    variable[:] = values
    for key, value in attributes.items():
        setattr(variable, key, value)


def axes(shape: tuple[int, int, int], **y: str) -> Axes:
    """Bias, y and x of a stack [V, H, W], all rising."""
    n, rows, columns = shape
    return {
        "bias": (np.linspace(-100, 100, n), {"units": "mV"}),
        "y": ((np.arange(rows) + 0.5) * 0.5, {"units": "nm", **y}),
        "x": ((np.arange(columns) + 0.5) * 5, {"units": "Angstrom"}),
    }


def tiny_files() -> dict[str, bytes]:
    """A handful of files by name."""
    values = 3 + np.random.default_rng(7).normal(size=(3, 4, 5))
    stack = values.astype(np.float32)
    return {
        "three.nc": version_3("didv", stack, axes(stack.shape), units="nS"),
        "four.nc": version_4("didv", stack, axes(stack.shape), units="nS"),
    }
