"""Nanonis scan files (.sxm): a text header, then big-endian float32 images.

For every line of the header's table DATA_INFO the file holds its images,
forward before backward, in the order of acquisition. A scan "up" begins with
the bottom line of the frame, and a backward image holds its lines from right
to left; here row 0 is the top and column 0 the left edge of the frame,
whichever way the tip went.
"""

from functools import partial
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.nanonis_header import SAMPLE_BYTES, Header, read_header
from stm_keras.io.recording import UNKNOWN_BIAS, Channel, Recording, as_seen


def open_sxm(path: Path) -> Recording:
    """Read the header of a Nanonis scan.

    Args:
        path: the file.

    Returns:
        Channels of one map each, V = 1. Lines that were not scanned are NaN.

    Raises:
        InputError: for a damaged or truncated file, or one whose header does
            not fit its size.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        header = read_header(file, path)
    bias_v = UNKNOWN_BIAS if header.bias_v is None else [header.bias_v]
    return Recording(
        source=str(path),
        format="Nanonis scan",
        shape=header.shape,
        extent_nm=header.extent_nm,
        channels=tuple(
            Channel(
                channel.name,
                channel.unit,
                np.asarray(bias_v),
                partial(_read_image, path, header, block, direction),
                direction,
                lock_in_off=header.lock_in_off,
            )
            for channel in header.channels
            for direction, block in channel.blocks.items()
        ),
    )


def _read_image(
    path: Path, header: Header, block: int, direction: str
) -> np.ndarray:
    """One image as seen, row 0 the frame's top: float32 [1, H, W]."""
    rows, columns = header.shape
    size = rows * columns * SAMPLE_BYTES
    with path.open("rb") as file:
        file.seek(header.data_start + block * size)
        content = file.read(size)
    if len(content) != size:
        raise InputError(f"{path}: cut short while it was read. Try again.")
    image = np.frombuffer(content, header.dtype).reshape(1, rows, columns)
    return as_seen(
        image, upwards=header.upwards, backward=direction == "backward"
    ).astype(np.float32)
