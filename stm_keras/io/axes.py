"""Arrays that programs write: which axis is which, and which channels belong.

Axes may stand in any order and run either way; maps come out as they are
everywhere here, [V, H, W], row 0 the top and column 0 the left edge. Programs
that hold images of any instrument have no field for direction and bias:
people and importers write them into titles such as "dI/dV 50 mV (Forward)".
And one file may hold a topograph of the whole terrace beside the grid that
was measured on a part of it: the channels of one frame are a recording.
"""

import math
import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.channels import channel_key, quantity
from stm_keras.io.placement import Placement
from stm_keras.io.recording import (
    Channel,
    Direction,
    Recording,
    printable,
)
from stm_keras.io.units import height_by_width, nm_per, scaled, to_si, volts_per

# Compared in small letters, without blanks and signs: "Bias (V)" is "biasv".
_BIAS = {
    *("bias", "biasv", "biasmv", "samplebias", "biasvoltage", "vbias", "v"),
    *("voltage", "voltagev", "energy", "energyev", "e", "ev", "vgap"),
    *("samplevoltage", "gapvoltage", "biascalc", "biascalcv"),
}
_Y = {"y", "ynm", "ym", "row", "rows", "ny", "yaxis", "line", "lines"}
_X = {"x", "xnm", "xm", "column", "columns", "col", "cols", "nx", "xaxis"}
_UNEVEN = 0.02  # of a step; coordinates are rounded in some files
_EDGES = 2

Role = str | None

_WORDS: dict[str, Direction] = {
    **dict.fromkeys(("forward", "fwd", "trace", "forwards"), "forward"),
    **dict.fromkeys(("backward", "bwd", "retrace", "backwards"), "backward"),
}
# Behind a blank or sign, or as "Trace" in "HeightTrace", not in "subtrace".
_DIRECTION = re.compile(
    r"[\s_\-,:]*(?:[\s_\-,:(\[]|(?<=[a-z0-9])(?=(?-i:[TRFB])[a-z])|^)"
    r"(forwards?|backwards?|fwd|bwd|retrace|trace)[)\]]?$",
    re.IGNORECASE,
)
_TITLE_NUMBER = r"[+-]?(?:[0-9]+(?:[.,][0-9]*)?|[.,][0-9]+)(?:[eE][+-]?[0-9]+)?"
_TITLE_BIAS = re.compile(
    rf"[\s_,@=(\[]*(?:\b(?:bias|V)\s*=\s*)?(?<![a-zA-Z0-9.])({_TITLE_NUMBER})\s*"
    r"([kmuµμ]?V|meV|eV)\b[)\]]?"
)
_VALUE = re.compile(rf"\s*({_TITLE_NUMBER})\s*([^\W\d_]+)?")
_KEY_UNIT = re.compile(r"[(\[]\s*([^)\]]+)\s*[)\]]")
# The bias of the sample; one of the tip has the other sign.
_BIAS_KEYS = (
    *("bias", "biasvoltage", "samplebias", "vgap", "gapvoltage", "vbias"),
    *("biasbias", "samplevoltage", "biasvolt", "tunnelbias", "biasvalue"),
    *("surfacevoltage", "tunnelingvoltage", "tunnellingvoltage", "gapbias"),
)

_SWEEP_POINTS = 3  # at least, to differentiate
_TABLE_SHARE = 16
"""By how much an array is larger than a table of a few numbers beside it."""


class NotMapsError(Exception):
    """An array is no stack of maps; the text says why, after its name."""


@dataclass(frozen=True, eq=False)
class Axis:
    """One axis of an array, as a file describes it.

    Attributes:
        name: empty where it has none.
        size: number of points.
        values: where these lie, in `unit`; None where the file does not tell.
        unit: as the file writes it.
        downwards: for y, whether it counts from the frame's top; None where
            the file does not tell, and then a y with values counts upwards,
            as in plots.
    """

    name: str
    size: int
    values: NDArray[np.floating] | None = None
    unit: str = ""
    downwards: bool | None = None


