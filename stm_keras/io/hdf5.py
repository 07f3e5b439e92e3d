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
from collections.abc import Iterator, Mapping, Sequence
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
    NotMapsError,
    Refused,
    bias_of,
    framed_array,
    reasons,
    recording_of,
    shortened,
    stacked,
)
from stm_keras.io.recording import Direction, Recording, printable
from stm_keras.io.units import nm_per, volts_per
from stm_keras.maps import placed

_PROBE = ("NXspm", "NXstm", "NXsts", "NXafm")
_SHOWN = (
    *("title", "definition", "start_time", "end_time", "scan_mode"),
    *("experiment_technique", "experiment_description"),
)
_ANGLES = ("scan_angle_x", "scan_angle")
_RANGES, _OFFSETS = ("scan_range",), ("scan_offset_value", "scan_offset")
_MOST_TEXT = 300
_MOST_DEFAULTS = 5
_MIRRORED = (
    "left and right as the file's x axis says; pynxtools-spm 0.4 writes "
    "backward images mirrored"
)


_Told = tuple[NDArray[np.float64], str]
"""Numbers and their unit."""


def framed_dataset(
    path: Path,
    dataset: h5py.Dataset,
    axes: Sequence[Axis],
    nearby: "_Nearby",
    title: str = "",
    bias_v: float = np.nan,
) -> Framed:
    """Describe a dataset as a channel; its numbers are read later.

    Args:
        path: the file.
        dataset: 2-D or more, real numbers.
        axes: its axes.
        nearby: what stands beside the file's datasets.
        title: its name, with the direction in it; by default its own.
        bias_v: of a single map [V], where the dataset does not tell it.

    Raises:
        NotMapsError: where it is no stack of maps.
        InputError: where its size is not to be believed.
    """
    storage.check_sizes(path, dataset)
    own = printable(storage.text_of(dataset, "channel"))
    near = list(nearby.biases_v(dataset))
    one = framed_array(
        own or title or str(dataset.name).rsplit("/", 1)[-1],
        axes,
        storage.text_of(dataset, "units", "unit"),
        partial(_load, path, str(dataset.name)),
        bias_v=next((float(v[0]) for v in near if v.size == 1), bias_v),
        extent_nm=nearby.extent_nm(dataset),
        placement=placed(nearby.numbers(dataset, "centre_nm", 2)),
    )
    channel, placement = one.channel, one.placement
    if not np.isfinite(channel.bias_v).all():
        fitting = [v for v in near if v.size == channel.bias_v.size]
        channel = replace(channel, bias_v=[*fitting, channel.bias_v][0])
    turn = nearby.numbers(dataset, "angle_deg", 1)
    if placement is not None and turn is not None:
        placement = placed(placement.centre_nm, turn[0])
    missing = storage.missing_chunks(dataset)
    note = f"warning: unfinished, {missing} parts were never written"
    said = storage.text_of(dataset, "direction").lower()
    ways: dict[str, Direction] = {"backward": "backward", "forward": "forward"}
    channel = replace(
        channel,
        name=own or channel.name,
        direction=ways.get(said, channel.direction),
        note=note if missing else "",
    )
    return replace(one, channel=channel, placement=placement)


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


def _load(path: Path, name: str) -> NDArray[np.floating]:
    with storage.opened(path) as file:
        dataset = storage.member(file, name)
        if not isinstance(dataset, h5py.Dataset):
            raise InputError(f"{path}: {name} is gone. Read the file again.")
        return storage.numbers(path, dataset)


class _Nearby:
    """Numbers that stand near datasets; what a group says is read once."""

    def __init__(self, file: h5py.File) -> None:
        self._file = file
        self._of_groups: dict[tuple[str, str], list[_Told]] = {}

    def told(self, dataset: h5py.Dataset, name: str) -> Iterator[_Told]:
        """Numbers of a name with their unit, the nearest first."""
        if name in dataset.attrs:
            yield from _told(dataset, name)
        group = str(dataset.name).rpartition("/")[0]
        while True:
            yield from self._of_group(group or "/", name)
            if not group:
                return
            group = group.rpartition("/")[0]

    def numbers(
        self, dataset: h5py.Dataset, name: str, n: int
    ) -> list[float] | None:
        """So many numbers of a name."""
        found = (values for values, _ in self.told(dataset, name))
        return next((v.tolist() for v in found if v.size == n), None)

    def biases_v(self, dataset: h5py.Dataset) -> Iterator[NDArray[np.float64]]:
        """What is told of its biases [V]."""
        for name, unit in (("bias_v", "V"), ("bias", "")):
            for values, own_unit in self.told(dataset, name):
                factor = volts_per(unit or own_unit or "V")
                if factor is not None and values.size:
                    yield values * factor

    def extent_nm(self, dataset: h5py.Dataset) -> tuple[float, float] | None:
        """Height and width."""
        for name, unit in (("extent_nm", "nm"), ("extent", "")):
            for values, own_unit in self.told(dataset, name):
                factor = nm_per(unit or own_unit or "nm")
                if values.size == 2 and factor is not None:
                    return float(values[0]) * factor, float(values[1]) * factor
        return None

    def _of_group(self, group: str, name: str) -> list[_Told]:
        key = (group, name)
        if key not in self._of_groups:
            node = storage.member(self._file, group)
            known = () if node is None else _told(node, name)
            self._of_groups[key] = list(known)
        return self._of_groups[key]


