"""NeXus files (.nxs), NXstm and NXsts among them, and plain HDF5 (.h5).

NeXus keeps a signal and its axes in NXdata groups; the axes' values count y
upwards, as the scanner does, so a file whose y rises with the row has the
bottom row first (pynxtools-spm 0.4 writes such files). In plain HDF5 every
dataset of two or three axes is a channel; see `hdf5_maps` for what is read
beside it.

Source: NeXus classes NXdata, NXspm, NXstm and NXsts,
https://fairmat-nfdi.github.io/nexus_definitions/.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import h5py

from stm_keras.io.formats.frames import Framed, recording_of, shortened, stacked
from stm_keras.io.formats.hdf5 import hdf5_files
from stm_keras.io.formats.hdf5.hdf5_files import Contents
from stm_keras.io.formats.hdf5.hdf5_maps import framed_dataset, scaled_axes
from stm_keras.io.formats.hdf5.hdf5_numbers import is_real, side_values
from stm_keras.io.formats.hdf5.nexus_data import (
    signal_axes,
    signal_title,
    signals,
)
from stm_keras.io.formats.labelled import NotMapsError
from stm_keras.io.formats.titles import bias_of
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Recording, printable

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
    with hdf5_files.opened(path) as file:
        found = hdf5_files.contents(file)
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
    path: Path, file: h5py.File, found: Contents, faults: list[str]
) -> Iterator[Framed]:
    """The signals of all NXdata groups, those of the default group first."""
    default = _default(file)
    entries: dict[str, dict[str, str]] = {}
    for name in sorted(found.groups, key=lambda g: g != default):
        group = found.groups[name]
        if hdf5_files.text_of(group, "NX_class") != "NXdata":
            continue
        top = "/" + name.split("/")[1]
        entry = found.groups.get(top, file)
        if top not in entries:
            entries[top] = _numbers(entry)
        probe = _text(entry, "definition") in _PROBE
        for signal in signals(group):
            try:
                one = _signal(path, group, signal, probe, entries[top])
            except NotMapsError as error:
                faults.append(f"{name}/{signal} {error}")
                continue
            if one is not None:
                yield one


def _signal(
    path: Path,
    group: h5py.Group,
    signal: str,
    probe: bool,
    numbers: dict[str, str],
) -> Framed | None:
    """A signal as a channel; None where it is no image."""
    dataset = hdf5_files.member(group, signal)
    if not isinstance(dataset, h5py.Dataset) or not is_real(dataset):
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


def _plain(path: Path, found: Contents, faults: list[str]) -> Iterator[Framed]:
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
        step = hdf5_files.text_of(node, "default")
        child = hdf5_files.member(node, step) if step else None
        if not isinstance(child, h5py.Group):
            break
        node = child
    return str(node.name)


def _numbers(entry: h5py.Group) -> dict[str, str]:
    """Single numbers of an entry with their units, by the last name."""
    texts: dict[str, str] = {}
    for name, dataset in hdf5_files.contents(entry).datasets.items():
        value = side_values(dataset) if dataset.size == 1 else None
        if value is not None:
            unit = hdf5_files.text_of(dataset, "units", "unit")
            number = float(value.ravel()[0])
            texts.setdefault(name.rsplit("/", 1)[-1], f"{number!r} {unit}")
    return texts


def _metadata(file: h5py.File) -> dict[str, str]:
    """Texts of the first entry, for people."""
    for name in file:
        entry = hdf5_files.member(file, str(name))
        if isinstance(entry, h5py.Group):
            texts = {key: _text(entry, key) for key in _SHOWN}
            return {key: text for key, text in texts.items() if text}
    return {}


def _text(group: h5py.Group, name: str) -> str:
    dataset = hdf5_files.member(group, name)
    if not isinstance(dataset, h5py.Dataset) or dataset.size != 1:
        return ""
    value = side_values(dataset) if dataset.dtype.kind in "SO" else None
    text = "" if value is None else value.ravel()[0]
    if isinstance(text, bytes):
        text = text.decode("utf-8", "replace")
    return printable(text[:_MOST_TEXT]) if isinstance(text, str) else ""


def _history(found: Contents) -> tuple[str, ...]:
    for dataset in found.datasets.values():
        lines = hdf5_files.attribute(dataset, "provenance")
        if isinstance(lines, str):
            return (printable(lines),)
        if isinstance(lines, list):
            return tuple(printable(str(line)) for line in lines)
    return ()


def _nothing(found: Contents, faults: list[str]) -> str:
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
