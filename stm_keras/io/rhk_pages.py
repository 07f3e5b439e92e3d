"""The pages of an RHK file (.sm4, version 005): headers, strings and units.

The file is a tree of objects, each named by a number and found at an offset:
file header, page index header, an index of pages, and for every page its
header, data and strings. Everything is little-endian. Layout: RHK's
description, as read by Gwyddion (rhk-sm4.c) and spym.
"""

import math
import re
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from stm_keras.errors import InputError
from stm_keras.io.recording import printable
from stm_keras.io.units import to_si

IMAGE = 0  # kinds of page data
LINE = 1
BIAS_SWEEP = 7  # a line type; the others are no maps over the bias

_SIGNATURE = "STiMage 005."

_FILE_HEADER = struct.Struct("<H36sIII8x")
# size of what follows; signature, UTF-16; number of pages; number of
# objects; size of an object's entry; reserved
_OBJECT = struct.Struct("<III")  # what it is; offset; size [byte]
_INDEX_HEADER = struct.Struct("<II8x")  # pages; objects; reserved
_PAGE_INDEX = struct.Struct("<16sIIII")
# identity; kind of data; source; number of objects; minor version
_PAGE_HEADER = struct.Struct("<HHIIIiiIIIIIIii11fIIIIB63x")
# size of the header; number of strings; page type; sub-source; line type;
# corner x, y [px]; size x, y [px]; image type; scan direction; group; size
# of the data [byte]; least and greatest value; scale x, y, z, xy; offset x,
# y, z; time per pixel [s]; bias [V]; set point [A]; angle [degree]; colours;
# grid x, y; number of objects; whether data are 32 bits; reserved
_POSITION_BYTES = 28  # of a spectrum: time, x, y, drift: 7 float32

_INDEX_HEADER_ID = 1
_INDEX_ARRAY_ID = 2
_PAGE_HEADER_ID = 3
_PAGE_DATA_ID = 4
_POSITIONS_ID = 8
_STRINGS_ID = 10

_MAX_PAGES = 4096
_MAX_OBJECTS = 64  # in one list; the instrument writes 24
_SAMPLE_BYTES = 4

_TEXTS: tuple[str, ...] = (
    "label",
    "system text",
    "session text",
    "user text",
    "path",
    "date",
    "time",
    "x units",
    "y units",
    "z units",
    "x label",
    "y label",
    "status channel",
    "completed lines",
    "oversampling",
    "sliced voltage",
)

_OWN = {"Vrms": "V", "Vp": "V", "N/sec": "1/s"}  # the last counts events
_VOLTAGE = re.compile(r"([-+]?[0-9]+\.?[0-9]*(?:[eE][-+]?[0-9]+)?)\s*(\w*)")


@dataclass(frozen=True)
class Page:
    """One image, or one set of spectra.

    Attributes:
        kind: `IMAGE` or `LINE`.
        page_type: what was measured, RHK's number.
        line_type: kind of spectrum, RHK's number.
        image_type: 0, or 1 for an autocorrelation.
        scan_type: 0 right, 1 left, 2 up, 3 down.
        columns: pixels in x, or points of a spectrum.
        rows: pixels in y, or number of spectra.
        scales: of x, y and z, in the units that `texts` names, per pixel or
            count; negative where the axis runs against the data.
        offsets: of x, y and z, in these units.
        bias_v: sample bias [V].
        set_point_a: of the current [A].
        angle_deg: of the frame.
        data_offset: where int32 [rows, columns] begins in the file [byte].
        positions_offset: where the spectra's positions begin; 0 for nowhere.
        texts: strings by name; those left out are empty.
    """

    kind: int
    page_type: int
    line_type: int
    image_type: int
    scan_type: int
    columns: int
    rows: int
    scales: tuple[float, float, float]
    offsets: tuple[float, float, float]
    bias_v: float
    set_point_a: float
    angle_deg: float
    data_offset: int
    positions_offset: int
    texts: dict[str, str]


