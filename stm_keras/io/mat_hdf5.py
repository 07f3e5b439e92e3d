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

from stm_keras.errors import InputError
from stm_keras.io.mat_variables import MAX_VARIABLES, Variable, damaged
from stm_keras.io.recording import printable
from stm_keras.io.unpacking import MAX_COMPRESSION

_DEFLATE, _SHUFFLE, _CHECKSUM, _LZF = 1, 2, 3, 32000
_FREE_BYTES = 1 << 16  # what a small array may unpack to, whatever its ratio
_MAX_AXES = 8


def hdf5_variables(path: Path) -> Iterator[Variable]:
    """The variables at the top of a file of version 7.3.

    Raises:
        InputError: for a damaged or truncated file.
        OSError: where it cannot be read.
    """
    try:
        with h5py.File(path, "r") as file:
            names = list(file)[:MAX_VARIABLES]
            found = [_listed(path, file, name) for name in names]
    except InputError:
        raise
    except Exception as error:  # h5py's are of many kinds
        raise damaged(path, "unreadable HDF5") from error
    for item in found:
        if item is not None:
            yield item


def _listed(path: Path, file: h5py.File, name: str) -> Variable | None:
    # Links to other files could lead anywhere.
    if not isinstance(file.get(name, getlink=True), h5py.HardLink):
        return None
    dataset, shape = file[name], ()
    if not isinstance(dataset, h5py.Dataset):
        kind = "cell" if name == "#refs#" else "struct"
    elif dataset.shape is None or "MATLAB_empty" in dataset.attrs:
        kind = "empty"
    else:
        kind = "numbers" if dataset.dtype.kind in "fiu" else "other"
        if dataset.attrs.get("MATLAB_class") in (b"char", b"logical"):
            kind = "text or logical"
        shape = tuple(int(n) for n in dataset.shape[::-1])
    return Variable(printable(name), kind, shape, partial(_read, path, name))


def _read(path: Path, name: str) -> np.ndarray:
    try:
        with h5py.File(path, "r") as file:
            dataset = file[name]
            if not isinstance(dataset, h5py.Dataset):
                raise damaged(path, f"{name} is gone")
            if fault := _fault(dataset):
                raise InputError(f"{path}: {name} {fault}. Save it again.")
            array = dataset[()]
    except InputError:
        raise
    except Exception as error:
        raise damaged(path, f"{name} cannot be read") from error
    return np.asarray(array).T


def _fault(dataset: h5py.Dataset) -> str:
    """Why a dataset is not read; "" where it is.

    HDF5 makes room for a whole chunk and h5py for the whole array before
    anything is read, so the file must hold what they promise: every chunk,
    and as many bytes as maps can be packed into.
    """
    if dataset.dtype.kind not in "fiu" or dataset.ndim > _MAX_AXES:
        return f"must hold real numbers, not {dataset.dtype}"
    if dataset.external or dataset.is_virtual:
        return "lies in another file"
    created = dataset.id.get_create_plist()
    filters = {created.get_filter(i)[0] for i in range(created.get_nfilters())}
    if not filters <= {_DEFLATE, _SHUFFLE, _CHECKSUM, _LZF}:
        return "is packed in a way MATLAB does not use"
    stored = dataset.id.get_storage_size()
    size = dataset.size * dataset.dtype.itemsize
    if dataset.chunks is None:
        if stored < size:
            return f"promises {size} bytes, the file holds {stored}"
        return ""
    pieces = math.prod(
        -(-n // m) for n, m in zip(dataset.shape, dataset.chunks, strict=True)
    )
    if dataset.id.get_num_chunks() < pieces:
        return "is not written to its end"
    packed = bool(filters & {_DEFLATE, _LZF})
    limit = max(stored * MAX_COMPRESSION, _FREE_BYTES) if packed else stored
    chunk = math.prod(dataset.chunks) * dataset.dtype.itemsize
    if chunk * pieces > limit:
        return f"promises {chunk * pieces} bytes, the file holds {stored}"
    return ""