def _told(node: h5py.Group | h5py.Dataset, name: str) -> Iterator[_Told]:
    """Numbers of a name in an attribute, or in a dataset of a group."""
    value, unit = storage.attribute(node, name), ""
    if value is not None:
        unit = storage.text_of(node, f"{name}_units", f"{name}_unit")
    elif isinstance(node, h5py.Group):
        found = storage.member(node, name)
        value = storage.side_values(found)
        if value is None or not isinstance(found, h5py.Dataset):
            return
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
) -> tuple[list[Axis], str]:
    """The axes of a signal, as @axes and @..._indices say.

    Both may be wrong: writers of scanning probe files name x before y, or
    give x the index 0, although rows count y (pynxtools-spm writes
    axes=["y", "x"] beside x_indices=0). The axes' lengths tell, and for a
    square the kind of file.

    Returns:
        The axes, and a line for `provenance` where the statements contradict
        each other; "" otherwise.

    Raises:
        NotMapsError: where they do and nothing tells which is right.
    """
    by_order, by_index = _stated_orders(group, dataset)
    orders = [by_order]
    if by_index is not None and by_index != by_order:
        orders.append(by_index)
    elif by_index is None and by_order[-2:] == ["x", "y"]:
        # Of a file that is none of a probe, the order is believed first.
        orders.insert(0 if probe else 1, [*by_order[:-2], "y", "x"])
    fitting = [order for order in orders if _fits(group, dataset, order)]
    contradict = len(orders) > 1 and by_index is not None
    chosen = fitting[0] if fitting else by_order
    note = ""
    if contradict and len(fitting) == 1:
        note = "settled by the axes' lengths"
    elif contradict:
        upright = [order for order in orders if order[-2:] == ["y", "x"]]
        if not (probe and upright):
            raise NotMapsError(
                "has axes in contradicting orders, @axes and @..._indices, "
                "and its lengths do not say which"
            )
        chosen, note = upright[0], "rows count y, as in all files of probes"
    axes = [
        _signal_axis(group, name, size, probe)
        for name, size in zip(chosen, dataset.shape, strict=True)
    ]
    return axes, note and f"@axes and @..._indices contradict: {note}"


def _stated_orders(
    group: h5py.Group, dataset: h5py.Dataset
) -> tuple[list[str], list[str] | None]:
    """Names of a signal's axes by @axes, and by @..._indices or None."""
    said = storage.attribute(group, "axes")
    said = said or storage.attribute(dataset, "axes")
    names = re.split(r"[:,\s]+", said) if isinstance(said, str) else said
    names = [str(name) for name in names] if isinstance(names, list) else []
    by_order: dict[int, str] = dict(enumerate(names))
    by_index, told = dict(by_order), False
    for name in names:
        index = storage.attribute(group, f"{name}_indices")
        if index is not None and np.size(index) == 1:
            by_index[int(np.ravel(index)[0])] = name
            told = True
    orders = [
        [known.get(i, "") for i in range(dataset.ndim)]
        for known in (by_order, by_index)
    ]
    return orders[0], orders[1] if told else None


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
        refused: list[Refused] = []
        framed = list(_nexus(path, file, found, refused))
        is_nexus = bool(framed)
        if not is_nexus and not refused:
            framed = list(_plain(path, found, refused))
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
        nothing = _nothing(found, refused)
    return recording_of(
        path,
        "NeXus file" if is_nexus else "plain HDF5 file",
        stacked(framed),
        metadata=metadata,
        notes=tuple(dict.fromkeys(notes)),
        history=history,
        refused=refused,
        none=nothing,
    )


