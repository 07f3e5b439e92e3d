"""Nanonis scan files (.sxm): a text header, then big-endian float32 images.

For every line of the header's table DATA_INFO the file holds its images,
forward before backward, in the order of acquisition. A scan "up" begins with
the bottom line of the frame, and a backward image holds its lines from right
to left; here row 0 is the top and column 0 the left edge of the frame,
whichever way the tip went.
"""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.channels import choose_channel
from stm_keras.io.maps import ConductanceMaps, finite_or_nan
from stm_keras.io.nanonis_header import (
    SAMPLE_BYTES,
    Channel,
    Header,
    read_header,
)
from stm_keras.io.options import Direction, ReadOptions


def read_sxm(path: Path, options: ReadOptions) -> ConductanceMaps:
    """Read one channel of a Nanonis scan.

    Args:
        path: the file.
        options: `channel` and `direction` are followed. Without `channel`,
            dI/dV is looked for, and Z taken where there is none or where the
            lock-in was off; `provenance` says which and why.

    Returns:
        One map, V = 1. Lines that were not scanned are NaN.

    Raises:
        InputError: for a damaged or truncated file, one whose header does
            not fit its size, an unknown channel, or one not recorded in the
            direction.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        header = read_header(file, path)
        channels = header.channels
        choice = choose_channel(
            str(path),
            [channel.name for channel in channels],
            options.channel,
            lock_in_off=header.lock_in_off,
            images=lambda index: [
                _read_image(file, header, channels[index], direction)
                for direction in channels[index].blocks
            ],
        )
        channel = channels[choice.index]
        if options.direction not in channel.blocks:
            raise InputError(
                f"{path}: channel {channel.name} was not recorded "
                f"{options.direction}. Choose the other direction."
            )
        data, notes = finite_or_nan(
            _read_image(file, header, channel, options.direction)
        )
    return ConductanceMaps(
        data=data[np.newaxis],
        bias_v=np.array(_bias(header, options, path)),
        extent_nm=options.extent_nm or header.extent_nm,
        channel=channel.name,
        unit=channel.unit,
        source=str(path),
        provenance=(
            f"read from a Nanonis scan, {options.direction}",
            f"channel {channel.name}: {choice.reason}",
            *options.notes(),
            *notes,
        ),
    )


def _bias(
    header: Header, options: ReadOptions, path: Path
) -> tuple[float, ...]:
    """The bias [V] that the user gives, or else the header."""
    if options.bias_v is not None:
        return options.bias_v
    if header.bias_v is None:
        raise InputError(
            f"{path}: its header names no bias. Give it with --bias."
        )
    return (header.bias_v,)


def _read_image(
    file: BinaryIO, header: Header, channel: Channel, direction: Direction
) -> np.ndarray:
    """One image as seen, row 0 the frame's top: float32 [H, W]."""
    rows, columns = header.shape
    size = rows * columns * SAMPLE_BYTES
    file.seek(header.data_start + channel.blocks[direction] * size)
    image = np.frombuffer(file.read(size), header.dtype).reshape(rows, columns)
    if header.upwards:
        image = image[::-1]
    if direction == "backward":
        image = image[:, ::-1]
    return image.astype(np.float32)
