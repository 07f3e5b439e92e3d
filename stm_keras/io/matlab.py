"""MATLAB files (.mat), whose arrays carry names, but neither units nor axes.

Stacks are the arrays with three axes, each a channel under its variable's
name; where there are none, single maps with two. Biases are a vector with a
name such as `bias`, `V_mV` or `energy`. MATLAB stacks pages along the third
axis, [row, col, bias]; where the biases fit another axis better, that one is
taken. Arrays saved as [x, y, ...] come out mirrored about the diagonal, which
no file tells: `axes: [col, row, bias]` in a sidecar turns them.

Files of version 7.3 are HDF5 files, which keep the axes of MATLAB's arrays in
reverse, since MATLAB counts the first one fastest; here they come out as
MATLAB shows them.
"""

import dataclasses
import math
import re
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.arrays import stack_recording
from stm_keras.io.hdf5_storage import (
    is_real,
    missing_chunks,
    numbers,
    opened,
)
from stm_keras.io.matlab_levels import (
    MAX_VARIABLES,
    Variable,
    damaged,
    level_4_variables,
    level_5_variables,
)
from stm_keras.io.recording import Recording, printable
from stm_keras.io.sidecar import Sidecar, read_sidecar
from stm_keras.io.unpacking import MAX_COMPRESSION

_FREE_BYTES = 1 << 16  # what a small array may unpack to, whatever its ratio
_MAX_AXES = 8

_PREAMBLE = 128
_BIAS_NAME = re.compile(
    r"(sample_?)?(bias|v|u|voltages?|energy|energies|e|bias_?voltages?|v_?bias)"
    r"_?(m?v|m?ev|volts?)?",
    re.IGNORECASE,
)
_MILLI = re.compile(r"me?v$", re.IGNORECASE)
_EXTENT_NAMES = ("extent_nm", "size_nm")
_PIXEL_NAME = "pixel_nm"
_LISTED, _LONGEST = 6, 40


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
    return Variable(
        printable(name), kind, shape, partial(_read_hdf5, path, name)
    )


def _read_hdf5(path: Path, name: str) -> np.ndarray:
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


def open_mat(path: Path) -> Recording:
    """Read stacks of maps from a MATLAB file of any version.

    Args:
        path: a file whose variables are plain arrays of numbers; `extent_nm`
            (or `size_nm`), height and width in nm, or `pixel_nm` is taken
            where present. A sidecar (see `sidecar.py`) takes the place of
            what the names tell.

    Returns:
        A channel for every stack of the frame that the largest one has.

    Raises:
        InputError: for a damaged or truncated file, or one without maps.
        OSError: where it cannot be read.
    """
    listed = _variables(path)
    numbers = [v for v in listed if v.kind == "numbers"]
    others = [f"{v.name} ({v.kind})" for v in listed]
    sidecar = read_sidecar(path) or Sidecar(path)
    stacks = _stacks(path, numbers, others, sidecar)
    maps = {stack.name: stack.read() for stack in stacks}
    shape = stacks[0].shape
    bias, notes = _bias(numbers, shape)
    axis = None
    if len(shape) == 3 and sidecar.axes is None:
        axis, note = _bias_axis(shape, 0 if bias is None else bias.size)
        maps = {name: np.moveaxis(maps[name], axis, 0) for name in maps}
        notes.append(note)
    first, *more = [
        stack_recording(
            path,
            "MATLAB file",
            array,
            bias_v=bias,
            extent_nm=_extent(numbers, array.shape[-2:]),
            channel=name,
            notes=tuple(notes),
        )
        for name, array in maps.items()
    ]
    channels = [c for one in (first, *more) for c in one.channels]
    return dataclasses.replace(first, channels=tuple(channels))


def _variables(path: Path) -> list[Variable]:
    with path.open("rb") as file:
        preamble = file.read(_PREAMBLE)
    # Version 7.3 is HDF5, behind a preamble of MATLAB's or without one.
    if h5py.is_hdf5(path):
        return list(hdf5_variables(path))
    if preamble[126:] in (b"IM", b"MI"):
        return list(level_5_variables(path))
    return list(level_4_variables(path))


