"""Writes tiny Nanonis grids (.3ds), for tests and for fuzzing.

From the format's description and byte by byte, without the readers of
`stm_keras`, which are tested with it.
"""

import math
import struct
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

Ends = tuple[float, float]
Sweeps = Mapping[str, np.ndarray]

_CLOSING_LINES = (
    "Delay before measuring (s)=0.000000E+0",
    'Start time="16.10.2018 19:02:59"',
    'End time="16.10.2018 21:59:51"',
    "User=",
    "Comment=",
)


@dataclass(frozen=True, kw_only=True)
class Grid:
    """What a grid holds besides its sweeps.

    Attributes:
        images: further parameters by name with unit, as seen [H, W].
        ends: of the sweep, for all points or for each in the order of the
            measurement [V].
        signal: what is swept.
        file_type: text of the field; None leaves it out.
        centre_nm: x and y of the centre.
        size_nm: height and width; of a line, the height is 0 and the points
            at its ends count.
        angle_deg: clockwise.
        lines: more lines of the header.
        replaced: lines by key to write in place of the right ones.
        n_written: number of records, where not all.
        n_zeros: records of zeros behind them.
        newline: of the header.
        encoding: of the header.
    """

    images: Mapping[str, np.ndarray] = field(default_factory=dict)
    ends: Ends | Sequence[Ends] = (-0.2, 0.2)
    signal: str = "Bias (V)"
    file_type: str | None = "Linear"
    centre_nm: tuple[float, float] = (30.0, -20.0)
    size_nm: tuple[float, float] = (4.0, 6.0)
    angle_deg: float = 0.0
    lines: Sequence[str] = ()
    replaced: Mapping[str, str | None] = field(default_factory=dict)
    n_written: int | None = None
    n_zeros: int = 0
    newline: str = "\r\n"
    encoding: str = "iso-8859-1"

    def header(self, sweeps: Sweeps) -> bytes:
        """The header, up to the first record."""
        n_points, rows, columns = next(iter(sweeps.values())).shape
        names = ["X (m)", "Y (m)", *self.images]
        metres = (*self.centre_nm, *self.size_nm[::-1])
        frame = (*(value * 1e-9 for value in metres), self.angle_deg)
        fields = {
            "Grid dim": f'"{columns} x {rows}"',
            "Grid settings": ";".join(f"{value:.6E}" for value in frame),
            "Filetype": self.file_type,
            "Sweep Signal": f'"{self.signal}"',
            "Fixed parameters": '"Sweep Start;Sweep End"',
            "Experiment parameters": f'"{";".join(names)}"',
            "# Parameters (4 byte)": str(2 + len(names)),
            "Experiment size (bytes)": str(len(sweeps) * n_points * 4),
            "Points": str(n_points),
            "Channels": f'"{";".join(sweeps)}"',
            "Experiment": '"Grid Spectroscopy"',
            **self.replaced,
        }
        text = [f"{k}={text}" for k, text in fields.items() if text is not None]
        text += [*self.lines, *_CLOSING_LINES, ":HEADER_END:", ""]
        return self.newline.join(text).encode(self.encoding)

    def records(self, sweeps: Sweeps) -> list[bytes]:
        """One record a point, from the bottom left to the right and up."""
        _, rows, columns = next(iter(sweeps.values())).shape
        every = np.broadcast_to(
            np.asarray(self.ends, float), (rows * columns, 2)
        )
        records = []
        for number in range(rows * columns):
            up, right = divmod(number, columns)
            row = rows - 1 - up
            x, y = self.place(up, right, (rows, columns))
            values = [*every[number], x * 1e-9, y * 1e-9]
            values += [image[row, right] for image in self.images.values()]
            for maps in sweeps.values():
                values += list(maps[:, row, right])
            records.append(struct.pack(f">{len(values)}f", *values))
        return records

    def place(
        self, up: int, right: int, shape: tuple[int, int]
    ) -> tuple[float, float]:
        """A point's x and y [nm]: centre of a cell, or both ends of a line."""
        (rows, columns), (height, width) = shape, self.size_nm
        v = ((up + 0.5) / rows - 0.5) * height
        u = ((right + 0.5) / columns - 0.5) * width
        if rows == 1 and not height and columns > 1:
            u = (right / (columns - 1) - 0.5) * width
        turn = math.radians(self.angle_deg)
        return (
            self.centre_nm[0] + u * math.cos(turn) + v * math.sin(turn),
            self.centre_nm[1] - u * math.sin(turn) + v * math.cos(turn),
        )


def grid_bytes(sweeps: Sweeps, **options: Any) -> bytes:
    """A Nanonis grid.

    Args:
        sweeps: by name with unit, as seen [V, H, W].
        options: as `Grid` has them.
    """
    grid = Grid(**options)
    records = grid.records(sweeps)
    zeros = bytes(grid.n_zeros * len(records[0]))
    written = b"".join(records[: grid.n_written])
    return grid.header(sweeps) + written + zeros


def sample_sweeps(
    names: Sequence[str], shape: tuple[int, int, int] = (7, 3, 4)
) -> dict[str, np.ndarray]:
    """Noise about a signal by name, float32 [V, H, W]."""
    rng = np.random.default_rng(len(names))
    return {name: (3 + rng.normal(size=shape)).astype("f4") for name in names}


SEGMENTS = (
    "Segment Start (V), Segment End (V), Settling (s), Integration (s), "
    "Steps (xn), Lockin, Init. Settling (s)=-100E-3,-20E-3,15E-3,360E-3,3,"
    "0E+0,0E+0;-20E-3,20E-3,15E-3,360E-3,2,0E+0,0E+0;20E-3,100E-3,15E-3,"
    "360E-3,4,0E+0,0E+0"
)
"""Three segments of 3, 2 and 4 points that share their ends: 7 biases."""


def tiny_files() -> dict[str, bytes]:
    """A handful of small files by name."""
    names = ("Current (A)", "LI Demod 1 X (A)", "Current [bwd] (A)")
    sweeps = sample_sweeps(names)
    repeated = ("Current [AVG] (A)", "Current [00001] (A)", "Bias [AVG] (V)")
    line = sample_sweeps(names, (6, 1, 5))
    height, line_height = (
        {"Z (m)": maps["Current (A)"][0]} for maps in (sweeps, line)
    )
    return {
        "linear.3ds": grid_bytes(sweeps, images=height, angle_deg=30.0),
        "segments.3ds": grid_bytes(
            sweeps, images=height, file_type="MLS", lines=[SEGMENTS]
        ),
        "repeated.3ds": grid_bytes(
            sample_sweeps(repeated), images=height, n_written=9
        ),
        "line.3ds": grid_bytes(line, images=line_height, size_nm=(0.0, 6.0)),
        "height.3ds": grid_bytes(sweeps, images=height, signal="Z (m)"),
    }
