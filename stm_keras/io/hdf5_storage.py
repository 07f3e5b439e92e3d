"""HDF5 files, opened so that they can neither fill memory nor reach out.

The library allocates what a header asks for, unpacks a chunk as far as it
goes, puts zeros where nothing was written, and a file may point to others: by
external links, virtual datasets and raw storage outside. Here sizes are
checked against what is stored, and nothing outside the file is opened.

A "global heap collection" holds the texts of variable length, such as units:
a header and objects behind each other, the free room last, as object 0. With
a free object of size 0 in its midst HDF5 (1.14 and 2.0) never comes back. And
for a reference to an object (length, address of the collection, index) it
makes room for that length, up to 4 GB, before it looks at the object. Both
are looked for before the library opens the file.

Other damaged texts and names make it crash: there another process tries first.

Source: "HDF5 File Format Specification 3.0", III.E, Disk Format: Level 1E.
"""

import contextlib
import faulthandler
import math
import mmap
import os
import struct
import subprocess
import sys
import threading
import warnings
import zlib
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.units import scaled
from stm_keras.io.unpacking import FREE_BYTES, check_unpacked

# Signature, version, three reserved bytes; then the collection's size.
_HEAP = b"GCOL\x01\0\0\0"
_HEAP_HEADER = 16
_HEAP_OBJECT = struct.Struct("<HHIQ")  # index, references, reserved, size
_MOST_INDEX = 1 << 16
_MOST_SEARCHED = 1 << 32  # bytes, all collections together: some seconds

# On damaged texts of variable length, and on damaged "fractal heaps", which
# keep more than eight names, the library (1.14.6) may crash. So another process
# walks through such a file first.
_DENSE = b"FRHP"

_MOST_OBJECTS = 10_000
_DEEPEST = 64
_MOST_SOFT = 8  # soft links behind soft links
_MOST_ATTRIBUTE_BYTES = 1 << 20

_MAX_DEFLATE = 1032  # the method's own limit
_MOST_SIDE_POINTS = 1 << 18  # of an axis, a list of biases, a text

REAL_KINDS = "fiu"


@lru_cache(maxsize=64)
def _check(path: Path, n_bytes: int, _changed_ns: int) -> None:
    """Refuse a file on which the library would not come back, or crash.

    Once for each file, as it is when it is opened first.

    Raises:
        InputError: where it would.
        OSError: where the file cannot be read.
    """
    if not n_bytes:
        return
    with (
        path.open("rb") as file,
        mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content,
    ):
        _check_heaps(path, content)
        risky = any(content.find(mark) >= 0 for mark in (_HEAP, _DENSE))
        if risky and _crashes(path):
            raise InputError(
                f"{path}: the HDF5 library fails on its names or texts. It is "
                "damaged: copy it again."
            )