def _stacks(
    path: Path,
    numbers: Sequence[Variable],
    others: Sequence[str],
    sidecar: Sidecar,
) -> list[Variable]:
    """The arrays to read, all of one shape."""
    what = ", ".join(text[:_LONGEST] for text in others[:_LISTED])
    held = f"It holds: {what or 'nothing'}."
    if sidecar.key is not None:
        named = [v for v in numbers if v.name == sidecar.key]
        if not named:
            raise InputError(
                f"{path}: no array of numbers named {sidecar.key!r}, the key "
                f"in {sidecar.path.name}. {held}"
            )
        return named[-1:]
    sizes = {v.name: v for v in numbers if len(v.shape) == 3}
    if not sizes:
        sizes = {
            v.name: v for v in numbers if len(v.shape) == 2 and min(v.shape) > 1
        }
    if not sizes:
        raise InputError(
            f"{path}: no maps, which are arrays of numbers with two or three "
            f"axes. {held} Of a struct, save the fields by themselves: save "
            "-struct."
        )
    largest = max(sizes.values(), key=lambda v: math.prod(v.shape))
    stacks = [v for v in sizes.values() if v.shape == largest.shape]
    if len(stacks) > 1 and (sidecar.channel or sidecar.unit):
        raise InputError(
            f"{sidecar.path}: channel and unit need a key that names one of "
            f"the file's arrays. {held}"
        )
    return stacks


def _bias(
    numbers: Sequence[Variable], shape: tuple[int, ...]
) -> tuple[np.ndarray | None, list[str]]:
    """The vector of biases [V] that fits a stack, and a note on it."""
    lengths = set(shape) if len(shape) == 3 else {1}
    for variable in numbers:
        size = max(variable.shape, default=0)
        is_vector = len(variable.shape) == 2 and min(variable.shape) == 1
        if not (is_vector and size in lengths):
            continue
        if _BIAS_NAME.fullmatch(variable.name):
            values = variable.read().astype(np.float64).ravel()
            milli = bool(_MILLI.search(variable.name))
            unit = "mV" if milli else "V"
            return (
                values / 1000 if milli else values,
                [f"biases from {variable.name}, taken as {unit}"],
            )
    return None, []


def _bias_axis(shape: tuple[int, ...], n_biases: int) -> tuple[int, str]:
    """Which axis of a stack counts the biases, and a note on it.

    Where the number of biases does not single it out: the axis beside which
    the frames are square, or else the last.
    """
    fitting = [axis for axis in range(3) if shape[axis] == n_biases]
    candidates = fitting or list(range(3))
    warning = ""
    if len(candidates) > 1:
        others = {axis: {*shape[:axis], *shape[axis + 1 :]} for axis in (0, 2)}
        square = [
            axis
            for axis in (0, 2)
            if axis in candidates and len(others[axis]) == 1
        ]
        axis = square[0] if len(square) == 1 else candidates[-1]
        if len(square) != 1 or not fitting:
            warning = "warning: "
    else:
        axis = candidates[0]
    order = {0: "[bias, row, col]", 1: "[row, bias, col]"}
    named = order.get(axis, "[row, col, bias]")
    return axis, (
        f"{warning}axes of the array {list(shape)} taken as {named}"
        + ("; say them in a sidecar if they are not" if warning else "")
    )


def _extent(
    numbers: Sequence[Variable], frame: tuple[int, ...]
) -> np.ndarray | None:
    """Height and width [nm], where a variable tells them."""
    for variable in numbers:
        if variable.name not in (*_EXTENT_NAMES, _PIXEL_NAME):
            continue
        if not 0 < math.prod(variable.shape) <= 2:
            continue
        values = np.resize(variable.read().astype(np.float64).ravel(), 2)
        if variable.name == _PIXEL_NAME:
            return values * np.array(frame, dtype=np.float64)
        return values
    return None
