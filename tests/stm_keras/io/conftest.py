"""Test files that are written here, byte by byte, without the readers."""

import importlib.util
import struct
from pathlib import Path

import numpy as np
import pytest

SHARED = Path(__file__).resolve().parents[4] / "shared" / "data"

_HEADER = """:NANONIS_VERSION:
2
:SCANIT_TYPE:
              FLOAT            {order}
:SCAN_PIXELS:
       {columns}       {rows}
:SCAN_RANGE:
           {width_m:.9E}           {height_m:.9E}
:SCAN_DIR:
{scan_dir}
:BIAS:
            {bias_v}
:COMMENT:
{comment}
:Lock-in>Lock-in status:
{lock_in}
:DATA_INFO:
\tChannel\tName\tUnit\tDirection\tCalibration\tOffset
{table}

:SCANIT_END:


"""


def sxm_bytes(
    channels,
    *,
    scan_dir="down",
    size_nm=(6.0, 8.0),
    bias_v="1.000E-2",
    lock_in="ON",
    pixels=None,
    comment="",
    order="MSBFIRST",
):
    """A Nanonis scan.

    `channels` holds (name, unit, {direction: image as seen [H, W]}).
    """
    rows, columns = next(iter(channels[0][2].values())).shape
    table, data = [], b""
    for number, (name, unit, images) in enumerate(channels):
        word = "both" if len(images) == 2 else next(iter(images))
        table.append(f"\t{number}\t{name}\t{unit}\t{word}\t1.0E+0\t0.0E+0")
        for direction in ("forward", "backward"):
            if direction in images:
                data += _stored(images[direction], direction, scan_dir, order)
    columns, rows = pixels or (columns, rows)
    header = _HEADER.format(
        order=order,
        columns=columns,
        rows=rows,
        width_m=size_nm[1] * 1e-9,
        height_m=size_nm[0] * 1e-9,
        scan_dir=scan_dir,
        bias_v=bias_v,
        comment=comment,
        lock_in=lock_in,
        table="\n".join(table),
    )
    return header.encode("iso-8859-1") + b"\x1a\x04" + data


def _stored(image, direction, scan_dir, order):
    """The image in the order in which the tip took it."""
    n_rows = len(image)
    taken = b""
    for step in range(n_rows):
        line = list(image[step if scan_dir == "down" else n_rows - 1 - step])
        if direction == "backward":
            line.reverse()
        for value in line:
            taken += struct.pack(">f" if order == "MSBFIRST" else "<f", value)
    return taken


@pytest.fixture(name="sxm_bytes")
def _sxm_bytes():
    return sxm_bytes


@pytest.fixture
def two_channels():
    """Z and a lock-in X that carries a signal, each in two directions."""
    rng = np.random.default_rng(5)
    signal = rng.normal(size=(6, 8)).astype(np.float32)
    return [
        ("Z", "m", {"forward": signal, "backward": signal + 1}),
        (
            "LI_Demod_1_X",
            "A",
            {"forward": 3 + signal, "backward": 4 + signal},
        ),
    ]


@pytest.fixture
def shared_file():
    """The path of a real file beside the repository, or a skip."""

    def find(name):
        path = SHARED / name
        if not path.exists():
            pytest.skip(f"the real file ../shared/data/{name} is not here")
        return path

    return find


@pytest.fixture
def mutated():
    """Many damaged copies of a file's bytes."""

    def generate(content, n, seed, damaged_part=None):
        rng = np.random.default_rng(seed)
        end = damaged_part or len(content)
        for _ in range(n):
            copy = bytearray(content)
            kind = rng.integers(4)
            place = int(rng.integers(end))
            if kind == 0:  # cut short
                del copy[int(rng.integers(len(copy))) :]
            elif kind == 1:  # some bytes changed
                for _ in range(rng.integers(1, 4)):
                    copy[int(rng.integers(end))] = int(rng.integers(256))
            elif kind == 2:  # a piece repeated elsewhere or left out
                length = int(rng.integers(1, 40))
                piece = copy[place : place + length]
                other = int(rng.integers(end))
                copy[other : other + int(rng.integers(2)) * length] = piece
            else:  # digits, where numbers are
                digits = [i for i in range(end) if 48 <= copy[i] <= 57]
                for i in rng.choice(digits, size=2) if digits else ():
                    copy[i] = int(rng.choice(list(b"0123456789-+.eEn")))
            yield bytes(copy)

    return generate


@pytest.fixture
def tiny():
    """A module of `benchmarks/readers` that writes tiny files of a format."""

    def load(name):
        path = Path(__file__).resolve().parents[3]
        path = path / "benchmarks" / "readers" / f"tiny_{name}.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load
