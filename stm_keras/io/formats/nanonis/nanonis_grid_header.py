"""The header of a Nanonis grid (.3ds), checked against the file's size.

Lines `key=value`, values of several words in quotes, up to `:HEADER_END:`.
Then follows one record a point, in the order of the measurement: parameters,
then every channel's sweep, all big-endian float32.
"""

import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO

from stm_keras.errors import InputError
from stm_keras.io.formats.nanonis.nanonis_text import (
    Signal,
    decoded,
    finite_number,
    parse_signal,
    read_head,
)
from stm_keras.io.maps import checked_extent
from stm_keras.io.placement import Placement
from stm_keras.io.si_units import NM_PER_M

SAMPLE_BYTES = 4
_HEADER_END = re.compile(rb"(?:^|\n):HEADER_END:(\r?\n)")
_GRID_DIM = re.compile(r"\s*(\d{1,9})\s*[xX]\s*(\d{1,9})\s*")
_COUNT = re.compile(r"\s*\d{1,15}\s*")


@dataclass(frozen=True)
class GridHeader:
    """What a grid says of itself, checked against the file's size.

    Attributes:
        fields: text by key, such as "Filetype"; the first of equal keys.
        data_start: offset of the first record [byte].
        shape: rows and columns of points.
        n_points: points of every sweep.
        parameters: what begins every record, fixed ones first.
        channels: what was swept, in the order of the record.
        n_held: whole records that the file holds; fewer than the grid has
            points where it was stopped.
        extent_nm: height and width of the frame whose pixels' centres are
            the points [nm].
        is_line: whether the points lie on a line, which has no height.
        placement: where the frame lies.
    """

    fields: dict[str, str]
    data_start: int
    shape: tuple[int, int]
    n_points: int
    parameters: tuple[Signal, ...]
    channels: tuple[Signal, ...]
    n_held: int
    extent_nm: tuple[float, float]
    is_line: bool
    placement: Placement

    @property
    def record_bytes(self) -> int:
        """Size of one point's record [byte]."""
        return SAMPLE_BYTES * (
            len(self.parameters) + len(self.channels) * self.n_points
        )

    @property
    def sweep_signal(self) -> Signal:
        """What was swept at every point."""
        return parse_signal(self.fields.get("Sweep Signal", ""))


def read_grid_header(file: BinaryIO, path: Path) -> GridHeader:
    """Read a grid's header and check it against the file's size.

    Args:
        file: the open file.
        path: its name, for messages.

    Raises:
        InputError: where a field is missing or no sense can be made of it,
            or where the records it promises do not fit the file.
        OSError: where the file cannot be read.
    """
    head, size = read_head(file)
    end = _HEADER_END.search(head)
    if end is None:
        raise _damaged(path, "its header has no end")
    fields = _parse_fields(decoded(head[: end.start()]), end.group(1).decode())
    shape = _shape(fields, path)
    extent_nm, placement, is_line = _frame(fields, shape, path)
    header = GridHeader(
        fields=fields,
        data_start=end.end(),
        shape=shape,
        n_points=_count(fields, "Points", path),
        parameters=_parameters(fields, path),
        channels=_channels(fields, path),
        n_held=0,
        extent_nm=extent_nm,
        is_line=is_line,
        placement=placement,
    )
    n_held = _held_records(header, size - end.end(), path)
    return replace(header, n_held=n_held)


def _parse_fields(text: str, newline: str) -> dict[str, str]:
    """The header's values by key, without their quotes."""
    fields: dict[str, str] = {}
    lines = iter(text.split(newline))
    for line in lines:
        key, found, value = line.partition("=")
        # A quoted comment may go on over several lines.
        while value.startswith('"') and not _is_closed(value):
            more = next(lines, None)
            if more is None:
                break
            value += f"\n{more}"
        if found:
            fields.setdefault(key.strip(), value.strip().strip('"'))
    return fields


def _is_closed(value: str) -> bool:
    return len(value) > 1 and value.rstrip().endswith('"')


def _shape(fields: dict[str, str], path: Path) -> tuple[int, int]:
    """Rows and columns; the header names the columns first."""
    match = _GRID_DIM.fullmatch(fields.get("Grid dim", ""))
    if match is None or not int(match.group(1)) * int(match.group(2)):
        raise _damaged(path, "Grid dim is not two whole numbers")
    return int(match.group(2)), int(match.group(1))


def _parameters(fields: dict[str, str], path: Path) -> tuple[Signal, ...]:
    names = [
        *_listed(fields.get("Fixed parameters", "")),
        *_listed(fields.get("Experiment parameters", "")),
    ]
    promised = _count(fields, "# Parameters (4 byte)", path)
    if promised != len(names):
        raise _damaged(
            path, f"it names {len(names)} of {promised} parameters a point"
        )
    return tuple(parse_signal(name) for name in names)


def _channels(fields: dict[str, str], path: Path) -> tuple[Signal, ...]:
    names = _listed(fields.get("Channels", ""))
    if not names:
        raise _damaged(path, "it lists no channel")
    return tuple(parse_signal(name) for name in names)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(";")] if text.strip() else []


def _count(fields: dict[str, str], key: str, path: Path) -> int:
    text = fields.get(key, "")
    if not _COUNT.fullmatch(text):
        raise _damaged(path, f"{key} is no whole number")
    return int(text)


def _frame(
    fields: dict[str, str], shape: tuple[int, int], path: Path
) -> tuple[tuple[float, float], Placement, bool]:
    """Extent [nm], placement, and whether it is a line.

    The points are the centres of equal cells that fill the frame. Those of a
    line begin and end it, so that its pixels reach beyond by half of one.
    Angles count clockwise in the header.
    """
    words = _listed(fields.get("Grid settings", ""))
    values = [n for n in map(finite_number, words) if n is not None]
    if len(values) != len(words) or len(words) != 5:
        raise _damaged(path, "Grid settings are not five numbers")
    x, y, width, height = (value * NM_PER_M for value in values[:4])
    if not (math.isfinite(x) and math.isfinite(y)):
        raise _damaged(path, "Grid settings lie beyond all bounds")
    rows, columns = shape
    is_line = rows == 1 and columns > 1 and height == 0
    if is_line:
        width *= columns / (columns - 1)
        height = width / columns
    extent = checked_extent(f"{path} (Grid settings)", (height, width))
    # Minus nothing is nothing, not -0.
    return extent, Placement((x, y), 0.0 - values[4]), is_line


def _held_records(header: GridHeader, size: int, path: Path) -> int:
    """How many whole records lie in the file."""
    rows, columns = header.shape
    promised_sweeps = _count(header.fields, "Experiment size (bytes)", path)
    sweeps = len(header.channels) * header.n_points * SAMPLE_BYTES
    if promised_sweeps != sweeps or header.n_points < 1:
        raise _damaged(
            path,
            f"its {len(header.channels)} channels of {header.n_points} points "
            f"make {sweeps} bytes, not {promised_sweeps}",
        )
    promised = rows * columns * header.record_bytes
    if size > promised:
        raise _damaged(
            path, f"it promises {promised} bytes of data and holds {size}"
        )
    n_held = size // header.record_bytes
    if n_held < 1:
        raise _damaged(path, f"it holds none of its {rows * columns} points")
    return n_held


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(
        f"{path}: not a readable Nanonis grid: {fault}. It is truncated, "
        "damaged or still being written: copy it again."
    )
