"""NetCDF files and Zarr stores, through xarray."""

import io
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.hdf5 import hdf5_files, hdf5_numbers
from stm_keras.io.formats.netcdf import zarr_stores
from stm_keras.io.formats.netcdf.xarray_maps import dataset_recording, no_maps
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.recording import Recording, printable
from stm_keras.system import atomic_file

_HDF5 = b"\x89HDF\r\n\x1a\n"


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
    with hdf5_files.opened(path) as file:
        found = hdf5_files.contents(file)
        if found.outside:
            raise InputError(
                f"{path}: {printable(found.outside[0])} links to another "
                "file, which is not opened. Write its content into this one."
            )
        for dataset in found.datasets.values():
            if dataset.size:
                hdf5_numbers.check(path, dataset, may_be_empty=True)
                hdf5_numbers.check_chunks(path, dataset)
