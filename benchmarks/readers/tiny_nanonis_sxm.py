"""Writes tiny Nanonis scans (.sxm), for tests and for fuzzing.

From the format's description and byte by byte, without the readers of
`stm_keras`, which are tested with it.
"""

import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Images = Mapping[str, np.ndarray]

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
{fields}:DATA_INFO:
\tChannel\tName\tUnit\tDirection\tCalibration\tOffset
{table}

:SCANIT_END:


"""
_USUAL_FIELDS = {
    "ACQ_TIME": "       131.4",
    "SCAN_TIME": "             2.560E-1             2.560E-1",
    "SCAN_OFFSET": "             1.000000E-8         -2.000000E-8",
    "SCAN_ANGLE": "            3.000E+1",
}
_PLAIN_PASS = {
    "Record-Ch": "-1",
    "Playback": "FALSE",
    "Playback-Offset": "0.000E+0",
    "BOL-delay_[cycles]": "40",
    "Bias_override": "FALSE",
    "Bias_override_value": "0.000E+0",
    "Z_Setp_override": "FALSE",
    "Z_Setp_override_value": "0.000E+0",
    "Speed_factor": "1.000",
}


@dataclass(frozen=True, kw_only=True)
class Scan:
    """What a scan's header says besides its channels.

    Attributes:
        scan_dir: "up" or "down".
        size_nm: height and width.
        bias_v: text of the field BIAS.
        lock_in: its state.
        pixels: columns and rows to claim, in place of the images'.
        comment: any text.
        order: of the bytes, MSBFIRST or LSBFIRST.
        fields: more fields by key.
        encoding: of the header.
    """

    scan_dir: str = "down"
    size_nm: tuple[float, float] = (6.0, 8.0)
    bias_v: str = "1.000E-2"
    lock_in: str = "ON"
    pixels: tuple[object, object] | None = None
    comment: str = ""
    order: str = "MSBFIRST"
    fields: Mapping[str, str] = field(default_factory=dict)
    encoding: str = "iso-8859-1"

    def header(self, table: Sequence[str], shape: tuple[int, int]) -> bytes:
        """The header for a table DATA_INFO and images of a shape."""
        columns, rows = self.pixels or shape[::-1]
        fields = {**_USUAL_FIELDS, **self.fields}
        return _HEADER.format(
            order=self.order,
            columns=columns,
            rows=rows,
            width_m=self.size_nm[1] * 1e-9,
            height_m=self.size_nm[0] * 1e-9,
            scan_dir=self.scan_dir,
            bias_v=self.bias_v,
            comment=self.comment,
            lock_in=self.lock_in,
            fields="".join(f":{k}:\n{text}\n" for k, text in fields.items()),
            table="\n".join(table),
        ).encode(self.encoding)


def sxm_bytes(
    channels: Sequence[tuple[str, str, Images]], **options: Any
) -> bytes:
    """A Nanonis scan.

    Args:
        channels: (name, unit, {direction: image as seen [H, W]}).
        options: as `Scan` has them.
    """
    scan = Scan(**options)
    table, data = [], b""
    for number, (name, unit, images) in enumerate(channels):
        word = "both" if len(images) == 2 else next(iter(images))
        table.append(f"\t{number}\t{name}\t{unit}\t{word}\t1.0E+0\t0.0E+0")
        for direction in ("forward", "backward"):
            if direction in images:
                data += _stored(images[direction], direction, scan)
    shape = next(iter(channels[0][2].values())).shape
    return scan.header(table, shape) + b"\x1a\x04" + data


def pass_table(rows: Sequence[Mapping[str, str]]) -> str:
    """The field Multipass-Config: a row a pass and direction.

    Args:
        rows: what differs from a plain pass, by the column's title; forward
            before backward, pass by pass.
    """
    lines = [tuple(_PLAIN_PASS)]
    lines += [tuple({**_PLAIN_PASS, **row}.values()) for row in rows]
    return "\n".join("\t" + "\t".join(line) for line in lines)


def _stored(image: np.ndarray, direction: str, scan: Scan) -> bytes:
    """The image in the order in which the tip took it."""
    n_rows, taken = len(image), b""
    for step in range(n_rows):
        row = step if scan.scan_dir == "down" else n_rows - 1 - step
        line = list(image[row])
        if direction == "backward":
            line.reverse()
        for value in line:
            order = ">f" if scan.order == "MSBFIRST" else "<f"
            taken += struct.pack(order, value)
    return taken


def multipass_bytes(
    biases_v: Sequence[tuple[float, float]],
    names: Sequence[str] = ("[P{}]_Z",),
    **options: Any,
) -> tuple[bytes, dict[tuple[int, str], np.ndarray]]:
    """A scan of several passes.

    Args:
        biases_v: bias of every pass, forward and backward.
        names: of the channels, with the place of the pass's number.
        options: as `sxm_bytes` takes them.

    Returns:
        The file, and the images of the first channel by pass and direction.
    """
    rng = np.random.default_rng(11)
    images = {
        (number, direction): rng.normal(size=(5, 4)).astype(np.float32)
        for number in range(1, len(biases_v) + 1)
        for direction in ("forward", "backward")
    }
    channels = []
    for place, name in enumerate(names):
        for number in range(1, len(biases_v) + 1):
            unit = "m" if name.endswith("Z") else "A"
            ways = ("forward", "backward")
            both = {way: images[number, way] + place for way in ways}
            channels.append((name.format(number), unit, both))
    table = pass_table(
        [
            {"Bias_override": "TRUE", "Bias_override_value": f"{bias:.3E}"}
            for pair in biases_v
            for bias in pair
        ]
    )
    fields = {"Multipass-Config": table}
    return sxm_bytes(channels, fields=fields, **options), images


def tiny_files() -> dict[str, bytes]:
    """A handful of small files by name."""
    rng = np.random.default_rng(3)
    first, second = (rng.normal(size=(6, 5)).astype("f4") for _ in range(2))
    both = {"forward": first, "backward": second}
    unfinished = first.copy()
    unfinished[:2] = np.nan
    passes, _ = multipass_bytes([(0.1, 0.1), (-0.2, -0.3)])
    return {
        "down.sxm": sxm_bytes([("Z", "m", both), ("LI_Demod_1_X", "A", both)]),
        "up_both.sxm": sxm_bytes([("Z", "m", both)], scan_dir="up"),
        "up.sxm": sxm_bytes(
            [("Z", "m", {"forward": unfinished})],
            scan_dir="up",
            order="LSBFIRST",
        ),
        "passes.sxm": passes,
    }
