"""Zarr stores, checked before the library opens them.

A store is a tree of JSON files and packed chunks. What its arrays would
unpack to is checked against what is stored, links out of the store are
refused, and so are codecs that are not Zarr's own: one of them unpickles,
which can run code.
"""

import json
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.recording import Recording, printable
from stm_keras.io.tables import Table, Variable, table_recording
from stm_keras.io.unpacking import check_unpacked

_MOST_FILES = 200_000
_MOST_POINTS = 1 << 18  # of an axis
_MOST_METADATA_BYTES = 1 << 24
_CODECS = {
    *("blosc", "zstd", "lz4", "zlib", "gzip", "bz2", "lzma", "shuffle"),
    *("delta", "fixedscaleoffset", "quantize", "astype", "bitround"),
    *("crc32", "crc32c", "adler32", "fletcher32", "bytes", "transpose"),
    *("sharding_indexed", "vlen-utf8", "vlen-bytes", "packbits"),
}
_ARRAYS = ("zarr.json", ".zarray")


def open_zarr(path: Path) -> Recording:
    """Read a Zarr store, a directory or a zip archive, version 2 or 3.

    Args:
        path: the store; see `tables` for what its dimensions mean.

    Raises:
        InputError: for a damaged store, one without maps, or one that needs
            code that is not Zarr's own.
        OSError: where it cannot be read.
    """
    _check(path)
    try:
        return table_recording(path, "Zarr store", _opened(path))
    except (InputError, OSError):
        raise
    # For damaged stores the library raises whatever its layers do.
    except Exception as error:
        raise _unreadable(path, error) from error


def _check(path: Path) -> None:
    """Refuse a store that is damaged, too large, or not safe to open."""
    sizes, texts = _archive(path) if path.is_file() else _directory(path)
    for name, text in texts.items():
        try:
            described = json.loads(text)
            if isinstance(described, dict):
                _check_array(path, name, described, sizes)
        except InputError:
            raise
        # Damaged JSON, or parts of another type than they should be.
        except Exception as error:
            raise InputError(
                f"{path}: {name} cannot be understood ({error}). Write the "
                "store again."
            ) from error


def _opened(path: Path) -> Table:
    """The arrays at the top of a store; what is absent is its fill value."""
    with _top(path) as node:
        if isinstance(node, zarr.Group):
            arrays, attrs = dict(node.arrays()), dict(node.attrs)
        else:
            arrays, attrs = {"maps": node}, {}
        return Table(
            {
                printable(name): _variable(path, name, array)
                for name, array in arrays.items()
            },
            attrs,
        )


def _variable(path: Path, name: str, array: zarr.Array) -> Variable:
    attrs = dict(array.attrs)
    dims = attrs.pop("_ARRAY_DIMENSIONS", None) or getattr(
        array.metadata, "dimension_names", None
    )
    unnamed = [f"dim_{name}_{i}" for i in range(array.ndim)]
    few = array.ndim < 2 and array.size <= _MOST_POINTS
    return Variable(
        tuple(map(str, dims or unnamed)),
        tuple(array.shape),
        np.dtype(array.dtype).kind,
        attrs,
        partial(_numbers, path, name),
        np.asarray(array[...]) if few else None,
    )


def _numbers(path: Path, name: str) -> NDArray[Any]:
    """The numbers of an array, of a store that was checked."""
    try:
        with _top(path) as node:
            array = node[name] if isinstance(node, zarr.Group) else node
            return np.asarray(array[...])
    except Exception as error:
        raise _unreadable(path, error) from error


@contextmanager
def _top(path: Path) -> Iterator[zarr.Group | zarr.Array]:
    store = (
        zarr.storage.ZipStore(path, mode="r")
        if path.is_file()
        else zarr.storage.LocalStore(path, read_only=True)
    )
    try:
        yield zarr.open(store, mode="r")
    finally:
        store.close()


