"""Nanonis scan files (.sxm): a text header, then float32 images.

The header has lines `:KEY:` with their values below, up to `:SCANIT_END:`;
after the bytes 1A 04 follow the images that the table DATA_INFO lists,
forward before backward, in the order of acquisition. A scan "up" begins with
the bottom line of the frame, and a backward image holds its lines from right
to left; here row 0 is the top and column 0 the left edge of the frame,
whichever way the tip went.

In a multi-pass scan every line is scanned several times. The channels of the
second pass are named as in "[P2]_Z". The table Multipass-Config has a row for
each pass and direction, forward before backward, and says which of them had a
bias or a set point of its own.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.maps import checked_extent
from stm_keras.io.nanonis_text import (
    bias_v,
    common_metadata,
    decoded,
    feedback_is_on,
    lock_in_is_off,
    read_head,
)
from stm_keras.io.placement import Placement, placed
from stm_keras.io.recording import (
    Channel,
    Direction,
    Recording,
    as_seen,
    printable,
)
from stm_keras.io.units import NM_PER_M, finite_number, height_by_width, to_si

SAMPLE_BYTES = 4
_HEADER_END = b":SCANIT_END:"
_DATA_START = b"\x1a\x04"
_BYTE_ORDERS = {"MSBFIRST": ">f4", "LSBFIRST": "<f4"}
_DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "both": ("forward", "backward"),
    "forward": ("forward",),
    "backward": ("backward",),
}

_TABLE = "Multipass-Config"
_IN_FRONT = re.compile(r"\[P([0-9]{1,3})\][_ ]*(.+)")
_BEHIND = re.compile(r"(.+?)[_ ]*\[P([0-9]{1,3})\]")
_WAYS: tuple[Direction, ...] = ("forward", "backward")


@dataclass(frozen=True)
class Listed:
    """One line of the table DATA_INFO.

    Attributes:
        name: such as "Z", "LI_Demod_1_X" or "[P2]_Z" of the second pass.
        unit: SI unit, such as "m" or "A".
        factor: what brings stored values into `unit`.
        blocks: place of the image of each direction in the file's data,
            counted in images.
    """

    name: str
    unit: str
    factor: float
    blocks: dict[Direction, int]


@dataclass(frozen=True)
class ScanHeader:
    """What a scan file says of itself, checked against its size.

    Attributes:
        fields: text by key, such as "SCAN_DIR"; the first of equal keys.
        data_start: offset of the first image [byte].
        shape: rows and columns of every image [px].
        extent_nm: height and width of the frame [nm].
        dtype: NumPy's name of the sample type.
        upwards: whether the first stored line is the frame's bottom.
        channels: the table DATA_INFO.
    """

    fields: dict[str, str]
    data_start: int
    shape: tuple[int, int]
    extent_nm: tuple[float, float]
    dtype: str
    upwards: bool
    channels: tuple[Listed, ...]

    @property
    def lock_in_off(self) -> bool:
        """Whether the header says so; False also where it says nothing."""
        return lock_in_is_off(self.fields)

    @property
    def placement(self) -> Placement | None:
        """Where the frame lies; None where the header does not tell.

        SCAN_OFFSET is the frame's centre, and the angle counts clockwise, as
        in the "Grid settings" of grids.
        """
        words = self.fields.get("SCAN_OFFSET", "").split()
        offsets = [finite_number(word) for word in words]
        angle = finite_number(self.fields.get("SCAN_ANGLE"))
        if angle is None:
            return None
        return placed(
            [None if n is None else n * NM_PER_M for n in offsets], 0.0 - angle
        )


def read_header(file: BinaryIO, path: Path) -> ScanHeader:
    """Read a scan's header and check it against the file's size.

    Args:
        file: the open file.
        path: its name, for messages.

    Raises:
        InputError: where a field is missing or no sense can be made of it,
            or where the images it promises are not what the file holds.
    """
    head, size = read_head(file)
    text, data_start = _header_text(head, path)
    fields = _parse_fields(text)
    columns, rows = _numbers(fields, "SCAN_PIXELS", path)
    if not all(n >= 1 and n == int(n) for n in (columns, rows)):
        raise _damaged(path, "SCAN_PIXELS are no whole numbers")
    channels = _parse_channels(fields, path)
    n_images = sum(len(channel.blocks) for channel in channels)
    held = size - data_start
    promised = n_images * int(rows) * int(columns) * SAMPLE_BYTES
    if held != promised:
        raise InputError(
            f"{path}: the header promises {promised} bytes of data "
            f"({n_images} images of {height_by_width((rows, columns), 'px')}), "
            "the file "
            f"holds {held}. It is truncated, damaged or still being written: "
            "copy it again."
        )
    width_m, height_m = _numbers(fields, "SCAN_RANGE", path)
    extent_nm = (height_m * NM_PER_M, width_m * NM_PER_M)
    return ScanHeader(
        fields=fields,
        data_start=data_start,
        shape=(int(rows), int(columns)),
        extent_nm=checked_extent(f"{path} (SCAN_RANGE)", extent_nm),
        dtype=_sample_type(fields, path),
        upwards=_upwards(fields, path),
        channels=channels,
    )


def _header_text(head: bytes, path: Path) -> tuple[str, int]:
    """The header as text, and the offset of the first image [byte]."""
    end = head.find(_HEADER_END)
    start = head.find(_DATA_START, end) if end >= 0 else -1
    if start < 0:
        raise _damaged(path, "its header has no end")
    return decoded(head[:end]), start + len(_DATA_START)


def _parse_fields(text: str) -> dict[str, str]:
    """The header's values by key; the first of equal keys counts."""
    # Split at line feeds only: `splitlines` would also split at bytes that
    # are letters in other encodings.
    values: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in text.split("\n"):
        line = line.rstrip("\r")
        if len(line) > 2 and line.startswith(":") and line.endswith(":"):
            lines = []
            values.setdefault(line[1:-1], lines)
        else:
            lines.append(line)
    return {key: "\n".join(value).strip("\n") for key, value in values.items()}