def _nexus(
    path: Path, file: h5py.File, found: storage.Contents, refused: list[Refused]
) -> Iterator[Framed]:
    """The signals of all NXdata groups, those of the default group first."""
    default, nearby = _default(file), _Nearby(file)
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
                one = _framed_signal(
                    path, group, signal, probe, entries[top], nearby
                )
            except NotMapsError as error:
                shape = getattr(storage.member(group, signal), "shape", ())
                refused.append(Refused(f"{name}/{signal}", shape, str(error)))
                continue
            if one is not None:
                yield one


def _framed_signal(
    path: Path,
    group: h5py.Group,
    signal: str,
    probe: bool,
    numbers: dict[str, str],
    nearby: _Nearby,
) -> Framed | None:
    """A signal as a channel; None where it is no image."""
    dataset = storage.member(group, signal)
    if not isinstance(dataset, h5py.Dataset) or not storage.is_real(dataset):
        return None
    if dataset.ndim < 2:
        return None
    axes, note = signal_axes(group, dataset, probe)
    notes = [note]
    if probe and note and _counts_from_start(numbers) and len(axes) > 1:
        axes[-2] = _rising(axes[-2])
        notes.append("row 0 is the bottom, as pynxtools-spm arranges rows")
    title = signal_title(group, signal)
    one = framed_dataset(path, dataset, axes, nearby, title, bias_of(numbers))
    if probe and not note and one.channel.direction == "backward":
        notes.append(_MIRRORED)
    if probe:
        one = _in_region(one, numbers)
    known = [text for text in (one.channel.note, *notes) if text]
    return replace(one, channel=replace(one.channel, note="; ".join(known)))


def _counts_from_start(numbers: Mapping[str, str]) -> bool:
    """Whether a file is of the pynxtools-spm of 2025.

    It takes the frame's centre for its corner, arranges the rows from the
    bottom up whatever way the tip went, and lets y fall beside them.
    """
    start = numbers.get("scan_start_y")
    return start is not None and start == numbers.get("scan_offset_value_y")


def _rising(axis: Axis) -> Axis:
    values = axis.values
    return axis if values is None else replace(axis, values=np.sort(values))


def _in_region(one: Framed, numbers: Mapping[str, str]) -> Framed:
    """A frame as the entry's scan region tells it: centre, sides and angle.

    The axes of a writer may reach from edge to edge, not from the first
    pixel's centre to the last one's, and begin at the frame's centre.
    """
    sides, centre = (
        [_first_length_nm(numbers, name, axis) for axis in axes]
        for name, axes in ((_RANGES, "yx"), (_OFFSETS, "xy"))
    )
    angles = [numbers[name] for name in _ANGLES if name in numbers]
    # As Nanonis counts it, clockwise.
    turn = 0.0 - float(angles[0].split()[0]) if angles else 0.0
    extent, placement = one.extent_nm, one.placement
    known = [side for side in sides if side is not None]
    if extent is not None and len(known) == len(sides):
        pixels = np.array(extent) / one.shape
        if (np.abs(np.array(known) - extent) < 1.5 * pixels).all():
            extent = (known[0], known[1])
            placement = placed(centre, turn) or placement
    if placement is not None:
        placement = placed(placement.centre_nm, turn)
    return replace(one, extent_nm=extent, placement=placement)


def _first_length_nm(
    numbers: Mapping[str, str], names: Sequence[str], axis: str
) -> float | None:
    for name in names:
        value, _, unit = numbers.get(f"{name}_{axis}", "").partition(" ")
        factor = nm_per(unit)
        if value and factor is not None:
            return float(value) * factor
    return None


def _plain(
    path: Path, found: storage.Contents, refused: list[Refused]
) -> Iterator[Framed]:
    """Every dataset of two axes or more."""
    nearby = _Nearby(found.groups["/"].file)
    for name, dataset in found.datasets.items():
        if dataset.ndim < 2:
            continue
        try:
            yield framed_dataset(path, dataset, scaled_axes(dataset), nearby)
        except NotMapsError as error:
            refused.append(Refused(name, dataset.shape, str(error)))


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


def _nothing(found: storage.Contents, refused: Sequence[Refused]) -> str:
    """What to say of a file without maps."""
    sizes = [
        f"{printable(name)} ({' x '.join(map(str, d.shape)) or 'one number'})"
        for name, d in found.datasets.items()
    ]
    why = f" {reasons(refused)}." if refused else ""
    if found.outside:
        why += f" Links to other files are not opened: {found.outside[0]}."
    return (
        f"no maps.{printable(why)} Its datasets: "
        f"{shortened(sizes) or 'none of numbers'}. Maps are datasets "
        "[V, H, W] or [H, W] with the attributes units, bias_v and extent_nm"
    )