def _directory(path: Path) -> tuple[dict[str, int], dict[str, str]]:
    """Sizes of all files of a store, and its metadata by path."""
    sizes: dict[str, int] = {}
    texts: dict[str, str] = {}
    for place in path.rglob("*"):
        name = place.relative_to(path).as_posix()
        if place.is_symlink():
            raise InputError(
                f"{path}: {name} is a link out of the store. Copy the data "
                "into it."
            )
        if not place.is_file():
            continue
        sizes[name] = place.stat().st_size
        if len(sizes) > _MOST_FILES:
            raise InputError(f"{path} has more than {_MOST_FILES} files.")
        if place.name in _ARRAYS and sizes[name] <= _MOST_METADATA_BYTES:
            texts[name] = place.read_text("utf-8", "replace")
    return sizes, texts


def _archive(path: Path) -> tuple[dict[str, int], dict[str, str]]:
    """The same of a zip archive; no member may unpack to much more."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            for member in members:
                where = f"{path}: {member.filename}"
                check_unpacked(where, member.file_size, member.compress_size)
            texts = {
                member.filename: archive.read(member).decode("utf-8", "replace")
                for member in members
                if PurePosixPath(member.filename).name in _ARRAYS
                and member.file_size <= _MOST_METADATA_BYTES
            }
    except InputError:
        raise
    except Exception as error:
        raise InputError(
            f"{path}: damaged zip archive ({error}). Write it again."
        ) from error
    return {m.filename: m.file_size for m in members}, texts


def _check_array(
    path: Path, name: str, described: Mapping, sizes: Mapping[str, int]
) -> None:
    """Check one zarr.json or .zarray, and those it carries of others."""
    for other, inner in _consolidated(described).items():
        _check_array(path, f"{other}/{_ARRAYS[0]}", inner, sizes)
    if "shape" not in described:
        return
    where = f"{path}: {name}"
    unknown = {codec.lower() for codec in _codecs(described)} - _CODECS
    if unknown:
        raise InputError(
            f"{where} is packed with {', '.join(sorted(unknown))[:80]}, which "
            "is not read: it may run code. Write the store again without it."
        )
    base = name.rpartition("/")[0]
    prefix = f"{base}/" if base else ""
    stored = sum(n for key, n in sizes.items() if key.startswith(prefix))
    item = _item_bytes(described)
    shape = [int(side) for side in described["shape"]]
    check_unpacked(where, math.prod(shape) * item, stored)
    grid = described.get("chunk_grid", {}).get("configuration", {})
    chunk = described.get("chunks") or grid.get("chunk_shape") or [1]
    check_unpacked(
        f"{where}, each of its chunks,",
        math.prod(int(side) for side in chunk) * item,
        stored,
    )


def _consolidated(described: Mapping) -> Mapping[str, Mapping]:
    inner = described.get("consolidated_metadata") or {}
    found = inner.get("metadata") or {}
    return {key: value for key, value in found.items() if "shape" in value}


def _codecs(described: Mapping) -> list[str]:
    """Names of all codecs an array is packed with, one in another as well."""
    found: list[str] = []
    waiting = [
        *(described.get("codecs") or []),
        *(described.get("filters") or []),
        described.get("compressor"),
    ]
    while waiting:
        codec = waiting.pop()
        if isinstance(codec, str):
            found.append(codec)
        elif codec:
            name = str(codec.get("name") or codec.get("id"))
            found.append(name.removeprefix("numcodecs."))
            within = codec.get("configuration") or {}
            waiting += within.get("codecs") or []
            waiting += within.get("index_codecs") or []
    return found


def _unreadable(path: Path, error: Exception) -> InputError:
    reason = printable(" ".join(str(error).split()))[:160]
    return InputError(
        f"{path}: no readable Zarr store ({type(error).__name__}: {reason}). "
        "It is truncated or damaged: write it again."
    )


def _item_bytes(described: Mapping) -> int:
    kind = described.get("dtype") or described.get("data_type")
    try:
        return max(1, np.dtype(kind).itemsize)
    except TypeError:  # one of Zarr's own, such as "string"
        return 8