def _parse_channels(fields: dict[str, str], path: Path) -> tuple[Listed, ...]:
    """The table DATA_INFO: its columns are found by their titles."""
    table = [
        [cell.strip() for cell in line.strip().split("\t")]
        for line in fields.get("DATA_INFO", "").split("\n")
        if line.strip()
    ]
    titles = table[0] if table else []
    if not {"Name", "Unit", "Direction"} <= set(titles):
        raise _damaged(path, "its table DATA_INFO is missing or unknown")
    channels: list[Listed] = []
    n_images = 0
    for cells in table[1:]:
        row = dict(zip(titles, cells, strict=False))
        directions = _DIRECTIONS.get(row.get("Direction", "").lower())
        if directions is None:
            raise _damaged(path, "a line of DATA_INFO has no scan direction")
        blocks: dict[Direction, int] = {
            d: n_images + i for i, d in enumerate(directions)
        }
        factor, unit = to_si(printable(row["Unit"]))
        name = printable(row["Name"])
        channels.append(Listed(name, unit, factor, blocks))
        n_images += len(blocks)
    if not channels:
        raise _damaged(path, "its table DATA_INFO lists no channel")
    return tuple(channels)


def _numbers(
    fields: dict[str, str], key: str, path: Path
) -> tuple[float, float]:
    """The two finite numbers (x, y) of a field."""
    values = [finite_number(word) for word in fields.get(key, "").split()]
    known = [value for value in values if value is not None]
    if len(values) != 2 or len(known) != 2:
        raise _damaged(path, f"{key} is not two numbers")
    return known[0], known[1]


def _sample_type(fields: dict[str, str], path: Path) -> str:
    words = fields.get("SCANIT_TYPE", "").split()
    if len(words) != 2 or words[0] != "FLOAT" or words[1] not in _BYTE_ORDERS:
        raise _damaged(path, f"unknown SCANIT_TYPE {' '.join(words)!r}")
    return _BYTE_ORDERS[words[1]]


def _upwards(fields: dict[str, str], path: Path) -> bool:
    direction = fields.get("SCAN_DIR", "").strip().lower()
    if direction not in ("up", "down"):
        raise _damaged(path, f"unknown SCAN_DIR {direction!r}")
    return direction == "up"