@dataclass(frozen=True, eq=False)
class Layout:
    """How an array becomes maps.

    Attributes:
        order: the array's axes in the order bias (where there is one), y, x;
            all others have one point.
        flip: whether rows, and columns, are to be turned round.
        shape: rows and columns [px].
        bias_v: bias of each map [V], float64 [V]; NaN where unknown.
        extent_nm: height and width [nm], from the centres of the outer
            pixels and half a pixel around; None where unknown.
        centre_nm: x and y of the frame's centre [nm], where its y axis counts
            upwards, as a scanner's does; None otherwise.
        is_guess: whether nothing but its place tells which axis is y or x,
            as in a table of any numbers.
    """

    order: tuple[int, ...]
    flip: tuple[bool, bool]
    shape: tuple[int, int]
    bias_v: NDArray[np.float64]
    extent_nm: tuple[float, float] | None
    centre_nm: tuple[float, float] | None
    is_guess: bool = False

    def arranged(self, values: NDArray[np.floating]) -> NDArray[np.floating]:
        """Turn the array into maps, a view [V, H, W]."""
        others = [i for i in range(values.ndim) if i not in self.order]
        maps = np.transpose(values, (*others, *self.order))
        maps = maps.reshape(self.bias_v.size, *self.shape)
        rows, columns = (-1 if flip else 1 for flip in self.flip)
        return maps[:, ::rows, ::columns]


def layout_of(axes: Sequence[Axis]) -> Layout:
    """Find bias, y and x among the axes of an array.

    Args:
        axes: in the array's order. Names count first, then units; of axes
            without either, the last two are y and x and one before them is
            the bias.

    Raises:
        NotMapsError: where the array is no stack of maps.
    """
    roles = _roles(axes)
    y, x = (axes[roles.index(role)] for role in ("y", "x"))
    for axis in (y, x):
        _check_even(axis)
    order = tuple(
        roles.index(role) for role in ("bias", "y", "x") if role in roles
    )
    bias = axes[roles.index("bias")] if "bias" in roles else None
    height, width = _length_nm(y), _length_nm(x)
    down = bool(y.downwards) or y.values is None
    centres = None if down else (_middle_nm(x), _middle_nm(y))
    return Layout(
        order=order,
        # Values that rise with the index put the bottom first, if y is up.
        flip=(_falls(y) if down else _rises(y), _falls(x)),
        shape=(y.size, x.size),
        bias_v=np.array([np.nan]) if bias is None else _bias_v(bias),
        extent_nm=None if height is None or width is None else (height, width),
        centre_nm=None
        if centres is None or None in centres
        else (float(centres[0] or 0), float(centres[1] or 0)),
        is_guess=_named(y) is None or _named(x) is None,
    )


def _roles(axes: Sequence[Axis]) -> list[Role]:
    """What each axis is: "bias", "y", "x" or None for one point alone."""
    roles = [_named(axis) for axis in axes]
    lengths = [i for i, r in enumerate(roles) if r == "length"]
    free = [
        i
        for i, (axis, role) in enumerate(zip(axes, roles, strict=True))
        if role is None and (axis.size > 1 or not axis.name)
    ]
    # The last axis is x where nothing else tells, as in every image.
    for role in ("x", "y"):
        if role not in roles:
            places = lengths or [i for i in free if axes[i].values is None]
            if not places:
                raise NotMapsError(f"has no axis {role}")
            roles[places[-1]] = role
            lengths, free = (
                [i for i in group if i != places[-1]]
                for group in (lengths, free)
            )
    left = [i for i in (*lengths, *free) if axes[i].size > 1]
    if not left and "bias" not in roles:
        left = free[-1:]
    for i in left:
        if "bias" in roles or axes[i].values is not None:
            raise NotMapsError(
                f"has the axis {axes[i].name!r}, neither bias, y nor x"
            )
        roles[i] = "bias"
    if any(roles.count(role) > 1 for role in ("bias", "y", "x")):
        raise NotMapsError("has two axes for one direction")
    return [None if role == "length" else role for role in roles]


