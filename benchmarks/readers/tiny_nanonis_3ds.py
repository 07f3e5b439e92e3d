"""Writes tiny Nanonis grids (.3ds), for tests and for fuzzing.

From the format's description and byte by byte, without the readers of
`stm_keras`, which are tested with it.
"""

import math
import struct
from collections.abc import Mapping, Sequence

import numpy as np

Ends = tuple[float, float]

_CLOSING_LINES = (
    "Delay before measuring (s)=0.000000E+0",
    'Start time="16.10.2018 19:02:59"',
    'End time="16.10.2018 21:59:51"',
    "User=",
    "Comment=",
)


def grid_bytes(
    sweeps: Mapping[str, np.ndarray],
    *,
    images: Mapping[str, np.ndarray] | None = None,
    ends: Ends | Sequence[Ends] = (-0.2, 0.2),
    signal: str = "Bias (V)",
    file_type: str | None = "Linear",
    centre_nm: tuple[float, float] = (30.0, -20.0),
    size_nm: tuple[float, float] = (4.0, 6.0),
    angle_deg: float = 0.0,
    lines: Sequence[str] = (),
    replaced: Mapping[str, str] | None = None,
    n_written: int | None = None,
    n_zeros: int = 0,
    newline: str = "\r\n",
    encoding: str = "iso-8859-1",
) -> bytes:
    """A Nanonis grid.

    Args:
        sweeps: by name with unit, as seen [V, H, W].
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
    images = images or {}
    n_points, rows, columns = next(iter(sweeps.values())).shape
    names = ["X (m)", "Y (m)", *images]
    header = {
        "Grid dim": f'"{columns} x {rows}"',
        "Grid settings": ";".join(
            f"{value:.6E}"
            for value in (
                *(value * 1e-9 for value in (*centre_nm, *size_nm[::-1])),
                angle_deg,
            )
        ),
        "Filetype": file_type,
        "Sweep Signal": f'"{signal}"',
        "Fixed parameters": '"Sweep Start;Sweep End"',
        "Experiment parameters": f'"{";".join(names)}"',
        "# Parameters (4 byte)": str(2 + len(names)),
        "Experiment size (bytes)": str(len(sweeps) * n_points * 4),
        "Points": str(n_points),
        "Channels": f'"{";".join(sweeps)}"',
        "Experiment": '"Grid Spectroscopy"',
        **(replaced or {}),
    }
    text = [f"{key}={text}" for key, text in header.items() if text is not None]
    text = [*text, *lines, *_CLOSING_LINES, ":HEADER_END:", ""]
    head = newline.join(text).encode(encoding)
    frame = (centre_nm, size_nm, angle_deg)
    records = _records(sweeps, images, ends, frame)
    if n_written is not None:
        records = records[:n_written]
    zeros = bytes(n_zeros * 4 * (2 + len(names) + len(sweeps) * n_points))
    return head + b"".join(records) + zeros


def _records(
    sweeps: Mapping[str, np.ndarray],
    images: Mapping[str, np.ndarray],
    ends: Ends | Sequence[Ends],
    frame: tuple[tuple[float, float], tuple[float, float], float],
) -> list[bytes]:
    """One record a point, from the bottom left to the right and up."""
    _, rows, columns = next(iter(sweeps.values())).shape
    every = np.broadcast_to(np.asarray(ends, float), (rows * columns, 2))
    records = []
    for number in range(rows * columns):
        up, right = divmod(number, columns)
        row = rows - 1 - up
        x, y = _place((up, right), (rows, columns), *frame)
        values = [*every[number], x * 1e-9, y * 1e-9]
        values += [image[row, right] for image in images.values()]
        for maps in sweeps.values():
            values += list(maps[:, row, right])
        records.append(struct.pack(f">{len(values)}f", *values))
    return records


def _place(
    step: tuple[int, int],
    shape: tuple[int, int],
    centre_nm: tuple[float, float],
    size_nm: tuple[float, float],
    angle_deg: float,
) -> tuple[float, float]:
    """X and y of a point [nm]: centres of cells, or both ends of a line."""
    (up, right), (rows, columns), (height, width) = step, shape, size_nm
    v = ((up + 0.5) / rows - 0.5) * height
    u = ((right + 0.5) / columns - 0.5) * width
    if rows == 1 and not height and columns > 1:
        u = (right / (columns - 1) - 0.5) * width
    turn = math.radians(angle_deg)
    return (
        centre_nm[0] + u * math.cos(turn) + v * math.sin(turn),
        centre_nm[1] - u * math.sin(turn) + v * math.cos(turn),
    )


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
