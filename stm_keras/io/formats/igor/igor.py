"""Igor binary waves (.ibw): images and stacks, as Igor and Asylum save them.

Axis 0 of a wave ("rows") is x and counts fastest, axis 1 ("columns") is y,
which rises from the bottom, as in Igor's own graphs and in Gwyddion's reader;
axis 2 is the bias where its unit is V, or the list of channels where it has
labels, as in files of Asylum Research's instruments.
"""

import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.channels import channel_key
from stm_keras.io.formats.frames import Framed, recording_of
from stm_keras.io.formats.igor.igor_wave import Wave, read_wave
from stm_keras.io.formats.labelled import Axis, Layout, NotMapsError, layout_of
from stm_keras.io.formats.titles import bias_of, title_parts
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Recording, printable
from stm_keras.io.si_units import NM_PER_M, scaled, to_si, volts_per

_SWEEP_POINTS = 3  # at least, to differentiate
_MOST_NOTES = 40
_MOST_POINTS = 1 << 16  # along an axis
_NOTE = re.compile(r"\s*([^:=]{1,60}?)\s*[:=]\s*(.{1,200})")
# Asylum keeps one unit for all channels of a file, or none.
_UNITS = (
    (re.compile(r"^(height|zsensor|z$|topo|deflection)"), "m"),
    (re.compile(r"^current"), "A"),
    (re.compile(r"^(userin|bias|potential)"), "V"),
    (re.compile(r"^phase"), "deg"),
    (re.compile(r"^frequency"), "Hz"),
)


def open_ibw(path: Path) -> Recording:
    """Read an Igor binary wave.

    Args:
        path: the file.

    Returns:
        One channel; of a wave with labelled layers one for each.

    Raises:
        InputError: for a damaged or truncated file, or a wave that is
            neither an image nor a stack.
        OSError: where the file cannot be read.
    """
    wave = read_wave(path)
    if wave.values.ndim < 2 or max(wave.values.shape) > _MOST_POINTS:
        shape = " x ".join(map(str, wave.values.shape))
        raise InputError(
            f"{path}: a wave of {shape} points is no image. Give a wave of "
            f"two or three axes of at most {_MOST_POINTS} points."
        )
    notes = _notes(wave.note)
    labels = wave.labels[-1] if len(wave.scales) > 2 else ()
    layers = wave.values.shape[-1]
    in_layers = len(labels) == layers and any(labels)
    axes = _axes(wave)[: -1 if in_layers else None]
    try:
        layout = layout_of(axes)
    except NotMapsError as error:
        raise InputError(
            f"{path}: the wave {error}. Maps are waves of x, y and, for "
            "several, the bias with the unit V, or layers with labels."
        ) from error
    extent_nm = layout.extent_nm or _asylum_extent_nm(notes)
    chosen = (
        [
            (labels[i] or f"Layer {i}", wave.values[..., i])
            for i in range(layers)
        ]
        if in_layers
        else [(wave.name, wave.values)]
    )
    framed = [
        Framed(
            _channel(name, values, layout, wave, notes),
            layout.shape,
            extent_nm,
            _placement(wave, layout),
        )
        for name, values in chosen
    ]
    return recording_of(path, "wave from Igor", framed, metadata=notes)


def _axes(wave: Wave) -> list[Axis]:
    names = ("x", "y", "", "")
    return [
        Axis(
            "bias" if volts_per(unit) is not None and i > 1 else names[i],
            size,
            # A scale without a unit may be anything, above all a number.
            first + step * np.arange(size) if unit or i < 2 else None,
            unit,
        )
        for i, (size, (step, first), unit) in enumerate(
            zip(wave.values.shape, wave.scales, wave.units, strict=True)
        )
    ]


def _channel(
    title: str,
    values: NDArray[np.floating],
    layout: Layout,
    wave: Wave,
    notes: dict[str, str],
) -> Channel:
    name, direction, in_title = title_parts(printable(title))
    unit = next(
        (u for pattern, u in _UNITS if pattern.match(channel_key(name))), ""
    )
    labelled = title != wave.name
    factor, unit = to_si((unit if labelled else "") or wave.data_unit)
    bias_v = layout.bias_v
    if bias_v.size == 1 and np.isnan(bias_v).all():
        known = bias_of(notes)
        bias_v = np.array([in_title if np.isnan(known) else known])
    return Channel(
        name,
        printable(unit),
        bias_v,
        partial(_load, values, layout, factor),
        direction,
        sweep=bias_v.size >= _SWEEP_POINTS,
    )


def _load(
    values: NDArray[np.floating], layout: Layout, factor: float
) -> NDArray[np.floating]:
    return scaled(layout.arranged(values), factor)


def _notes(text: str) -> dict[str, str]:
    """Lines "name: value" of a note, which end with a carriage return."""
    matches = [_NOTE.fullmatch(line) for line in re.split(r"[\r\n]+", text)]
    pairs = [match.groups() for match in matches if match]
    return {printable(k): printable(v.strip()) for k, v in pairs[:_MOST_NOTES]}


def _asylum_extent_nm(notes: dict[str, str]) -> tuple[float, float] | None:
    """Height and width from the note, where the axes have no unit."""
    sides: list[float] = []
    for key in ("SlowScanSize", "FastScanSize"):
        try:
            sides.append(float(notes.get(key, "")) * NM_PER_M)
        except ValueError:
            return None
    return (sides[0], sides[1]) if min(sides) > 0 else None


def _placement(wave: Wave, layout: Layout) -> Placement | None:
    """Where the frame lies; axes that begin at 0 do not tell."""
    firsts: Sequence[float] = [first for _, first in wave.scales[:2]]
    if layout.centre_nm is None or not any(firsts):
        return None
    return Placement(layout.centre_nm)