def _named(axis: Axis) -> Role:
    key = channel_key(axis.name)
    for role, names in (("bias", _BIAS), ("y", _Y), ("x", _X)):
        if key in names:
            return role
    if volts_per(axis.unit) is not None:
        return "bias"
    return "length" if nm_per(axis.unit) is not None else None


def _check_even(axis: Axis) -> None:
    if axis.values is None or axis.size < _EDGES:
        return
    steps = np.diff(axis.values.astype(np.float64))
    step = (float(axis.values[-1]) - float(axis.values[0])) / steps.size
    if not (
        np.isfinite(step)
        and step != 0
        and np.all(np.abs(steps - step) <= _UNEVEN * abs(step))
    ):
        raise NotMapsError(f"has an uneven axis {axis.name!r}")


def _rises(axis: Axis) -> bool:
    values = axis.values
    return values is not None and axis.size > 1 and values[0] < values[-1]


def _falls(axis: Axis) -> bool:
    values = axis.values
    return values is not None and axis.size > 1 and values[0] > values[-1]


def _length_nm(axis: Axis) -> float | None:
    """The frame along an axis, half a pixel beyond the outer centres."""
    unit = nm_per(axis.unit)
    if axis.values is None or unit is None or axis.size < _EDGES:
        return None
    span = abs(float(axis.values[-1]) - float(axis.values[0])) * unit
    return span * axis.size / (axis.size - 1)


def _middle_nm(axis: Axis) -> float | None:
    unit = nm_per(axis.unit)
    if axis.values is None or unit is None:
        return None
    return (float(axis.values[0]) + float(axis.values[-1])) / 2 * unit


def _bias_v(axis: Axis) -> NDArray[np.float64]:
    """Values of the bias axis in V; NaN where it has none or no unit."""
    unit = volts_per(axis.unit)
    key = channel_key(axis.name)
    if unit is None and key.endswith(("biasv", "voltagev", "calcv")):
        unit = 1.0
    if axis.values is None or unit is None:
        return np.full(axis.size, np.nan)
    return axis.values.astype(np.float64) * unit


def title_parts(title: str) -> tuple[str, Direction, float]:
    """Name, direction and bias [V] in a title; NaN where it tells no bias.

    Example:
        >>> title_parts("dI/dV (Backward) 0.1 V")
        ('dI/dV', 'backward', 0.1)
    """
    name, bias_v = split_bias(split_direction(title)[0])
    if split_direction(title)[0] != title.strip():
        return name, split_direction(title)[1], bias_v
    return (*split_direction(name), bias_v)


def split_direction(title: str) -> tuple[str, Direction]:
    """The name without the direction of the scan; "forward" where none is.

    Example:
        >>> split_direction("Z (Backward)"), split_direction("HeightTrace")
        (('Z', 'backward'), ('Height', 'forward'))
    """
    match = _DIRECTION.search(title.strip())
    if match is None:
        return title.strip(), "forward"
    name = title.strip()[: match.start()].rstrip(" _-,:([")
    return name or title.strip(), _WORDS[match[1].lower()]


def split_bias(title: str) -> tuple[str, float]:
    """The name without the bias in it, and that [V]; NaN where none is.

    Example:
        >>> split_bias("dI/dV at -50 mV")
        ('dI/dV', -0.05)
    """
    match = _TITLE_BIAS.search(title)
    unit = None if match is None else volts_per(match[2])
    if match is None or unit is None:
        return title, math.nan
    rest = title[: match.start()] + title[match.end() :]
    name = re.sub(r"\s+(at|@)\s*$", "", rest).strip(" _,@=()[]")
    return name or title, _title_number(match[1]) * unit


def bias_of(texts: Mapping[str, str]) -> float:
    """The sample bias [V] among texts by name; NaN where none tells.

    Units come from the value ("50 mV") or the name ("Bias (mV)"), and are V
    where neither has one.

    Example:
        >>> bias_of({"Bias (mV)": "-20", "Scan angle": "3 deg"})
        -0.02
    """
    keys = {_bias_key(name): name for name in texts}
    for key in _BIAS_KEYS:
        if key not in keys:
            continue
        name = keys[key]
        match = _VALUE.match(texts[name])
        if match is None:
            continue
        within = _KEY_UNIT.search(name)
        unit = match[2] or (within[1] if within else "V")
        factor = volts_per(unit)
        if factor is not None:
            return _title_number(match[1]) * factor
    return math.nan


