"""Writes tiny Createc images, from the format's description, byte by byte."""

import struct
import zlib

import numpy as np
from numpy.typing import ArrayLike, NDArray

HEADER_BYTES = 16384

FIELDS = {
    "DAC-Type": "20bit",
    "Titel(File) / Titel": "Größe 5 Å",  # Windows-1252
    "Delta X / Delta X [Dac]": "165",
    "Delta Y / Delta Y [Dac]": "110",
    "Num.X / Num.X": "",
    "Num.Y / Num.Y": "",
    "GainX / GainX": "10",
    "GainY / GainY": "10",
    "GainZ / GainZ": "3",
    "Rotation / Rotation": "0.00",
    "BiasVoltage / BiasVolt.[mV]": "-50.00",
    "Gainpreamp / GainPre 10^": "9",
    "Chan(1,2,4) / ScanChannels": "2",
    "Scanrotoffx / OffsetX": "-1000.0",
    "Scanrotoffy / OffsetY": "2000.0",
    "ZPiezoconst / ZPiezoconst": "  8.00",
    "Xpiezoconst / Xpiezoconst": " 50.00",
    "YPiezoconst / YPiezoconst": " 50.00",
    "Scantype / Scantype": "1",
    "Scanmode / ScanXMode": "2",
    "CHMode / CHMode": "0",
    "Channels / Channels": "",
    "ScanYDirec / ScanYDirec": "1",
    "CHModeBias[mV] / CHModeBias[mV]": "1000.00",
    "Channelselectval / Channelselectval": "3",
    "ImageYPosMax": "",
    "Length x[A]": "",
    "Length y[A]": "",
    "Biasvolt[mV]": "-50.00",
    "FBChannel": "0",
    "SetPoint": "1.00E-10",
}


def dat_bytes(
    planes: ArrayLike, *, magic: str = "[Paramco32]", **changes: str | None
) -> bytes:
    """A Createc image.

    `planes` holds the images in counts, [n, H, W], as they are stored: all
    quantities forward, then all backward. `changes` replaces header fields by
    the part of their name before the first blank or bracket, with "_" for ".".
    """
    planes = np.asarray(planes)
    n_planes, rows, columns = planes.shape
    angstrom = 20 / 2**20 * 10 * 50
    values = {
        "Num.X": columns,
        "Num.Y": rows,
        "Channels": n_planes,
        "ImageYPosMax": rows + 1,
        "Length x": f"{columns * 165 * angstrom:.4f}",
        "Length y": f"{rows * 110 * angstrom:.4f}",
    }
    changes = {key.replace("_", "."): text for key, text in changes.items()}
    values |= changes
    lines = [magic]
    for name, text in FIELDS.items():
        key = name.split(" / ")[0].split("[")[0].strip()
        if changes.get(key, "") is not None:
            lines.append(f"{name}={values.get(key, text)}")
    header = "\r\n".join([*lines, "memo:0=no comment", ""])
    header = header.encode("cp1252").ljust(HEADER_BYTES - 4, b"\0") + b"DATA"
    code = "h" if magic == "[Parameter]" else "f"
    samples = [0, *planes.ravel().tolist()]
    # The instrument appends four lines and a little.
    samples += [0] * (4 * columns + 31)
    if code == "h":
        samples = [round(sample) for sample in samples]
    data = struct.pack(f"<{len(samples)}{code}", *samples)
    return header + (zlib.compress(data) if magic == "[Paramco32]" else data)


def counts(
    n_planes: int = 4, shape: tuple[int, int] = (4, 6), seed: int = 3
) -> NDArray[np.float64]:
    """Images in counts, whole numbers, none zero: [n, H, W]."""
    rng = np.random.default_rng(seed)
    return rng.integers(1, 9000, size=(n_planes, *shape)).astype(np.float64)


def tiny_files() -> dict[str, bytes]:
    """One file of each kind the format has: name -> content."""
    unfinished = counts()
    unfinished[:, 2:] = 0
    return {
        "packed.dat": dat_bytes(counts()),
        "unpacked.dat": dat_bytes(counts(), magic="[Paramet32]"),
        "integers.dat": dat_bytes(
            counts(2), magic="[Parameter]", **{"DAC-Type": None}
        ),
        "unfinished.dat": dat_bytes(unfinished, ImageYPosMax="3"),
        "lock_in.dat": dat_bytes(counts(6), Channelselectval="35"),
    }
