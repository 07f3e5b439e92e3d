"""NXdata groups: which datasets are signals, and what their axes are.

Source: the NeXus class NXdata,
https://manual.nexusformat.org/classes/base_classes/NXdata.html.
"""

import re
from dataclasses import replace

import h5py
import numpy as np

from stm_keras.io.formats.hdf5 import hdf5_files
from stm_keras.io.formats.hdf5.hdf5_maps import axis_of
from stm_keras.io.formats.hdf5.hdf5_numbers import is_real
from stm_keras.io.formats.labelled import Axis
from stm_keras.io.si_units import nm_per


def signals(group: h5py.Group) -> list[str]:
    """Names of the signal and those beside it."""
    more = hdf5_files.attribute(group, "auxiliary_signals")
    others = [more] if isinstance(more, str) else more
    named = [hdf5_files.text_of(group, "signal")]
    named += [str(o) for o in others] if isinstance(others, list) else []
    if not named[0]:  # before 2014 the dataset itself said so
        named += [
            str(name)
            for name in group
            if isinstance(
                child := hdf5_files.member(group, str(name)), h5py.Dataset
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
    said = hdf5_files.attribute(group, "axes")
    said = said or hdf5_files.attribute(dataset, "axes")
    names = re.split(r"[:,\s]+", said) if isinstance(said, str) else said
    names = [str(name) for name in names] if isinstance(names, list) else []
    placed: dict[int, str] = dict(enumerate(names))
    for name in names:
        index = hdf5_files.attribute(group, f"{name}_indices")
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
        _axis(group, name, size, probe)
        for name, size in zip(order, dataset.shape, strict=True)
    ]


def _fits(group: h5py.Group, dataset: h5py.Dataset, names: list[str]) -> bool:
    pairs = zip(names, dataset.shape, strict=True)
    return all(
        _axis(group, n, size, False).values is not None for n, size in pairs
    )


def _axis(group: h5py.Group, name: str, size: int, probe: bool) -> Axis:
    scale = hdf5_files.member(group, name) if name not in ("", ".") else None
    if not isinstance(scale, h5py.Dataset) or not is_real(scale):
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