def _damaged(path: Path, fault: str) -> InputError:
    return InputError(
        f"{path}: not a whole Nanonis scan: {fault}. Copy it from the "
        "instrument again once it is written."
    )


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
    channels: Sequence[Listed], fields: Mapping[str, str]
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
    quantities: dict[tuple[str, Direction], list[tuple[int, Listed]]] = {}
    for channel in channels:
        name, number = _split(channel.name)
        for direction in channel.blocks:
            same = quantities.setdefault((name, direction), [])
            same.append((number, channel))
    rows = _rows(fields)
    n_passes = max(n for same in quantities.values() for n, _ in same)
    notes = _doubts(n_passes, rows)
    if len(rows) != len(_WAYS) * n_passes:
        rows = []
    found: list[PassStack] = []
    for (name, direction), same in quantities.items():
        found.extend(_stacked(name, direction, same, rows, fields))
    return found, notes


def _doubts(n_passes: int, rows: list[dict[str, str]]) -> list[str]:
    """Warnings where the channels and the table of passes do not fit."""
    if n_passes and len(rows) != len(_WAYS) * n_passes:
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
    same: list[tuple[int, Listed]],
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
    row = rows[len(_WAYS) * (number - 1) + _WAYS.index(direction)]
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


def open_sxm(path: Path) -> Recording:
    """Read the header of a Nanonis scan.

    Args:
        path: the file.

    Returns:
        Channels of one map each, or of one map a pass where the passes of a
        multi-pass scan had each another bias. Lines that were not scanned
        are NaN.

    Raises:
        InputError: for a damaged or truncated file, one that is still being
            written, or one whose header does not fit its size.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        header = read_header(file, path)
    found, notes = stacks(header.channels, header.fields)
    return Recording(
        source=str(path),
        format="Nanonis scan",
        shape=header.shape,
        extent_nm=header.extent_nm,
        channels=tuple(
            Channel(
                stack.name,
                stack.unit,
                stack.bias_v,
                partial(_read_maps, path, header, stack),
                stack.direction,
                lock_in_off=header.lock_in_off,
                note=printable(stack.note),
            )
            for stack in found
        ),
        placement=header.placement,
        metadata=_metadata(path, header),
        notes=(*notes, *_unfinished(path, header)),
        feedback=feedback_is_on(header.fields),
    )


def _read_maps(
    path: Path, header: ScanHeader, stack: PassStack
) -> NDArray[np.float32]:
    """Images as seen, row 0 the frame's top: float32 [V, H, W], SI."""
    maps = np.empty((len(stack.images), *header.shape), np.float32)
    for index, image in enumerate(stack.images):
        maps[index] = _read_image(path, header, image.block)
    if stack.factor != 1:
        with np.errstate(over="ignore", invalid="ignore"):
            maps *= np.float32(stack.factor)
    return as_seen(
        maps, upwards=header.upwards, backward=stack.direction == "backward"
    )


def _read_image(path: Path, header: ScanHeader, block: int) -> np.ndarray:
    """One image in the order of acquisition, [H, W]."""
    rows, columns = header.shape
    size = rows * columns * SAMPLE_BYTES
    with path.open("rb") as file:
        file.seek(header.data_start + block * size)
        content = file.read(size)
    if len(content) != size:
        raise InputError(f"{path}: cut short while it was read. Try again.")
    return np.frombuffer(content, header.dtype).reshape(rows, columns)


def _unfinished(path: Path, header: ScanHeader) -> list[str]:
    """A warning where lines were not scanned, as the first image tells."""
    lines = _read_image(path, header, 0)
    n_scanned = int(np.count_nonzero(~np.isnan(lines).all(axis=1)))
    if n_scanned == len(lines):
        return []
    return [f"warning: unfinished: {n_scanned} of {len(lines)} lines scanned"]


def _metadata(path: Path, header: ScanHeader) -> dict[str, str]:
    fields = header.fields
    date = f"{fields.get('REC_DATE', '')} {fields.get('REC_TIME', '')}"
    duration = finite_number(fields.get("ACQ_TIME"))
    found = {
        "title": path.stem,
        "date": " ".join(date.split()),
        "duration": "" if duration is None else f"{duration:g} s",
        "scan direction": fields.get("SCAN_DIR", "").strip(),
    }
    told = {name: printable(text) for name, text in found.items() if text}
    return told | common_metadata(fields)