def _crashes(path: Path) -> bool:
    """Whether walking through a file ends the process that does it."""
    if hasattr(os, "fork") and threading.active_count() == 1:
        return _crashes_forked(path)
    code = "import sys; from stm_keras.io import hdf5_storage as storage; "
    done = subprocess.run(
        [sys.executable, "-c", f"{code}storage.walk(sys.argv[1])", str(path)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    return done.returncode not in (0, 1)  # 1: an exception, told later


def _crashes_forked(path: Path) -> bool:
    """The same in a copy of this process, which takes some milliseconds."""
    with warnings.catch_warnings():  # of threads, of which Python has one
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if not child:
        faulthandler.disable()
        with contextlib.suppress(BaseException):
            walk(path)
        os._exit(0)
    _, status = os.waitpid(child, 0)
    return status != 0


def walk(path: str | Path) -> None:
    """Touch all names, shapes and attributes of a file.

    Raises:
        Exception: whatever the library raises for a damaged one.
    """

    def look(_: str, node: h5py.Group | h5py.Dataset) -> None:
        for key in node.attrs:
            with contextlib.suppress(Exception):
                node.attrs[key]
        if isinstance(node, h5py.Dataset):
            with contextlib.suppress(Exception):
                for dimension in node.dims:
                    len(dimension)
                side_values(node)

    with h5py.File(path, "r") as file:
        look("/", file)
        file.visititems(look)


def _check_heaps(path: Path, content: mmap.mmap) -> None:
    """Refuse a damaged heap, or a reference that asks too much."""
    heaps: dict[int, dict[int, int]] = {}
    start = content.find(_HEAP)
    while start >= 0:
        sizes = _object_sizes(content, start)
        if sizes is None:
            raise _damaged_heap(path, start)
        heaps[start] = sizes
        start = content.find(_HEAP, start + len(_HEAP))
    if len(heaps) * len(content) > _MOST_SEARCHED:
        return
    for start, sizes in heaps.items():
        place = _lying_reference(content, start, sizes)
        if place is not None:
            raise _damaged_heap(path, place)


def _object_sizes(content: mmap.mmap, start: int) -> dict[int, int] | None:
    """Sizes of a collection's objects by index; None where it is damaged.

    They must lie one behind the other up to the collection's end.
    """
    if start + _HEAP_HEADER > len(content):
        return None
    (size,) = struct.unpack_from("<Q", content, start + 8)
    place, end = start + _HEAP_HEADER, start + size
    if size < _HEAP_HEADER or end > len(content):
        return None
    sizes: dict[int, int] = {}
    # What is left behind the last object may be too short for a header.
    while end - place >= _HEAP_OBJECT.size:
        index, _, _, length = _HEAP_OBJECT.unpack_from(content, place)
        if index == 0:
            return sizes if place + length == end else None
        sizes[index] = length
        # Objects are filled up to multiples of eight bytes.
        place += _HEAP_OBJECT.size + (length + 7) // 8 * 8
    return sizes if place <= end else None


def _lying_reference(
    content: mmap.mmap, start: int, sizes: dict[int, int]
) -> int | None:
    """Where a reference asks for far more than its object holds."""
    address = struct.pack("<Q", start)
    place = content.find(address, 4)
    while place >= 0:
        if place + 12 <= len(content):
            (length,) = struct.unpack_from("<I", content, place - 4)
            (index,) = struct.unpack_from("<I", content, place + 8)
            held = sizes.get(index, 0) if 0 < index < _MOST_INDEX else length
            if length > max(held, FREE_BYTES):
                return place
        place = content.find(address, place + 1)
    return None


def _damaged_heap(path: Path, place: int) -> InputError:
    return InputError(
        f"{path}: its texts are damaged at byte {place}. It is truncated or "
        "still being written: copy it again."
    )


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; faults of the library become `InputError`.

    Raises:
        InputError: for a damaged or truncated file, or one being written.
        OSError: where the file cannot be read at all.
    """
    status = path.stat()
    _check(path, status.st_size, status.st_mtime_ns)
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


class Contents(NamedTuple):
    """What a file holds.

    Attributes:
        groups: by path, the root among them.
        datasets: those of real numbers, by path.
        outside: paths of links to other files.
    """

    groups: dict[str, h5py.Group]
    datasets: dict[str, h5py.Dataset]
    outside: list[str]


def contents(group: h5py.Group) -> Contents:
    """Everything below a group that lies in the file itself, each once.

    Raises:
        InputError: where that is too much, or nested too deeply.
    """
    top = str(group.name)
    found = Contents({top: group}, {}, [])
    seen = {h5py.h5o.get_info(group.id).addr}
    waiting = deque([(top, group)])
    while waiting:
        path, parent = waiting.popleft()
        for name in parent:
            link = parent.get(name, getlink=True)
            place = f"{path}/{name}".replace("//", "/")
            if isinstance(link, h5py.ExternalLink):
                found.outside.append(place)
            if not isinstance(link, h5py.HardLink):
                continue
            child = parent[name]
            address = h5py.h5o.get_info(child.id).addr
            if address in seen:
                continue
            seen.add(address)
            if len(seen) > _MOST_OBJECTS or place.count("/") > _DEEPEST:
                raise InputError(
                    f"{group.file.filename}: more than {_MOST_OBJECTS} objects "
                    f"or {_DEEPEST} groups in each other. Write the maps alone "
                    "into a file."
                )
            if isinstance(child, h5py.Group):
                waiting.append((place, child))
                found.groups[place] = child
            elif isinstance(child, h5py.Dataset) and is_real(child):
                found.datasets[place] = child
    return found


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


def attribute(node: h5py.Group | h5py.Dataset, name: str) -> Any:
    """An attribute as text, number or array; None where there is none.

    Object references, records and texts of no known encoding are none.
    """
    if name not in node.attrs:
        return None
    stored = node.attrs.get_id(name)
    # Of an empty one the library cannot say the size.
    if 0 in stored.shape or stored.get_storage_size() > _MOST_ATTRIBUTE_BYTES:
        return None
    value = node.attrs[name]
    if isinstance(value, bytes):
        return value.decode("utf-8", "replace")
    if isinstance(value, np.ndarray) and value.dtype.kind in "SO":
        return [
            v.decode("utf-8", "replace") if isinstance(v, bytes) else v
            for v in value.ravel().tolist()
        ]
    return None if isinstance(value, h5py.Reference | h5py.Empty) else value


def text_of(node: h5py.Group | h5py.Dataset, *names: str) -> str:
    """The first of some attributes that is a text; empty where none is."""
    for name in names:
        value = attribute(node, name)
        if isinstance(value, list) and len(value) == 1:
            value = value[0]
        if isinstance(value, str):
            return value
    return ""


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


def check_sizes(
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
        InputError: see `check_sizes` and `check_chunks`.
    """
    check_sizes(path, dataset)
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
