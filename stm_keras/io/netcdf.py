"""NetCDF files and Zarr stores, through xarray.

Dimensions are found by name or unit, in any order. y counts from the top
where its coordinate has the attribute positive="down", as
`ConductanceMaps.to_xarray` writes, and upwards otherwise, as xarray and every
plotting program draw it. Without coordinates row 0 is the top.
"""

import io
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.files import atomic_file
from stm_keras.io import hdf5_storage as storage
from stm_keras.io import zarr_stores
from stm_keras.io.axes import (
    Axis,
    Framed,
    Layout,
    NotMapsError,
    bias_of,
    layout_of,
    recording_of,
    shortened,
    title_parts,
)
from stm_keras.io.channels import channel_key
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Recording, printable
from stm_keras.io.units import scaled, to_si

_REAL_KINDS = "fiu"
_SWEEP_POINTS = 3  # at least, to differentiate
_NO_NAME = "__xarray_dataarray_variable__"
_MOST_METADATA = 40
# What `nc_def_var_fill` puts where nothing was written.
_UNWRITTEN = 9.969209968386869e36

Loader = Callable[[str], NDArray[Any]]

_HDF5 = b"\x89HDF\r\n\x1a\n"


def dataset_recording(
    path: Path, format_name: str, dataset: xr.Dataset, load: Loader
) -> Recording:
    """Make a recording of all stacks and images of a data set.

    Args:
        path: the file or store.
        format_name: for people.
        dataset: opened, its coordinates readable.
        load: gives the values of a variable, after `dataset` was closed.

    Raises:
        InputError: where there is none; the message says why each is not.
    """
    framed, faults, history = list[Framed](), list[str](), tuple[str, ...]()
    for name, array in dataset.data_vars.items():
        if array.dtype.kind not in _REAL_KINDS or array.ndim < 2:
            continue
        sizes = " x ".join(map(str, array.shape))
        try:
            framed.append(_framed(str(name), dataset, array, load))
        except NotMapsError as error:
            faults.append(f"{printable(str(name))} ({sizes}) {error}")
        history = history or _lines(array.attrs.get("provenance"))
    return recording_of(
        path,
        format_name,
        framed,
        metadata=_metadata(dataset.attrs),
        history=history,
        none="no maps. "
        + (shortened(faults) or "It has no variable of two axes or more")
        + ". Maps have the dimensions y, x and, for several, bias, with units",
    )


def _framed(
    name: str, dataset: xr.Dataset, array: xr.DataArray, load: Loader
) -> Framed:
    ours = "extent_nm" in array.attrs
    axes = [_axis(dataset, str(d), n) for d, n in array.sizes.items()]
    if ours:
        axes = [replace(axis, downwards=True) for axis in axes]
    layout = layout_of(axes)
    label = (
        _text(array.attrs, "long_name") if ours or name == _NO_NAME else name
    )
    title, direction, in_title = title_parts(printable(label))
    if ours:
        title, direction = label, "forward"
    factor, unit = to_si(_text(array.attrs, "units", "unit"))
    bias_v = layout.bias_v
    if bias_v.size == 1 and np.isnan(bias_v).all():
        known = _scalar_bias_v(dataset, array)
        bias_v = np.array([in_title if np.isnan(known) else known])
    extent_nm = _pair(array.attrs.get("extent_nm")) or layout.extent_nm
    channel = Channel(
        title,
        printable(unit),
        bias_v,
        partial(_arranged, load, name, layout, factor),
        direction,
        sweep=bias_v.size >= _SWEEP_POINTS,
    )
    metadata = _metadata(array.attrs)
    placed = _placement(array.attrs, layout)
    return Framed(channel, layout.shape, extent_nm, placed, metadata)


def _arranged(
    load: Loader, name: str, layout: Layout, factor: float
) -> NDArray[np.floating]:
    maps = scaled(layout.arranged(load(name)), 1.0)
    unwritten = np.abs(maps) >= _UNWRITTEN * (1 - 1e-6)
    if unwritten.any():
        maps = np.where(unwritten, np.nan, maps)
    return scaled(maps, factor)


def _axis(dataset: xr.Dataset, name: str, size: int) -> Axis:
    """A dimension with its coordinate, or the one variable along it."""
    along = [
        str(key)
        for key, variable in dataset.variables.items()
        if variable.dims == (name,) and variable.dtype.kind in _REAL_KINDS
    ]
    chosen = name if name in along else along[0] if len(along) == 1 else ""
    # Dimensions of files that do not name them.
    bare = "" if name.startswith(("phony_dim", "dim_")) else name
    if not chosen:
        return Axis(bare, size)
    variable = dataset.variables[chosen]
    positive = _text(variable.attrs, "positive").lower()
    return Axis(
        bare or chosen,
        size,
        np.asarray(variable.values, dtype=np.float64),
        _text(variable.attrs, "units", "unit"),
        {"down": True, "up": False}.get(positive),
    )


def _scalar_bias_v(dataset: xr.Dataset, array: xr.DataArray) -> float:
    """The bias of a single map [V]: a coordinate, or an attribute."""
    texts: dict[str, str] = {}
    for attrs in (dataset.attrs, array.attrs):
        texts |= {str(k): str(v) for k, v in attrs.items() if np.ndim(v) == 0}
    for key, variable in dataset.variables.items():
        if variable.size == 1 and variable.dtype.kind in _REAL_KINDS:
            unit = _text(variable.attrs, "units", "unit")
            texts[str(key)] = f"{float(variable.values.ravel()[0])!r} {unit}"
    return bias_of(texts)