def _bias_key(name: str) -> str:
    """The key of "Bias>Bias (V)" or "Bias [mV]", without unit and signs."""
    return channel_key(_KEY_UNIT.sub("", name))


def _title_number(text: str) -> float:
    value = float(text.replace(",", "."))
    return value if math.isfinite(value) else math.nan


@dataclass(frozen=True, eq=False)
class Framed:
    """A channel and the frame it was taken in; see `Recording`.

    Attributes:
        is_guess: see `Layout`.
    """

    channel: Channel
    shape: tuple[int, int]
    extent_nm: tuple[float, float] | None = None
    placement: Placement | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    is_guess: bool = False


@dataclass(frozen=True)
class Refused:
    """An array of a file that is no stack of maps.

    Attributes:
        name: of the array.
        shape: all its sides.
        why: it is none, after "name (shape)".
    """

    name: str
    shape: tuple[int, ...]
    why: str

    def __str__(self) -> str:
        """For people: "iv (4 x 9) has no axis y"."""
        sides = " x ".join(map(str, self.shape))
        return printable(f"{self.name} ({sides}) {self.why}")


def framed_array(
    title: str,
    axes: Sequence[Axis],
    unit: str,
    load: Callable[[], NDArray[np.floating]],
    *,
    bias_v: float = math.nan,
    extent_nm: tuple[float, float] | None = None,
    placement: Placement | None = None,
) -> Framed:
    """Describe an array as a channel; its numbers are read later.

    Args:
        title: its name, with direction and bias in it where they are known.
        axes: its axes, in its order.
        unit: of its numbers.
        load: reads it, real, with these axes.
        bias_v: of a single map [V], where no axis tells it; NaN: the title.
        extent_nm: height and width [nm], in place of what the axes tell.
        placement: likewise.

    Raises:
        NotMapsError: where it is no stack of maps.
    """
    layout = layout_of(axes)
    name, direction, in_title = title_parts(printable(title))
    factor, si_unit = to_si(unit)
    biases = layout.bias_v
    if biases.size == 1 and np.isnan(biases).all():
        biases = np.array([in_title if math.isnan(bias_v) else bias_v])
    channel = Channel(
        name,
        printable(si_unit),
        biases,
        lambda: scaled(layout.arranged(load()), factor),
        direction,
        sweep=biases.size >= _SWEEP_POINTS,
    )
    if placement is None and layout.centre_nm is not None:
        placement = Placement(layout.centre_nm)
    return Framed(
        channel,
        layout.shape,
        extent_nm or layout.extent_nm,
        placement,
        is_guess=layout.is_guess,
    )


