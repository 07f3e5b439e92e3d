"""Writes tiny RHK files (.sm4), from the format's description."""

import struct
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

TEXTS = (
    *("label", "system", "session", "user", "path", "date", "time"),
    *("x_units", "y_units", "z_units", "x_label", "y_label", "status"),
    *("lines", "oversampling", "sliced", "pll", "setpoint_unit", "drives"),
)
_DEFAULTS = {
    "label": "Topography",
    "user": "Größe, µm",
    "date": "08/23/21",
    "time": "15:18:44",
    "x_units": "m",
    "y_units": "m",
    "z_units": "m",
    "oversampling": "0",
    "drives": "CH1 Drive : 75.0 mV",
    "path": "C:\\data\\a.sm4",
}


def page(
    counts: ArrayLike,
    *,
    kind: int = 0,
    page_type: int = 1,
    line_type: int = 0,
    image_type: int = 0,
    scan: int = 0,
    scale: tuple[float, float, float] = (-1e-9, -2e-9, -7e-17),
    offset: tuple[float, float, float] = (-4e-7, 8e-7, 0.0),
    bias: float = 0.075,
    angle: float = 0.0,
    places: ArrayLike | None = None,
    **texts: str,
) -> dict[str, bytes]:
    """The parts of one page.

    `counts` [rows, columns] as they are stored; `places` [n, 2] are x and y
    of n spectra [m].
    """
    counts = np.asarray(counts, dtype="<i4")
    rows, columns = counts.shape
    header = struct.pack("<HH", 180, len(TEXTS))
    header += struct.pack("<3I2i", page_type, 0, line_type, 0, 0)
    header += struct.pack("<4I", columns, rows, image_type, scan)
    header += struct.pack("<2I", 0, counts.nbytes)
    header += struct.pack("<2i", int(counts.min()), int(counts.max()))
    header += struct.pack("<11f", *scale, 0, *offset, 0.07, bias, 7e-11, angle)
    return {
        "index": struct.pack("<16sII", bytes(range(16)), kind, 0),
        "header": header,
        "strings": _strings({"lines": str(rows), **_DEFAULTS, **texts}),
        "data": counts.tobytes(),
        "places": b""
        if places is None
        else b"".join(
            struct.pack("<7f", number, x, y, 0, 0, 0, 0)
            for number, (x, y) in enumerate(np.asarray(places))
        ),
    }


def _strings(texts: dict[str, str]) -> bytes:
    strings = b""
    for name in TEXTS:
        text = texts.get(name, "")
        strings += struct.pack("<H", len(text)) + text.encode("utf-16-le")
    return strings


def sm4_bytes(
    pages: Sequence[dict[str, bytes]], *, signature: str = "STiMage 005.004 1"
) -> bytes:
    """A file of these pages."""
    start = 58  # of what follows the file header
    name = signature.encode("utf-16-le").ljust(36, b"\0")
    head = struct.pack("<H36sIIIII", 56, name, len(pages), 3, 12, 0, 0)
    index_header = start + 3 * 12
    index_array = index_header + 16 + 12
    first = index_array + len(pages) * (32 + 4 * 12)
    head += struct.pack("<3I", 1, index_header, 16)
    head += struct.pack("<3I", 13, 0, 0) + struct.pack("<3I", 15, 0, 0)
    head += struct.pack("<4I", len(pages), 1, 0, 0)
    head += struct.pack("<3I", 2, index_array, 32)
    index, body = b"", b""
    for parts in pages:
        n_inner = 4
        here = first + len(body)
        strings = here + 180 + n_inner * 12
        data = strings + len(parts["strings"])
        places = data + len(parts["data"])
        index += parts["index"] + struct.pack("<II", 4, 6)
        index += struct.pack("<3I", 3, here, 180)
        index += struct.pack("<3I", 4, data, len(parts["data"]))
        index += struct.pack("<6I", 14, 0, 0, 16, 0, 0)
        body += parts["header"] + struct.pack("<4I", 0, 0, 0, n_inner)
        body += b"\1" + bytes(63)
        body += struct.pack("<3I", 10, strings, len(parts["strings"]))
        # The instrument gives the size of one position here, not of all.
        size = 28 * bool(parts["places"])
        body += struct.pack("<3I", 8, places * bool(size), size)
        body += struct.pack("<6I", 0, 0, 0, 18, 0, 0)
        body += parts["strings"] + parts["data"] + parts["places"]
    return head + index + body


def counts(shape: tuple[int, int] = (4, 6), seed: int = 2) -> NDArray[np.int32]:
    """Counts of both signs, [rows, columns]."""
    rng = np.random.default_rng(seed)
    return rng.integers(-(10**6), 10**6, size=shape, dtype=np.int32)


def raster(
    shape: tuple[int, int], *, repeats: int = 2, angle_deg: float = 0.0
) -> NDArray[np.float64]:
    """Places of spectra from the top right to the left and down [m], [n, 2]."""
    rows, columns = shape
    turn = np.radians(angle_deg)
    places = []
    for row in range(rows):
        for column in reversed(range(columns)):
            right = (column - (columns - 1) / 2) * 1e-9
            up = ((rows - 1) / 2 - row) * 2e-9
            x = -4e-7 + right * np.cos(turn) - up * np.sin(turn)
            y = 8e-7 + right * np.sin(turn) + up * np.cos(turn)
            places += [(x, y)] * repeats
    return np.array(places)


def spectra(
    shape: tuple[int, int] = (3, 4),
    *,
    repeats: int = 2,
    angle_deg: float = 0.0,
    n_points: int = 5,
    label: str = "Current",
    n_taken: int | None = None,
) -> dict[str, bytes]:
    """A page of bias sweeps on a grid, from +0.2 V down in steps of 0.1 V."""
    places = raster(shape, repeats=repeats, angle_deg=angle_deg)[:n_taken]
    return page(
        counts((len(places), n_points), seed=4),
        kind=1,
        page_type=16,
        line_type=7,
        scale=(-0.1, 1.0, 1e-15),
        offset=(0.2, 0.0, 0.0),
        angle=angle_deg,
        places=places,
        label=label,
        x_units="V",
        y_units="",
        z_units="A",
    )


def both_directions(**changes: str) -> list[dict[str, bytes]]:
    """Topography and a lock-in channel, backward first as in real files."""
    lock_in = {
        "page_type": 2,
        "label": "LIA Current",
        "z_units": "A",
        "scale": (-1e-9, -2e-9, 5e-18),
    }
    return [
        page(counts(seed=seed), scan=scan, **(kind | changes))  # type: ignore
        for kind in (lock_in, {})
        for seed, scan in ((1, 1), (2, 0))
    ]


def tiny_files() -> dict[str, bytes]:
    """One file of each kind the format has: name -> content."""
    return {
        "images.sm4": sm4_bytes(both_directions()),
        "unfinished.sm4": sm4_bytes([page(counts(), lines="2")]),
        "grid.sm4": sm4_bytes([page(counts()), spectra()]),
        "turned.sm4": sm4_bytes([spectra(angle_deg=30.0, repeats=1)]),
        "biases.sm4": sm4_bytes(
            [page(counts(seed=n), bias=b) for n, b in enumerate((0.3, 0.1))]
        ),
    }