class _Source:
    """The file; nothing is read from beyond its end."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self.path = path
        self.size = path.stat().st_size
        self._file = file

    def read(self, offset: int, size: int) -> bytes:
        if offset + size > self.size:
            raise self.fault("a part lies beyond the end of the file")
        self._file.seek(offset)
        content = self._file.read(size)
        if len(content) != size:
            raise self.fault("cut short while it was read")
        return content

    def unpack(self, layout: struct.Struct, offset: int) -> tuple:
        return layout.unpack(self.read(offset, layout.size))

    def objects(self, offset: int, count: int) -> dict[int, tuple[int, int]]:
        """Offset and size of each object in a list, by what it is."""
        if count > _MAX_OBJECTS:
            raise self.fault(f"a list of {count} objects")
        entries = _OBJECT.iter_unpack(self.read(offset, count * _OBJECT.size))
        found: dict[int, tuple[int, int]] = {}
        for what, start, size in entries:
            if start and size:
                found.setdefault(what, (start, size))
        return found

    def fault(self, what: str) -> InputError:
        return InputError(
            f"{self.path}: damaged, truncated or still being written: {what}."
        )


def read_pages(path: Path) -> list[Page]:
    """Read the headers of all images and spectra in a file.

    Raises:
        InputError: for a damaged or truncated file, or one of an older
            version.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        source = _Source(path, file)
        size, signature, _, n_objects, _ = source.unpack(_FILE_HEADER, 0)
        name = signature.decode("utf-16-le", "replace")
        if not name.startswith(_SIGNATURE):
            raise InputError(
                f"{path}: RHK file of a version that is not read, only SM4 "
                "(005) is. Save it again with a newer program."
            )
        objects = source.objects(size + 2, n_objects)
        if _INDEX_HEADER_ID not in objects:
            raise source.fault("no index of pages")
        start, _ = objects[_INDEX_HEADER_ID]
        n_pages, n_objects = source.unpack(_INDEX_HEADER, start)
        objects = source.objects(start + _INDEX_HEADER.size, n_objects)
        if _INDEX_ARRAY_ID not in objects or n_pages > _MAX_PAGES:
            raise source.fault(f"an index of {n_pages} pages")
        return _indexed_pages(source, objects[_INDEX_ARRAY_ID][0], n_pages)


def _indexed_pages(source: _Source, offset: int, n_pages: int) -> list[Page]:
    pages = []
    for _ in range(n_pages):
        _, kind, _, n_objects, _ = source.unpack(_PAGE_INDEX, offset)
        offset += _PAGE_INDEX.size
        objects = source.objects(offset, n_objects)
        offset += n_objects * _OBJECT.size
        if kind in (IMAGE, LINE):
            page = _read_page(source, kind, objects)
            pages += [page] * (kind == IMAGE or page.line_type == BIAS_SWEEP)
    return pages


def _read_page(
    source: _Source, kind: int, objects: dict[int, tuple[int, int]]
) -> Page:
    if _PAGE_HEADER_ID not in objects or _PAGE_DATA_ID not in objects:
        raise source.fault("a page without header or data")
    start, _ = objects[_PAGE_HEADER_ID]
    fields = source.unpack(_PAGE_HEADER, start)
    columns, rows = fields[7:9]
    real = fields[15:26]
    data, size = objects[_PAGE_DATA_ID]
    needed = columns * rows * _SAMPLE_BYTES
    if kind == LINE and fields[4] != BIAS_SWEEP:
        needed = size  # kept in other ways, and not read
    if not needed or size != needed or data + size > source.size:
        raise source.fault(
            f"a page of {columns} x {rows} points with {size} bytes of data"
        )
    inner = source.objects(start + _PAGE_HEADER.size, fields[29])
    positions, _ = inner.get(_POSITIONS_ID, (0, 0))
    if positions and positions + rows * _POSITION_BYTES > source.size:
        raise source.fault(f"places of {rows} spectra beyond its end")
    return Page(
        kind=kind,
        page_type=fields[2],
        line_type=fields[4],
        image_type=fields[9],
        scan_type=fields[10],
        columns=columns,
        rows=rows,
        scales=real[0:3],
        offsets=real[4:7],
        bias_v=real[8],
        set_point_a=real[9],
        angle_deg=real[10],
        data_offset=data,
        positions_offset=positions,
        texts=_texts(source, inner.get(_STRINGS_ID), fields[1]),
    )


def _texts(
    source: _Source, place: tuple[int, int] | None, count: int
) -> dict[str, str]:
    """The strings of a page: each a length, two bytes, then UTF-16."""
    texts: dict[str, str] = dict.fromkeys(_TEXTS, "")
    if place is None:
        return texts
    content = source.read(*place)
    offset = 0
    for name in _TEXTS[:count]:
        size = 2 * int.from_bytes(content[offset : offset + 2], "little")
        offset += 2
        raw = content[offset : offset + size]
        texts[name] = raw.decode("utf-16-le", "replace").strip(" \0")
        offset += size
    return texts


def si_unit(text: str) -> tuple[str, float]:
    """The SI unit of a unit in a file, and what one of it is in SI.

    Args:
        text: such as "m", "nm" or "Vrms".

    Returns:
        A unit that is not known stays as it is, with a factor of 1.
    """
    factor, unit = to_si(_OWN.get(text, text))
    return printable(unit), factor


def page_bias_v(page: Page) -> float:
    """Sample bias of an image [V]; NaN where the file does not tell it.

    A slice of a spectroscopic map names its own voltage; the bias of its
    header is that of the feedback.
    """
    if match := _VOLTAGE.match(page.texts["sliced voltage"]):
        unit, factor = si_unit(match[2] or "V")
        voltage = float(match[1]) * factor
        if unit == "V" and math.isfinite(voltage):
            return voltage
    return page.bias_v if math.isfinite(page.bias_v) else math.nan
