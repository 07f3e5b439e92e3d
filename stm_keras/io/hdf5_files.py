"""HDF5 files, opened so that they can neither fill memory nor reach out.

The library allocates what a header asks for, and a file may point to others:
by external links, virtual datasets and raw storage outside. Here sizes are
checked against what is stored, and nothing outside the file is opened.
"""

import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.unpacking import FREE_BYTES, check_unpacked

_MOST_OBJECTS = 20_000
_MOST_SOFT = 8  # soft links behind soft links
_MAX_DEFLATE = 1032  # the method's own limit
_MOST_ATTRIBUTE_BYTES = 1 << 20

REAL_KINDS = "fiu"


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; faults of the library become `InputError`.

    Raises:
        InputError: for a damaged or truncated file, or one being written.
        OSError: where the file cannot be read at all.
    """
    with path.open("rb"):  # says why, where even this cannot be done
        pass
    try:
        with h5py.File(path, "r") as file:
            yield file
    except InputError:
        raise
    # For damaged files the library raises whatever its layers do.
    except Exception as error:
        reason = " ".join(str(error).split())[:160]
        raise InputError(
            f"{path}: HDF5 cannot be read ({reason}). It is truncated, "
            "damaged or still being written: copy it again."
        ) from error


def datasets(group: h5py.Group) -> tuple[dict[str, h5py.Dataset], list[str]]:
    """All arrays of real numbers below a group, and what was left out.

    Args:
        group: where to begin.

    Returns:
        Datasets by path; and the paths of links to other files.
    """
    found: dict[str, h5py.Dataset] = {}
    outside: list[str] = []
    seen = {h5py.h5o.get_info(group.id).addr}
    waiting = [group]
    while waiting and len(seen) < _MOST_OBJECTS:
        parent = waiting.pop(0)
        for name in parent:
            link = parent.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                outside.append(f"{parent.name or ''}/{name}".replace("//", "/"))
            if not isinstance(link, h5py.HardLink):
                continue
            child = parent[name]
            address = h5py.h5o.get_info(child.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(child, h5py.Group):
                waiting.append(child)
            elif isinstance(child, h5py.Dataset) and is_real(child):
                found[str(child.name)] = child
    return found, outside


def is_real(dataset: h5py.Dataset) -> bool:
    """Whether a dataset holds real numbers; texts and records do not."""
    return dataset.dtype.kind in REAL_KINDS and dataset.shape is not None


def member(group: h5py.Group, path: str) -> h5py.Group | h5py.Dataset | None:
    """What lies at a path within the file; None where nothing does.

    Soft links are followed step by step, links to other files never.
    """
    here: h5py.Group | h5py.Dataset = group
    steps, soft = path.split("/")[::-1], 0
    if path.startswith("/"):
        here = group.file
    while steps:
        name = steps.pop()
        if name in ("", "."):
            continue
        if not isinstance(here, h5py.Group):
            return None
        link = here.get(name, getlink=True)
        if isinstance(link, h5py.SoftLink) and soft < _MOST_SOFT:
            soft += 1
            if link.path.startswith("/"):
                here = group.file
            steps += link.path.split("/")[::-1]
        elif isinstance(link, h5py.HardLink):
            child = here[name]
            if isinstance(child, h5py.Datatype):
                return None
            here = child
        else:
            return None
    return here


def attribute(node: h5py.Group | h5py.Dataset, name: str) -> object:
    """An attribute as text, number or array; None where there is none.

    Object references, records and texts of no known encoding are none.
    """
    if name not in node.attrs:
        return None
    if node.attrs.get_id(name).get_storage_size() > _MOST_ATTRIBUTE_BYTES:
        return None
    value = node.attrs[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return [
            v.decode("utf-8", "replace") if isinstance(v, bytes) else v
            for v in value.ravel().tolist()
        ]
    return value if not isinstance(value, h5py.Reference) else None


def text_of(node: h5py.Group | h5py.Dataset, *names: str) -> str:
    """The first of some attributes that is a text; empty where none is."""
    for name in names:
        value = attribute(node, name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str):
            return value
    return ""


def check(path: Path, dataset: h5py.Dataset) -> None:
    """Refuse a dataset that lies outside the file or is larger than it.

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
    if stored > path.stat().st_size or (promised and not stored):
        raise InputError(
            f"{where} promises the shape {list(dataset.shape)}, {stored} "
            "bytes of it are stored. It is damaged or was never written."
        )
    check_unpacked(where, promised, stored)
    if dataset.chunks:
        chunk = math.prod(dataset.chunks) * size
        check_unpacked(f"{where}, each of its chunks,", chunk, stored)
        _check_deflate(where, dataset, plan, chunk)


def numbers(path: Path, dataset: h5py.Dataset) -> NDArray[np.floating]:
    """The numbers of a dataset, NaN where a chunk was never written.

    Raises:
        InputError: see `check`.
    """
    check(path, dataset)
    values = np.asarray(dataset[()])
    if values.dtype.kind != "f":
        values = values.astype(np.float32 if values.itemsize < 4 else float)
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


def _check_deflate(
    where: str, dataset: h5py.Dataset, plan: h5py.h5p.PropDCID, chunk: int
) -> None:
    """Unpack every chunk that may be a bomb, up to its promised size.

    The library unpacks as far as a chunk goes, whatever its size should be.
    """
    kinds = {plan.get_filter(i)[0] for i in range(plan.get_nfilters())}
    if h5py.h5z.FILTER_DEFLATE not in kinds:
        return
    for info in _chunks(dataset):
        if info.size * _MAX_DEFLATE <= FREE_BYTES or info.filter_mask:
            continue
        _, packed = dataset.id.read_direct_chunk(info.chunk_offset)
        try:
            held = zlib.decompressobj().decompress(packed, chunk + 1)
        except zlib.error as error:
            raise InputError(f"{where} is damaged ({error}).") from error
        if len(held) > chunk:
            raise InputError(
                f"{where} unpacks to more than its chunks hold: refused."
            )
