"""Multi-pass scans of Nanonis: every line scanned several times.

The channels of the second pass are named as in "[P2]_Z". The table
Multipass-Config has a row for each pass and direction, forward before
backward, and says which of them had a bias or a set point of its own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stm_keras.io.formats.nanonis.nanonis_header import Channel
from stm_keras.io.formats.nanonis.nanonis_text import bias_v, finite_number
from stm_keras.io.options import Direction

_TABLE = "Multipass-Config"
_IN_FRONT = re.compile(r"\[P(\d{1,3})\][_ ]*(.+)")
_BEHIND = re.compile(r"(.+?)[_ ]*\[P(\d{1,3})\]")
_DIRECTIONS: tuple[Direction, ...] = ("forward", "backward")


@dataclass(frozen=True)
class PassImage:
    """One image of the file.

    Attributes:
        block: its place in the file's data, counted in images.
        number: of the pass, from 1; 0 where the file has no passes.
    """

    block: int
    number: int


@dataclass(frozen=True, eq=False)
class PassStack:
    """Images of one quantity and direction that belong together.

    Attributes:
        name: without the pass where that leaves it unique, else with it
            behind, as in "Z [P2]".
        unit: SI unit.
        factor: what brings stored values into `unit`.
        direction: of the fast scan.
        bias_v: bias of each image [V], NaN where the file does not tell.
        images: in the order of the passes.
        note: the passes and what was set for each; empty without passes.
    """

    name: str
    unit: str
    factor: float
    direction: Direction
    bias_v: NDArray[np.float64]
    images: tuple[PassImage, ...]
    note: str


def stacks(
    channels: Sequence[Channel], fields: Mapping[str, str]
) -> tuple[list[PassStack], list[str]]:
    """Put the images of a scan's passes together.

    Passes that all have another bias make one stack. Others stay apart: the
    second of two passes at one bias is another measurement, such as at
    another height.

    Args:
        channels: the table DATA_INFO.
        fields: the header's text by key.

    Returns:
        The stacks, in the order of the table, and lines for `provenance`.
    """
    quantities: dict[tuple[str, Direction], list[tuple[int, Channel]]] = {}
    for channel in channels:
        name, number = _split(channel.name)
        for direction in channel.blocks:
            same = quantities.setdefault((name, direction), [])
            same.append((number, channel))
    rows = _rows(fields)
    n_passes = max(n for same in quantities.values() for n, _ in same)
    notes = _doubts(n_passes, rows)
    if len(rows) != len(_DIRECTIONS) * n_passes:
        rows = []
    found: list[PassStack] = []
    for (name, direction), same in quantities.items():
        found.extend(_stacked(name, direction, same, rows, fields))
    return found, notes


def _doubts(n_passes: int, rows: list[dict[str, str]]) -> list[str]:
    """Warnings where the channels and the table of passes do not fit."""
    if n_passes and len(rows) != len(_DIRECTIONS) * n_passes:
        return [
            f"warning: no table of {n_passes} passes in the header: their "
            "biases are unknown"
        ]
    if not n_passes and any(_is_set(row, "Bias_override") for row in rows):
        return [
            "warning: a table of passes with biases of their own, but no "
            "channel names its pass; the scan's bias is used"
        ]
    return []


def _stacked(
    name: str,
    direction: Direction,
    same: list[tuple[int, Channel]],
    rows: list[dict[str, str]],
    fields: Mapping[str, str],
) -> list[PassStack]:
    """One stack where the biases differ, else one for each pass."""
    same = sorted(same, key=lambda numbered: numbered[0])
    settings = [
        _settings(number, direction, rows, fields) for number, _ in same
    ]
    biases = np.array([bias for bias, _ in settings])
    numbers = {number for number, _ in same}
    together = len(numbers) == len(same) == np.unique(biases).size
    together = together and bool(np.isfinite(biases).all())
    groups = [range(len(same))] if together else [[i] for i in range(len(same))]
    made = []
    for group in groups:
        number, channel = same[group[0]]
        tag = f" [P{number}]" if number and len(group) < len(same) else ""
        made.append(
            PassStack(
                name=f"{name}{tag}",
                unit=channel.unit,
                factor=channel.factor,
                direction=direction,
                bias_v=biases[list(group)],
                images=tuple(
                    PassImage(same[i][1].blocks[direction], same[i][0])
                    for i in group
                ),
                note="; ".join(settings[i][1] for i in group if number),
            )
        )
    return made


def _split(name: str) -> tuple[str, int]:
    """A channel's name without its pass, and that, or 0 for none."""
    if match := _IN_FRONT.fullmatch(name):
        return match.group(2), int(match.group(1))
    if match := _BEHIND.fullmatch(name):
        return match.group(1), int(match.group(2))
    return name, 0


def _rows(fields: Mapping[str, str]) -> list[dict[str, str]]:
    """The table of passes, its cells by their titles."""
    lines = [
        line for line in fields.get(_TABLE, "").split("\n") if line.strip()
    ]
    # A leading tab makes an empty first cell in the titles and in the rows.
    cells = [[cell.strip() for cell in line.split("\t")] for line in lines]
    return [dict(zip(cells[0], row, strict=False)) for row in cells[1:]]


def _settings(
    number: int,
    direction: Direction,
    rows: list[dict[str, str]],
    fields: Mapping[str, str],
) -> tuple[float, str]:
    """A pass's bias [V], NaN if unknown, and its settings for people."""
    told = bias_v(fields)
    bias = np.nan if told is None else told
    if not number:
        return bias, ""
    if not rows:
        return np.nan, f"pass {number}"
    row = rows[len(_DIRECTIONS) * (number - 1) + _DIRECTIONS.index(direction)]
    if _is_set(row, "Bias_override"):
        value = finite_number(row.get("Bias_override_value"))
        bias = np.nan if value is None else value
    words = [f"pass {number} at {bias:g} V"]
    if _is_set(row, "Z_Setp_override"):
        unit = fields.get("Z-Controller>Setpoint unit", "").strip()
        words.append(f"set point {row.get('Z_Setp_override_value')} {unit}")
    if _is_set(row, "Playback"):
        offset = row.get("Playback-Offset", "unknown")
        words.append(f"playing back a former pass, offset {offset}")
    return bias, ", ".join(words)


def _is_set(row: dict[str, str], title: str) -> bool:
    return row.get(title, "").upper() == "TRUE"
