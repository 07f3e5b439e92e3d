"""HDF5 files, opened so that they can neither fill memory nor reach out.

The library allocates what a header asks for, and a file may point to others:
by external links, virtual datasets and raw storage outside. Here sizes are
checked against what is stored, and nothing outside the file is opened.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.formats.hdf5.hdf5_heaps import check_heaps
from stm_keras.io.formats.hdf5.hdf5_numbers import is_real

_MOST_OBJECTS = 20_000
_MOST_SOFT = 8  # soft links behind soft links
_MOST_ATTRIBUTE_BYTES = 1 << 20


@contextmanager
def opened(path: Path) -> Iterator[h5py.File]:
    """Open a file for reading; faults of the library become `InputError`.

    Raises:
        InputError: for a damaged or truncated file, or one being written.
        OSError: where the file cannot be read at all.
    """
    check_heaps(path)
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
    """Everything below a group that lies in the file itself, each once."""
    found = Contents({str(group.name): group}, {}, [])
    seen = {h5py.h5o.get_info(group.id).addr}
    waiting = [group]
    while waiting and len(seen) < _MOST_OBJECTS:
        parent = waiting.pop(0)
        for name in parent:
            link = parent.get(name, getlink=True)
            if isinstance(link, h5py.ExternalLink):
                path = f"{parent.name or ''}/{name}".replace("//", "/")
                found.outside.append(path)
            if not isinstance(link, h5py.HardLink):
                continue
            child = parent[name]
            address = h5py.h5o.get_info(child.id).addr
            if address in seen:
                continue
            seen.add(address)
            if isinstance(child, h5py.Group):
                waiting.append(child)
                found.groups[str(child.name)] = child
            elif isinstance(child, h5py.Dataset) and is_real(child):
                found.datasets[str(child.name)] = child
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
