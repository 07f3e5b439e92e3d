"""The header of a Nanonis scan file (.sxm), checked against the file's size.

Lines `:KEY:` with their values below, up to `:SCANIT_END:`; after the bytes
1A 04 follow the images that the table DATA_INFO lists.
"""

import math
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stm_keras.errors import InputError
from stm_keras.io.formats.nanonis.nanonis_text import (
    decoded,
    lock_in_is_off,
    read_head,
)
from stm_keras.io.maps import checked_extent
from stm_keras.io.options import Direction
from stm_keras.io.placement import Placement
from stm_keras.io.recording import printable
from stm_keras.io.si_units import NM_PER_M, to_si

SAMPLE_BYTES = 4
_HEADER_END = b":SCANIT_END:"
_DATA_START = b"\x1a\x04"
_BYTE_ORDERS = {"MSBFIRST": ">f4", "LSBFIRST": "<f4"}
_DIRECTIONS: dict[str, tuple[Direction, ...]] = {
    "both": ("forward", "backward"),
    "forward": ("forward",),
    "backward": ("backward",),
}


@dataclass(frozen=True)
class Channel:
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
class Header:
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
    channels: tuple[Channel, ...]

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
        try:
            words = self.fields.get("SCAN_OFFSET", "").split()
            x, y = (float(word) * NM_PER_M for word in words)
            angle = float(self.fields.get("SCAN_ANGLE", ""))
        except ValueError:
            return None
        if not all(map(math.isfinite, (x, y, angle))):
            return None
        return Placement((x, y), 0.0 - angle)


def read_header(file: BinaryIO, path: Path) -> Header:
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
            f"({n_images} images of {rows:g} x {columns:g} px), the file "
            f"holds {held}. It is truncated, damaged or still being written: "
            "copy it again."
        )
    width_m, height_m = _numbers(fields, "SCAN_RANGE", path)
    extent_nm = (height_m * NM_PER_M, width_m * NM_PER_M)
    return Header(
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


def _parse_channels(fields: dict[str, str], path: Path) -> tuple[Channel, ...]:
    """The table DATA_INFO: its columns are found by their titles."""
    table = [
        [cell.strip() for cell in line.strip().split("\t")]
        for line in fields.get("DATA_INFO", "").split("\n")
        if line.strip()
    ]
    titles = table[0] if table else []
    if not {"Name", "Unit", "Direction"} <= set(titles):
        raise _damaged(path, "its table DATA_INFO is missing or unknown")
    channels: list[Channel] = []
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
        channels.append(Channel(name, unit, factor, blocks))
        n_images += len(blocks)
    if not channels:
        raise _damaged(path, "its table DATA_INFO lists no channel")
    return tuple(channels)


def _numbers(
    fields: dict[str, str], key: str, path: Path
) -> tuple[float, float]:
    """The two finite numbers (x, y) of a field."""
    try:
        x, y = (float(word) for word in fields.get(key, "").split())
    except ValueError:
        x = y = math.nan
    if not (math.isfinite(x) and math.isfinite(y)):
        raise _damaged(path, f"{key} is not two numbers")
    return x, y


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