def recording_of(
    path: Path,
    format_name: str,
    framed: Sequence[Framed],
    *,
    metadata: Mapping[str, str] | None = None,
    notes: tuple[str, ...] = (),
    history: tuple[str, ...] = (),
    refused: Sequence[Refused] = (),
    none: str = "no map",
) -> Recording:
    """Make a recording of the channels that share the most telling frame.

    That is one where dI/dV or a bias sweep was recorded, and of these the one
    with most channels. A small table of which nothing says that it is an
    image is none where a far larger array is there.

    Args:
        path: the file.
        format_name: for people.
        framed: the file's channels; other frames are left out and named in
            a note.
        metadata: of the whole file; that of the frame's channels is added.
        notes: see `Recording`.
        history: likewise.
        refused: arrays that are no maps; named in a note.
        none: what to say where no channel is left: what is missing, and why.

    Raises:
        InputError: where there is no channel.
    """
    sizes = [math.prod(f.shape) for f in framed]
    sizes += [math.prod(sorted(r.shape)[-2:]) for r in refused]
    least = max(sizes, default=0) / _TABLE_SHARE
    images = [
        f for f in framed if not f.is_guess or math.prod(f.shape) >= least
    ]
    if not images:
        raise InputError(f"{path}: {none}.")
    frames: dict[tuple[object, ...], list[Framed]] = {}
    for one in images:
        frames.setdefault((one.shape, one.extent_nm), []).append(one)
    # Of equal ones the first: `max` keeps to it.
    chosen = max(frames.values(), key=_telling)
    first = chosen[0]
    taken = set(map(id, chosen))
    left = [f.channel.name for f in framed if id(f) not in taken]
    if left:
        notes = (*notes, _left_out(first.shape, left))
    if refused:
        left_out = f"warning: left out, as no maps: {reasons(refused)}"
        notes = (*notes, left_out)
    known = dict(metadata or {})
    for one in reversed(chosen):
        known |= one.metadata
    return Recording(
        source=str(path),
        format=format_name,
        shape=first.shape,
        extent_nm=first.extent_nm,
        channels=_told_apart([one.channel for one in chosen]),
        placement=next((f.placement for f in chosen if f.placement), None),
        metadata=known,
        notes=notes,
        history=history,
        # One channel alone is what the file was made for; I(V) is so for the
        # sake of its derivative.
        curated=not any(
            c.channel.sweep
            and quantity(c.channel.name, c.channel.unit) == "current"
            for c in chosen
        ),
    )


def _left_out(shape: tuple[int, int], names: Sequence[str]) -> str:
    return (
        f"warning: only the channels of {height_by_width(shape, 'px')} are "
        "read, "
        f"left out: {shortened([*dict.fromkeys(names)])}"
    )


def stacked(framed: Sequence[Framed]) -> list[Framed]:
    """Join single maps that are one stack.

    Args:
        framed: channels in the order of the file.

    Returns:
        Of channels of one map each that share name, direction, unit and
        frame and whose biases are known and differ, one channel; all others
        as they are.
    """
    groups: dict[tuple[object, ...], list[Framed]] = {}
    for one in framed:
        c = one.channel
        kind = (c.name, c.direction, c.unit, one.shape, one.extent_nm)
        groups.setdefault(kind, []).append(one)
    joined: list[Framed] = []
    for group in groups.values():
        biases = [one.channel.bias_v for one in group]
        values = np.concatenate(biases)
        apart = np.isfinite(values).all() and np.unique(values).size == (
            values.size
        )
        if len(group) > 1 and apart and all(b.size == 1 for b in biases):
            joined.append(_joined(group, values))
        else:
            joined += group
    return joined


def _joined(group: Sequence[Framed], bias_v: NDArray[np.float64]) -> Framed:
    first = group[0]
    notes = dict.fromkeys(f.channel.note for f in group if f.channel.note)
    loads = [one.channel.load for one in group]
    channel = replace(
        first.channel,
        bias_v=bias_v,
        load=lambda: np.concatenate([load() for load in loads]),
        note="; ".join(notes),
    )
    return replace(first, channel=channel)


def shortened(names: Sequence[str], most: int = 3, longest: int = 40) -> str:
    """A list for a message, cut where it is long."""
    more = len(names) - most
    text = ", ".join(name[:longest] for name in names[:most])
    return f"{text} and {more} more" if more > 0 else text


def reasons(refused: Sequence[Refused]) -> str:
    """Why arrays are no maps, for a message."""
    return shortened([str(one) for one in refused], most=2, longest=110)


def _telling(frame: Sequence[Framed]) -> tuple[bool, bool, int]:
    channels = [one.channel for one in frame]
    spectral = any(
        c.sweep or quantity(c.name, c.unit) == "didv" for c in channels
    )
    return not frame[0].is_guess, spectral, len(channels)


def _told_apart(channels: Sequence[Channel]) -> tuple[Channel, ...]:
    """Channels of one name and direction, numbered from the second on."""
    seen = Counter[tuple[str, str]]()
    unique = list[Channel]()
    for channel in channels:
        seen[channel.name, channel.direction] += 1
        n = seen[channel.name, channel.direction]
        name = f"{channel.name} {n}" if n > 1 else channel.name
        unique.append(replace(channel, name=name))
    return tuple(unique)
