"""Writes tiny TIFF files, for tests and for fuzzing.

From TIFF revision 6.0 and byte by byte; what ImageJ and OME add is written
by tifffile.
"""

import io
import struct
import zlib
from typing import Any

import numpy as np
import tifffile

_SAMPLE_FORMAT = {"u": 1, "i": 2, "f": 3}
_SIZES = {2: 1, 3: 2, 4: 4, 5: 8}  # bytes of ASCII, SHORT, LONG, RATIONAL


def stack(seed: int = 1) -> np.ndarray:
    """A stack of three maps, float32 [3, 6, 5]."""
    return np.random.default_rng(seed).normal(size=(3, 6, 5)).astype("f4")


def tiff_bytes(
    images: np.ndarray,
    *,
    order: str = "<",
    rows_per_strip: int | None = None,
    packed: bool = False,
    pixel_nm: tuple[float, float] | None = None,
    tags: dict[int, tuple[int, Any]] | None = None,
    next_page: int | None = None,
) -> bytes:
    """A classic TIFF file of one page an image.

    Args:
        images: [V, H, W].
        order: "<" or ">".
        rows_per_strip: None makes one strip of a page.
        packed: with deflate.
        pixel_nm: height and width, written as pixels per cm.
        tags: type and value of further tags, or in place of the usual.
        next_page: where the last page says that the next one lies.
    """
    content = bytearray(b"II*\0" if order == "<" else b"MM\0*") + bytes(4)
    link = 4  # where the place of the next page is written
    for image in images:
        height, width = image.shape
        rows = rows_per_strip or height
        offsets, counts = [], []
        for first in range(0, height, rows):
            strip = image[first : first + rows]
            strip = strip.astype(strip.dtype.newbyteorder(order)).tobytes()
            strip = zlib.compress(strip) if packed else strip
            offsets.append(len(content))
            counts.append(len(strip))
            content += strip
        entries: dict[int, tuple[int, Any]] = {
            256: (4, [width]),
            257: (4, [height]),
            258: (3, [image.dtype.itemsize * 8]),
            259: (3, [8 if packed else 1]),
            262: (3, [1]),
            273: (4, offsets),
            277: (3, [1]),
            278: (4, [rows]),
            279: (4, counts),
            339: (3, [_SAMPLE_FORMAT[image.dtype.kind]]),
        }
        if pixel_nm is not None:
            entries[282] = (5, [round(1e7 / pixel_nm[1]), 1])
            entries[283] = (5, [round(1e7 / pixel_nm[0]), 1])
            entries[296] = (3, [3])
        entries |= tags or {}
        start = len(content)
        struct.pack_into(f"{order}I", content, link, start)
        content += _directory(entries, order, start)
        link = start + 2 + 12 * len(entries)
    struct.pack_into(f"{order}I", content, link, next_page or 0)
    return bytes(content)


def _directory(
    entries: dict[int, tuple[int, Any]], order: str, start: int
) -> bytes:
    """A page's tags, and behind them the values that do not fit there."""
    table = struct.pack(f"{order}H", len(entries))
    place = start + 2 + 12 * len(entries) + 4
    values = b""
    for code, (kind, numbers) in sorted(entries.items()):
        if kind == 2:
            value, count = numbers, len(numbers)
        else:
            letter = {3: "H", 4: "I", 5: "I"}[kind]
            value = struct.pack(f"{order}{len(numbers)}{letter}", *numbers)
            count = len(value) // _SIZES[kind]
        table += struct.pack(f"{order}HHI", code, kind, count)
        if len(value) <= 4:
            table += value.ljust(4, b"\0")
        else:
            table += struct.pack(f"{order}I", place + len(values))
            values += value
    return table + bytes(4) + values


def written(images: np.ndarray, **options: Any) -> bytes:
    """What tifffile writes."""
    content = io.BytesIO()
    tifffile.imwrite(content, images, photometric="minisblack", **options)
    return content.getvalue()


def tiny_files() -> dict[str, bytes]:
    """A handful of files by name."""
    maps = stack()
    labels = [f"{bias} mV" for bias in (-100, 0, 100)]
    size = {f"PhysicalSize{axis}": 0.1 for axis in "XY"}
    size |= {f"PhysicalSize{axis}Unit": "nm" for axis in "XY"}
    return {
        "strips.tif": tiff_bytes(maps, rows_per_strip=4, pixel_nm=(0.1, 0.1)),
        "big_endian.tif": tiff_bytes((maps * 99).astype("i2"), order=">"),
        "packed.tif": tiff_bytes(maps, packed=True, pixel_nm=(0.1, 0.1)),
        "imagej.tif": written(
            maps,
            imagej=True,
            resolution=(10, 10),
            metadata={"unit": "nm", "Labels": labels, "axes": "ZYX"},
        ),
        "ome.tif": written(maps, ome=True, metadata={"axes": "ZYX", **size}),
        "tiles.tif": written(
            maps, bigtiff=True, tile=(16, 16), compression="zlib"
        ),
    }
