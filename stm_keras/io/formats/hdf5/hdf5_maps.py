"""One dataset of an HDF5 file as maps, by its axes and attributes.

Axes are those of an NXdata group, or HDF5's dimension scales, or none; what
they do not tell is looked for in attributes of the dataset and of the groups
it lies in, and in datasets beside it:

    units                     of the numbers, such as "nA" or "S"
    bias_v, or bias           of each map, in V or in bias_units
    extent_nm, or extent      height and width, in nm or in extent_units
    centre_nm, angle_deg      where the frame lies
    channel, direction        name; "forward" or "backward"
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.frames import Framed
from stm_keras.io.formats.hdf5 import hdf5_files, hdf5_numbers
from stm_keras.io.formats.labelled import Axis, Layout, layout_of
from stm_keras.io.formats.titles import title_parts
from stm_keras.io.options import Direction
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, printable
from stm_keras.io.si_units import nm_per, scaled, to_si, volts_per

_SWEEP_POINTS = 3  # at least, to differentiate


def framed_dataset(
    path: Path,
    dataset: h5py.Dataset,
    axes: Sequence[Axis],
    title: str = "",
    bias_v: float = np.nan,
) -> Framed:
    """Describe a dataset as a channel; its numbers are read later.

    Args:
        path: the file.
        dataset: 2-D or more, real numbers.
        axes: its axes.
        title: its name, with the direction in it; by default its own.
        bias_v: of a single map [V], where the dataset does not tell it.

    Raises:
        NotMapsError: where it is no stack of maps.
        InputError: where its size is not to be believed.
    """
    layout = layout_of(axes)
    hdf5_numbers.check(path, dataset)
    own = hdf5_files.text_of(dataset, "channel")
    name = own or title or str(dataset.name).rsplit("/", 1)[-1]
    name, direction, in_title = title_parts(printable(name))
    said = hdf5_files.text_of(dataset, "direction").lower()
    ways: dict[str, Direction] = {"backward": "backward", "forward": "forward"}
    factor, unit = to_si(hdf5_files.text_of(dataset, "units", "unit"))
    biases = _bias_v(dataset, layout)
    if biases.size == 1 and np.isnan(biases).all():
        biases = np.array([in_title if np.isnan(bias_v) else bias_v])
    missing = hdf5_numbers.missing_chunks(dataset)
    note = f"warning: unfinished, {missing} parts were never written"
    channel = Channel(
        own if own else name,
        printable(unit),
        biases,
        partial(_load, path, str(dataset.name), layout, factor),
        ways.get(said, direction),
        sweep=biases.size >= _SWEEP_POINTS,
        note=note if missing else "",
    )
    extent_nm = _extent_nm(dataset) or layout.extent_nm
    placed = _placement(dataset, layout)
    return Framed(channel, layout.shape, extent_nm, placed)


def scaled_axes(dataset: h5py.Dataset) -> list[Axis]:
    """The axes of a dataset by its dimension scales and their labels."""
    axes: list[Axis] = []
    for dimension, size in zip(dataset.dims, dataset.shape, strict=True):
        scales = [dimension[i] for i in range(len(dimension))]
        found = [axis_of(s, size) for s in scales if hdf5_numbers.is_real(s)]
        label = str(dimension.label or "")
        known = [axis for axis in found if axis is not None]
        axes.append(known[0] if known else Axis(label, size))
    return axes


def axis_of(scale: h5py.Dataset, size: int) -> Axis | None:
    """An axis from its points or, with one more of them, its edges."""
    if scale.ndim != 1 or scale.size not in (size, size + 1):
        return None
    read = hdf5_numbers.side_values(scale)
    if read is None:
        return None
    values = read.astype(np.float64)
    if scale.size == size + 1:
        values = (values[1:] + values[:-1]) / 2
    positive = hdf5_files.text_of(scale, "positive").lower()
    return Axis(
        str(scale.name).rsplit("/", 1)[-1],
        size,
        values,
        hdf5_files.text_of(scale, "units", "unit"),
        {"down": True, "up": False}.get(positive),
    )


def _load(
    path: Path, name: str, layout: Layout, factor: float
) -> NDArray[np.floating]:
    with hdf5_files.opened(path) as file:
        dataset = hdf5_files.member(file, name)
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: {name} is gone. Read the file again.")
        maps = layout.arranged(hdf5_numbers.numbers(path, dataset))
    return scaled(maps, factor)


def _bias_v(dataset: h5py.Dataset, layout: Layout) -> NDArray[np.float64]:
    """Bias of each map [V]: from the axis, or from what stands beside it."""
    if np.isfinite(layout.bias_v).all():
        return layout.bias_v
    for name, unit in (("bias_v", "V"), ("bias", "")):
        for values, own_unit in _beside(dataset, name):
            factor = volts_per(unit or own_unit or "V")
            if values.size == layout.bias_v.size and factor is not None:
                return values * factor
    return layout.bias_v


def _extent_nm(dataset: h5py.Dataset) -> tuple[float, float] | None:
    for name, unit in (("extent_nm", "nm"), ("extent", "")):
        for values, own_unit in _beside(dataset, name):
            factor = nm_per(unit or own_unit or "nm")
            if values.size == 2 and factor is not None:
                return float(values[0]) * factor, float(values[1]) * factor
    return None


def _placement(dataset: h5py.Dataset, layout: Layout) -> Placement | None:
    centres = [v for v, _ in _beside(dataset, "centre_nm") if v.size == 2]
    angles = [v for v, _ in _beside(dataset, "angle_deg") if v.size == 1]
    centre = tuple(map(float, centres[0])) if centres else layout.centre_nm
    angle = float(angles[0][0]) if angles else 0.0
    if centre is None or not np.isfinite([*centre, angle]).all():
        return None
    return Placement((centre[0], centre[1]), angle)


def _beside(
    dataset: h5py.Dataset, name: str
) -> Iterator[tuple[NDArray[np.float64], str]]:
    """Numbers of a name near a dataset with their unit, nearest first."""
    nodes: list[h5py.Group | h5py.Dataset] = [dataset]
    while nodes[-1].name != "/":
        parent = nodes[-1].parent
        if not isinstance(parent, h5py.Group):
            break
        nodes.append(parent)
    for node in nodes:
        value, unit = hdf5_files.attribute(node, name), ""
        if value is not None:
            unit = hdf5_files.text_of(node, f"{name}_units", f"{name}_unit")
        elif isinstance(node, h5py.Group):
            found = hdf5_files.member(node, name)
            value = hdf5_numbers.side_values(found)
            if value is None or not isinstance(found, h5py.Dataset):
                continue
            unit = hdf5_files.text_of(found, "units", "unit")
        numbers = np.atleast_1d(np.asarray(value)).ravel()
        if numbers.dtype.kind in hdf5_numbers.REAL_KINDS:
            yield numbers.astype(np.float64), unit
