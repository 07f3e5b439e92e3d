"""NetCDF files (.nc): version 4 by h5py, version 3 by SciPy from memory."""

import io
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from scipy.io import netcdf_file

from stm_keras.errors import InputError
from stm_keras.io import gxsm
from stm_keras.io import hdf5_storage as storage
from stm_keras.io.recording import Recording, printable
from stm_keras.io.tables import Table, Variable, table_recording

_HDF5 = b"\x89HDF\r\n\x1a\n"
# How a dimension without coordinates is marked, and what is not the user's.
_BARE_DIMENSION = "This is a netCDF dimension but not a netCDF variable"
_OWN = ("CLASS", "NAME", "DIMENSION_LIST", "REFERENCE_LIST")


def open_netcdf(path: Path) -> Recording:
    """Read a NetCDF file, version 3 or 4.

    Args:
        path: the file; see `tables` for what its dimensions mean, and `gxsm`
            for those of GXSM. What `ConductanceMaps.to_xarray` and xarray
            wrote comes back as it was.

    Raises:
        InputError: for a damaged file, one without maps, or one that refers
            to other files.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        is_hdf5 = file.read(len(_HDF5)) == _HDF5
    try:
        table = _version_4(path) if is_hdf5 else _version_3(path)
        if gxsm.is_gxsm(table):
            return gxsm.recording(path, table)
        return table_recording(path, "NetCDF file", table)
    except (InputError, OSError):
        raise
    # For damaged files the libraries raise whatever their layers do.
    except Exception as error:
        raise _unreadable(path, error) from error


def _version_3(path: Path) -> Table:
    # From memory nothing can be read beyond the file's end.
    content = io.BytesIO(path.read_bytes())
    with netcdf_file(content, "r", mmap=False) as file:
        return Table(
            {
                printable(name): Variable(
                    tuple(map(str, variable.dimensions)),
                    variable.data.shape,
                    variable.data.dtype.kind,
                    _texts(variable._attributes),
                    partial(np.asarray, variable.data),
                    variable.data,
                )
                for name, variable in file.variables.items()
            },
            _texts(file._attributes),
        )


def _texts(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: value.decode("utf-8", "replace")
        if isinstance(value, bytes)
        else value
        for name, value in attributes.items()
    }


def _version_4(path: Path) -> Table:
    """The variables of the file's top group."""
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
        variables = {}
        for name in file:
            node = storage.member(file, name)
            if isinstance(node, h5py.Dataset) and not _is_bare(node):
                variables[printable(name)] = _variable(path, name, node)
        return Table(variables, _attributes(file))


def _is_bare(dataset: h5py.Dataset) -> bool:
    """Whether a dataset is a dimension and no variable."""
    return storage.text_of(dataset, "NAME").startswith(_BARE_DIMENSION)


def _variable(path: Path, name: str, dataset: h5py.Dataset) -> Variable:
    shape = tuple(dataset.shape or ())
    return Variable(
        _dimensions(name, dataset),
        shape,
        dataset.dtype.kind,
        _attributes(dataset),
        partial(_numbers, path, name),
        storage.side_values(dataset) if len(shape) < 2 else None,
    )


def _dimensions(name: str, dataset: h5py.Dataset) -> tuple[str, ...]:
    """Names of a dataset's dimensions, "dim_..." where they have none."""
    # A coordinate is its own dimension, and is not listed as such.
    if storage.text_of(dataset, "CLASS") == "DIMENSION_SCALE":
        return (name,) * dataset.ndim
    names = []
    for index, dimension in enumerate(dataset.dims):
        scale = dimension[0].name if len(dimension) else None
        own = str(scale or "").rsplit("/", 1)[-1]
        names.append(printable(own) or f"dim_{dataset.shape[index]}_{index}")
    return tuple(names)


def _attributes(node: h5py.Group | h5py.Dataset) -> dict[str, Any]:
    """Attributes as texts, numbers and lists."""
    found: dict[str, Any] = {}
    for name in node.attrs:
        value = None if name in _OWN else storage.attribute(node, str(name))
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if value is not None:
            found[str(name)] = value
    return found


def _numbers(path: Path, name: str) -> NDArray[Any]:
    """Numbers of a variable, NaN where a chunk was never written."""
    with storage.opened(path) as file:
        dataset = storage.member(file, name)
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: {name} is gone. Read the file again.")
        return storage.numbers(path, dataset)


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = printable(" ".join(str(error).split()))[:160]
    return InputError(
        f"{path}: no readable NetCDF file ({type(error).__name__}: {reason}). "
        "It is truncated, damaged or of another kind: write it again."
    )
