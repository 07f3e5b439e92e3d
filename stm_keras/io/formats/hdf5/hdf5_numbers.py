"""The numbers of an HDF5 dataset, read once its sizes are checked.

The library allocates what a header asks for, unpacks a chunk as far as it
goes, and puts zeros where nothing was written.
"""

import math
import zlib
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.unpacking import FREE_BYTES, check_unpacked
from stm_keras.io.si_units import scaled

_MAX_DEFLATE = 1032  # the method's own limit
_MOST_SIDE_POINTS = 1 << 18  # of an axis, a list of biases, a text

REAL_KINDS = "fiu"


def is_real(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds real numbers; texts and records do not."""
    return dataset.dtype.kind in REAL_KINDS and dataset.shape is not None


def side_values(dataset: object) -> NDArray[Any] | None:
    """All of a short dataset, such as an axis; None where that is not safe."""
    if not isinstance(dataset, h5py.Dataset) or not dataset.size:
        return None
    plan = dataset.id.get_create_plist()
    chunk = math.prod(dataset.chunks or ()) * dataset.dtype.itemsize
    unsafe = dataset.is_virtual or plan.get_external_count()
    # The lengths of packed texts cannot be checked beforehand.
    unsafe = unsafe or (dataset.dtype.kind == "O" and plan.get_nfilters())
    if unsafe or dataset.size > _MOST_SIDE_POINTS or chunk > FREE_BYTES:
        return None
    return np.asarray(dataset[()])


def check(
    path: Path, dataset: h5py.Dataset, *, may_be_empty: bool = False
) -> None:
    """Refuse a dataset that lies outside the file or is larger than it.

    Args:
        path: the file.
        dataset: real numbers.
        may_be_empty: whether it need not have been written, as NetCDF's
            dimensions are not.

    Raises:
        InputError: where it does or is.
    """
    where = f"{path}: {dataset.name}"
    plan = dataset.id.get_create_plist()
    if dataset.is_virtual or plan.get_external_count():
        raise InputError(
            f"{where} lies in another file, which is not opened. Write its "
            "numbers into this one."
        )
    size = dataset.dtype.itemsize
    promised = math.prod(dataset.shape) * size
    stored = dataset.id.get_storage_size()
    empty = bool(promised) and not stored and not may_be_empty
    if empty or stored > path.stat().st_size:
        raise InputError(
            f"{where} promises the shape {list(dataset.shape)}, {stored} "
            "bytes of it are stored. It is damaged or was never written."
        )
    check_unpacked(where, promised, stored)
    if dataset.chunks:
        chunk = math.prod(dataset.chunks) * size
        check_unpacked(f"{where}, each of its chunks,", chunk, stored)


def numbers(path: Path, dataset: h5py.Dataset) -> NDArray[np.floating]:
    """The numbers of a dataset, NaN where a chunk was never written.

    Raises:
        InputError: see `check` and `check_chunks`.
    """
    check(path, dataset)
    check_chunks(path, dataset)
    values = scaled(np.asarray(dataset[()]), 1.0)
    if dataset.chunks and missing_chunks(dataset):
        absent = np.ones(_grid(dataset), dtype=bool)
        for chunk in _chunks(dataset):
            pairs = zip(chunk.chunk_offset, dataset.chunks, strict=True)
            absent[tuple(start // side for start, side in pairs)] = False
        for axis, side in enumerate(dataset.chunks):
            absent = np.repeat(absent, side, axis)
            absent = absent.take(range(values.shape[axis]), axis)
        values[absent] = np.nan
    return values


def missing_chunks(dataset: h5py.Dataset) -> int:
    """How many chunks of a dataset were never written."""
    if not dataset.chunks or not dataset.size:
        return 0
    return math.prod(_grid(dataset)) - dataset.id.get_num_chunks()


def _grid(dataset: h5py.Dataset) -> tuple[int, ...]:
    pairs = zip(dataset.shape, dataset.chunks or (), strict=True)
    return tuple(-(-side // step) for side, step in pairs)


def _chunks(dataset: h5py.Dataset) -> list[h5py.h5d.StoreInfo]:
    """Place and size of every chunk that was written."""
    chunks: list[h5py.h5d.StoreInfo] = []
    # The callback goes on as long as it returns None.
    dataset.id.chunk_iter(chunks.append)
    return chunks


def check_chunks(path: Path, dataset: h5py.Dataset) -> None:
    """Unpack every chunk that may be a bomb, up to its promised size.

    The library unpacks as far as a chunk goes, whatever its size should be.

    Raises:
        InputError: where one goes further than it should.
    """
    plan = dataset.id.get_create_plist()
    kinds = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if h5py.h5z.FILTER_DEFLATE not in kinds or not dataset.chunks:
        return
    promised = math.prod(dataset.chunks) * dataset.dtype.itemsize
    for info in _chunks(dataset):
        if info.size * _MAX_DEFLATE <= FREE_BYTES or info.filter_mask:
            continue
        _, packed = dataset.id.read_direct_chunk(info.chunk_offset)
        try:
            held = zlib.decompressobj().decompress(packed, promised + 1)
        except zlib.error as error:
            raise InputError(
                f"{path}: {dataset.name} is damaged ({error}). Copy it again."
            ) from error
        if len(held) > promised:
            raise InputError(
                f"{path}: {dataset.name} unpacks to more than its chunks "
                "hold: refused. Write it again."
            )
