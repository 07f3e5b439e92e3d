"""NeXus files (.nxs), NXstm and NXsts among them, and plain HDF5 (.h5).

NeXus keeps a signal and its axes in NXdata groups; the axes' values count y
upwards, as the scanner does, so a file whose y rises with the row has the
bottom row first (pynxtools-spm 0.4 writes such files). In plain HDF5 every
dataset of two or three axes is a channel, by its dimension scales or none.
What these do not tell is looked for in attributes of the dataset and of the
groups it lies in, and in datasets beside it:

    units                     of the numbers, such as "nA" or "S"
    bias_v, or bias           of each map, in V or in bias_units
    extent_nm, or extent      height and width, in nm or in extent_units
    centre_nm, angle_deg      where the frame lies
    channel, direction        name; "forward" or "backward"

Source: NeXus classes NXdata, NXspm, NXstm and NXsts,
https://fairmat-nfdi.github.io/nexus_definitions/.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io import hdf5_storage as storage
from stm_keras.io.axes import (
    Axis,
    Framed,
    Layout,
    NotMapsError,
    bias_of,
    layout_of,
    recording_of,
    shortened,
    stacked,
    title_parts,
)
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Direction, Recording, printable
from stm_keras.io.units import nm_per, scaled, to_si, volts_per

_SWEEP_POINTS = 3  # at least, to differentiate

_PROBE = ("NXspm", "NXstm", "NXsts", "NXafm")
_SHOWN = (
    *("title", "definition", "start_time", "end_time", "scan_mode"),
    *("experiment_technique", "experiment_description"),
)
_ANGLES = ("scan_angle_x", "scan_angle")
_MOST_TEXT = 300
_MOST_DEFAULTS = 5
_MIRRORED = (
    "left and right as the file's x axis says; pynxtools-spm 0.4 writes "
    "backward images mirrored"
)


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
    storage.check(path, dataset)
    own = storage.text_of(dataset, "channel")
    name = own or title or str(dataset.name).rsplit("/", 1)[-1]
    name, direction, in_title = title_parts(printable(name))
    said = storage.text_of(dataset, "direction").lower()
    ways: dict[str, Direction] = {"backward": "backward", "forward": "forward"}
    factor, unit = to_si(storage.text_of(dataset, "units", "unit"))
    biases = _bias_v(dataset, layout)
    if biases.size == 1 and np.isnan(biases).all():
        biases = np.array([in_title if np.isnan(bias_v) else bias_v])
    missing = storage.missing_chunks(dataset)
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
        found = [axis_of(s, size) for s in scales if storage.is_real(s)]
        label = str(dimension.label or "")
        known = [axis for axis in found if axis is not None]
        axes.append(known[0] if known else Axis(label, size))
    return axes


def axis_of(scale: h5py.Dataset, size: int) -> Axis | None:
    """An axis from its points or, with one more of them, its edges."""
    if scale.ndim != 1 or scale.size not in (size, size + 1):
        return None
    read = storage.side_values(scale)
    if read is None:
        return None
    values = read.astype(np.float64)
    if scale.size == size + 1:
        values = (values[1:] + values[:-1]) / 2
    positive = storage.text_of(scale, "positive").lower()
    return Axis(
        str(scale.name).rsplit("/", 1)[-1],
        size,
        values,
        storage.text_of(scale, "units", "unit"),
        {"down": True, "up": False}.get(positive),
    )


def _load(
    path: Path, name: str, layout: Layout, factor: float
) -> NDArray[np.floating]:
    with storage.opened(path) as file:
        dataset = storage.member(file, name)
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: {name} is gone. Read the file again.")
        maps = layout.arranged(storage.numbers(path, dataset))
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
        value, unit = storage.attribute(node, name), ""
        if value is not None:
            unit = storage.text_of(node, f"{name}_units", f"{name}_unit")
        elif isinstance(node, h5py.Group):
            found = storage.member(node, name)
            value = storage.side_values(found)
            if value is None or not isinstance(found, h5py.Dataset):
                continue
            unit = storage.text_of(found, "units", "unit")
        numbers = np.atleast_1d(np.asarray(value)).ravel()
        if numbers.dtype.kind in storage.REAL_KINDS:
            yield numbers.astype(np.float64), unit


def signals(group: h5py.Group) -> list[str]:
    """Names of the signal and those beside it."""
    more = storage.attribute(group, "auxiliary_signals")
    others = [more] if isinstance(more, str) else more
    named = [storage.text_of(group, "signal")]
    named += [str(o) for o in others] if isinstance(others, list) else []
    if not named[0]:  # before 2014 the dataset itself said so
        named += [
            str(name)
            for name in group
            if isinstance(
                child := storage.member(group, str(name)), h5py.Dataset
            )
            and "signal" in child.attrs
        ]
    return [name for name in dict.fromkeys(named) if name]


def signal_axes(
    group: h5py.Group, dataset: h5py.Dataset, probe: bool
) -> list[Axis]:
    """The axes of a signal, as @axes and @..._indices say.

    Writers of scanning probe files name x before y although rows count y;
    the axes' lengths tell, and for a square the kind of file.
    """
    said = storage.attribute(group, "axes")
    said = said or storage.attribute(dataset, "axes")
    names = re.split(r"[:,\s]+", said) if isinstance(said, str) else said
    names = [str(name) for name in names] if isinstance(names, list) else []
    placed: dict[int, str] = dict(enumerate(names))
    for name in names:
        index = storage.attribute(group, f"{name}_indices")
        if index is not None and np.size(index) == 1:
            placed[int(np.ravel(index)[0])] = name
    order = [placed.get(i, "") for i in range(dataset.ndim)]
    told = any(f"{name}_indices" in group.attrs for name in names)
    if not told and order[-2:] == ["x", "y"]:
        swapped = [*order[:-2], "y", "x"]
        if _fits(group, dataset, swapped) and (
            probe or not _fits(group, dataset, order)
        ):
            order = swapped
    return [
        _signal_axis(group, name, size, probe)
        for name, size in zip(order, dataset.shape, strict=True)
    ]


def _fits(group: h5py.Group, dataset: h5py.Dataset, names: list[str]) -> bool:
    pairs = zip(names, dataset.shape, strict=True)
    return all(
        _signal_axis(group, n, size, False).values is not None
        for n, size in pairs
    )


def _signal_axis(group: h5py.Group, name: str, size: int, probe: bool) -> Axis:
    scale = storage.member(group, name) if name not in ("", ".") else None
    if not isinstance(scale, h5py.Dataset) or not storage.is_real(scale):
        return Axis("" if name == "." else name, size)
    axis = axis_of(scale, size) or Axis(name, size)
    if probe and axis.name in ("x", "y") and nm_per(axis.unit) is None:
        # pynxtools-spm 0.4 writes the unit of the signal to its axes, whose
        # numbers are in m.
        axis = replace(axis, unit="m")
    return axis


def signal_title(group: h5py.Group, signal: str) -> str:
    """The signal's name; the group's as well, where it has the direction."""
    words = str(group.name).rsplit("/", 1)[-1]
    way = re.search(r"(?i)(forward|backward|retrace|trace)$", words)
    known = re.search(r"(?i)(forward|backward|trace)$", signal)
    return f"{signal} ({way[1]})" if way and not known else signal


def open_hdf5(path: Path) -> Recording:
    """Read a NeXus or plain HDF5 file.

    Args:
        path: the file.

    Returns:
        The signals of its NXdata groups, or without such groups its
        datasets, as channels. Single maps of several biases are one.

    Raises:
        InputError: for a damaged file, or one without maps.
        OSError: where the file cannot be read.
    """
    with storage.opened(path) as file:
        found = storage.contents(file)
        faults: list[str] = []
        framed = list(_nexus(path, file, found, faults))
        is_nexus = bool(framed)
        framed = framed or list(_plain(path, found, faults))
        notes = [
            f"warning: the link {printable(link)} to another file is left out"
            for link in found.outside
        ]
        notes += [
            f"{one.channel.note} (channel {one.channel.name})"
            for one in framed
            if one.channel.note.startswith("warning: ")
        ]
        history, metadata = _history(found), _metadata(file)
        nothing = _nothing(found, faults)
    return recording_of(
        path,
        "NeXus file" if is_nexus else "plain HDF5 file",
        stacked(framed),
        metadata=metadata,
        notes=tuple(dict.fromkeys(notes)),
        history=history,
        none=nothing,
    )


def _nexus(
    path: Path, file: h5py.File, found: storage.Contents, faults: list[str]
) -> Iterator[Framed]:
    """The signals of all NXdata groups, those of the default group first."""
    default = _default(file)
    entries: dict[str, dict[str, str]] = {}
    for name in sorted(found.groups, key=lambda g: g != default):
        group = found.groups[name]
        if storage.text_of(group, "NX_class") != "NXdata":
            continue
        top = "/" + name.split("/")[1]
        entry = found.groups.get(top, file)
        if top not in entries:
            entries[top] = _single_numbers(entry)
        probe = _text(entry, "definition") in _PROBE
        for signal in signals(group):
            try:
                one = _framed_signal(path, group, signal, probe, entries[top])
            except NotMapsError as error:
                faults.append(f"{name}/{signal} {error}")
                continue
            if one is not None:
                yield one


def _framed_signal(
    path: Path,
    group: h5py.Group,
    signal: str,
    probe: bool,
    numbers: dict[str, str],
) -> Framed | None:
    """A signal as a channel; None where it is no image."""
    dataset = storage.member(group, signal)
    if not isinstance(dataset, h5py.Dataset) or not storage.is_real(dataset):
        return None
    if dataset.ndim < 2:
        return None
    axes = signal_axes(group, dataset, probe)
    title = signal_title(group, signal)
    one = framed_dataset(path, dataset, axes, title, bias_of(numbers))
    if probe and one.channel.direction == "backward":
        one = replace(one, channel=replace(one.channel, note=_MIRRORED))
    angles = [numbers[name] for name in _ANGLES if name in numbers]
    if probe and angles and one.placement is not None:
        # As Nanonis counts it, clockwise.
        turn = 0.0 - float(angles[0].split()[0])
        one = replace(one, placement=Placement(one.placement.centre_nm, turn))
    return one


def _plain(
    path: Path, found: storage.Contents, faults: list[str]
) -> Iterator[Framed]:
    """Every dataset of two axes or more."""
    for name, dataset in found.datasets.items():
        if dataset.ndim < 2:
            continue
        try:
            yield framed_dataset(path, dataset, scaled_axes(dataset))
        except NotMapsError as error:
            faults.append(f"{name} {error}")


def _default(file: h5py.File) -> str:
    """The group that the chain of @default attributes leads to."""
    node: h5py.Group = file
    for _ in range(_MOST_DEFAULTS):
        step = storage.text_of(node, "default")
        child = storage.member(node, step) if step else None
        if not isinstance(child, h5py.Group):
            break
        node = child
    return str(node.name)


def _single_numbers(entry: h5py.Group) -> dict[str, str]:
    """Single numbers of an entry with their units, by the last name."""
    texts: dict[str, str] = {}
    for name, dataset in storage.contents(entry).datasets.items():
        value = storage.side_values(dataset) if dataset.size == 1 else None
        if value is not None:
            unit = storage.text_of(dataset, "units", "unit")
            number = float(value.ravel()[0])
            texts.setdefault(name.rsplit("/", 1)[-1], f"{number!r} {unit}")
    return texts


def _metadata(file: h5py.File) -> dict[str, str]:
    """Texts of the first entry, for people."""
    for name in file:
        entry = storage.member(file, str(name))
        if isinstance(entry, h5py.Group):
            texts = {key: _text(entry, key) for key in _SHOWN}
            return {key: text for key, text in texts.items() if text}
    return {}


def _text(group: h5py.Group, name: str) -> str:
    dataset = storage.member(group, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1:
        return ""
    value = storage.side_values(dataset) if dataset.dtype.kind in "SO" else None
    text = "" if value is None else value.ravel()[0]
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return printable(text[:_MOST_TEXT]) if isinstance(text, str) else ""


def _history(found: storage.Contents) -> tuple[str, ...]:
    for dataset in found.datasets.values():
        lines = storage.attribute(dataset, "provenance")
        if isinstance(lines, str):
            return (printable(lines),)
        if isinstance(lines, list):
            return tuple(printable(str(line)) for line in lines)
    return ()


def _nothing(found: storage.Contents, faults: list[str]) -> str:
    """What to say of a file without maps."""
    sizes = [
        f"{printable(name)} ({' x '.join(map(str, d.shape)) or 'one number'})"
        for name, d in found.datasets.items()
    ]
    why = f" {shortened([printable(f) for f in faults])}." if faults else ""
    if found.outside:
        why += f" Links to other files are not opened: {found.outside[0]}."
    return (
        f"no maps.{printable(why)} Its datasets: "
        f"{shortened(sizes) or 'none of numbers'}. Maps are datasets "
        "[V, H, W] or [H, W] with the attributes units, bias_v and extent_nm"
    )