def _placement(attrs: Mapping[str, Any], layout: Layout) -> Placement | None:
    centre = _pair(attrs.get("centre_nm"))
    angle = np.asarray(attrs.get("angle_deg", 0.0))
    known = angle.size == 1 and angle.dtype.kind in _REAL_KINDS
    turn = float(angle.ravel()[0]) if known else 0.0
    centre = centre or layout.centre_nm
    if centre is None or not np.isfinite([*centre, turn]).all():
        return None
    return Placement(centre, turn)


def _pair(value: Any) -> tuple[float, float] | None:
    pair = np.asarray(value)
    if pair.shape != (2,) or pair.dtype.kind not in _REAL_KINDS:
        return None
    return float(pair[0]), float(pair[1])


def _text(attrs: Mapping[str, Any], *names: str) -> str:
    found = [attrs[name] for name in names if isinstance(attrs.get(name), str)]
    return str(found[0]) if found else ""


def _lines(value: Any) -> tuple[str, ...]:
    """Lines of a provenance; a single one comes back as a text."""
    if value is None:
        return ()
    lines = [value] if isinstance(value, str) else np.ravel(value).tolist()
    return tuple(printable(str(line)) for line in lines)


def _metadata(attrs: Mapping[str, Any]) -> dict[str, str]:
    """Attributes that are texts or numbers, for people."""
    kept = {
        printable(str(key)): printable(str(value))
        for key, value in attrs.items()
        if np.ndim(value) == 0 and channel_key(str(key)) != "provenance"
    }
    skipped = ("units", "unit", "long_name", "_FillValue", "angle_deg")
    kept = {key: v for key, v in kept.items() if key not in skipped and v}
    return dict(list(kept.items())[:_MOST_METADATA])


def no_maps(path: Path, error: Exception) -> InputError:
    """The message for a file that xarray cannot open."""
    reason = " ".join(str(error).split())[:160]
    return InputError(
        f"{path}: xarray cannot read it ({type(error).__name__}: {reason}). It "
        "is truncated, damaged or of another kind: write it again."
    )


def open_netcdf(path: Path) -> Recording:
    """Read a NetCDF file, version 3 or 4.

    Args:
        path: the file; see `xarray_maps` for what its dimensions mean. What
            `write_netcdf` wrote comes back as it was.

    Raises:
        InputError: for a damaged file, one without maps, or one that refers
            to other files.
        OSError: where the file cannot be read.
    """
    if _is_hdf5(path):
        _check_hdf5(path)
    return _recording(path, "NetCDF file", _opened)


def open_zarr(path: Path) -> Recording:
    """Read a Zarr store, a directory or a zip archive, version 2 or 3.

    Args:
        path: the store; its arrays are read as those of a NetCDF file.

    Raises:
        InputError: for a damaged store, one without maps, or one that needs
            code that is not Zarr's own.
        OSError: where it cannot be read.
    """
    zarr_stores.check(path)
    return _recording(path, "Zarr store", zarr_stores.opened)


def write_netcdf(maps: ConductanceMaps, path: str | Path) -> None:
    """Write maps so that `open_netcdf` gives the same ones back.

    Args:
        maps: the maps; NaN stays NaN.
        path: the file, replaced as a whole where it exists.
    """
    array = maps.to_xarray()
    with atomic_file(path) as temporary:
        array.to_dataset().to_netcdf(temporary, engine="h5netcdf")


def _recording(
    path: Path,
    format_name: str,
    opened: Callable[[Path], AbstractContextManager[xr.Dataset]],
) -> Recording:
    """The recording of a data set; it is opened again for every channel."""

    def values(name: str) -> NDArray[Any]:
        try:
            with opened(path) as dataset:
                return np.asarray(dataset[name].values)
        except Exception as error:
            raise no_maps(path, error) from error

    try:
        with opened(path) as dataset:
            return dataset_recording(path, format_name, dataset, values)
    except (InputError, OSError):
        raise
    # For damaged files the libraries raise whatever their layers do.
    except Exception as error:
        raise no_maps(path, error) from error


def _is_hdf5(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(_HDF5)) == _HDF5


def _opened(path: Path) -> xr.Dataset:
    """The file as a data set; values are read later."""
    is_hdf5 = _is_hdf5(path)
    return xr.open_dataset(
        # From memory nothing can be read beyond the file's end.
        path if is_hdf5 else io.BytesIO(path.read_bytes()),
        engine="h5netcdf" if is_hdf5 else "scipy",
        decode_times=False,
        decode_coords=False,
        cache=False,
        backend_kwargs={"phony_dims": "sort"} if is_hdf5 else None,
    )


def _check_hdf5(path: Path) -> None:
    with storage.opened(path) as file:
        found = storage.contents(file)
        if found.outside:
            raise InputError(
                f"{path}: {printable(found.outside[0])} links to another "
                "file, which is not opened. Write its content into this one."
            )
        for dataset in found.datasets.values():
            if dataset.size:
                storage.check(path, dataset, may_be_empty=True)
                storage.check_chunks(path, dataset)
