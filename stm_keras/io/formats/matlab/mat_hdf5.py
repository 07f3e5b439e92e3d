"""Variables of MATLAB files of version 7.3, which are HDF5 files.

HDF5 keeps the axes of MATLAB's arrays in reverse, since MATLAB counts the
first one fastest; here they come out as MATLAB shows them.
"""

import math
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from stm_keras.io.formats.hdf5.hdf5_files import opened
from stm_keras.io.formats.hdf5.hdf5_numbers import (
    is_real,
    missing_chunks,
    numbers,
)
from stm_keras.io.formats.matlab.mat_variables import (
    MAX_VARIABLES,
    Variable,
    damaged,
)
from stm_keras.io.formats.unpacking import MAX_COMPRESSION
from stm_keras.io.recording import printable

_FREE_BYTES = 1 << 16  # what a small array may unpack to, whatever its ratio
_MAX_AXES = 8


def hdf5_variables(path: Path) -> Iterator[Variable]:
    """The variables at the top of a file of version 7.3.

    Raises:
        InputError: for a damaged or truncated file.
        OSError: where it cannot be read.
    """
    with opened(path) as file:
        found = [_listed(path, file, name) for name in list(file)]
    yield from found[:MAX_VARIABLES]


def _listed(path: Path, file: h5py.File, name: str) -> Variable:
    kind, shape = "struct", ()
    # Links to other files could lead anywhere.
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        kind = "link"
    elif isinstance(dataset := file[name], h5py.Dataset):
        shape = tuple(int(n) for n in (dataset.shape or ())[::-1])
        kind = "text or logical"
        if not shape or "MATLAB_empty" in dataset.attrs:
            kind = "empty"
        elif not is_real(dataset) or len(shape) > _MAX_AXES:
            kind = "other"
        elif dataset.attrs.get("MATLAB_class") not in (b"char", b"logical"):
            kind = "numbers"
    return Variable(printable(name), kind, shape, partial(_read, path, name))


def _read(path: Path, name: str) -> np.ndarray:
    with opened(path) as file:
        dataset = file[name]
        if not isinstance(dataset, h5py.Dataset):
            raise damaged(path, f"{printable(name)} is gone")
        if missing_chunks(dataset) or _is_inflated(dataset):
            raise damaged(path, f"{printable(name)} is not there in full")
        return numbers(path, dataset).T


def _is_inflated(dataset: h5py.Dataset) -> bool:
    """Whether chunks promise more than maps can be packed into.

    HDF5 makes room for a whole chunk before it unpacks it.
    """
    if dataset.chunks is None:
        return False
    pieces = zip(dataset.shape, dataset.chunks, strict=True)
    n_chunks = math.prod(-(-side // step) for side, step in pieces)
    promised = n_chunks * math.prod(dataset.chunks) * dataset.dtype.itemsize
    stored = dataset.id.get_storage_size()
    return promised > max(_FREE_BYTES, MAX_COMPRESSION * stored)
