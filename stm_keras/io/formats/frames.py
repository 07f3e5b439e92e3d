"""Channels of several sizes in one file: those of one frame are a recording.

A file of an analysis program may hold a topograph of the whole terrace beside
the grid that was measured on a part of it.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.channels import quantity
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Recording

_MOST_LISTED = 12


@dataclass(frozen=True, eq=False)
class Framed:
    """A channel and the frame it was taken in; see `Recording`."""

    channel: Channel
    shape: tuple[int, int]
    extent_nm: tuple[float, float] | None = None
    placement: Placement | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)


def recording_of(
    path: Path,
    format_name: str,
    framed: Sequence[Framed],
    *,
    metadata: Mapping[str, str] | None = None,
    notes: tuple[str, ...] = (),
    history: tuple[str, ...] = (),
    none: str = "no map",
) -> Recording:
    """Make a recording of the channels that share the most telling frame.

    That is one where dI/dV or a bias sweep was recorded, and of these the one
    with most channels.

    Args:
        path: the file.
        format_name: for people.
        framed: the file's channels; other frames are left out and named in
            a note.
        metadata: of the whole file; that of the frame's channels is added.
        notes: see `Recording`.
        history: likewise.
        none: what to say where `framed` is empty: what is missing, and why.

    Raises:
        InputError: where there is no channel.
    """
    if not framed:
        raise InputError(f"{path}: {none}.")
    frames: dict[tuple[object, ...], list[Framed]] = {}
    for one in framed:
        frames.setdefault((one.shape, one.extent_nm), []).append(one)
    # Of equal ones the first: `max` keeps to it.
    chosen = max(frames.values(), key=_telling)
    first = chosen[0]
    left = [f.channel.name for f in framed if f not in chosen]
    if left:
        notes = (*notes, _left_out(first.shape, left))
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
    rows, columns = shape
    return (
        f"warning: only the channels of {rows} x {columns} px are read, "
        f"left out: {', '.join(dict.fromkeys(names))}"
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


def shortened(names: Sequence[str]) -> str:
    """A list for a message, cut where it is long."""
    more = len(names) - _MOST_LISTED
    text = ", ".join(names[:_MOST_LISTED])
    return f"{text} and {more} more" if more > 0 else text


def _telling(frame: Sequence[Framed]) -> tuple[bool, int]:
    channels = [one.channel for one in frame]
    spectral = any(
        c.sweep or quantity(c.name, c.unit) == "didv" for c in channels
    )
    return spectral, len(channels)


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
