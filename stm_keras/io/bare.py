"""Stacks from files that hold arrays and little else."""

from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Recording


def stack_recording(
    path: Path,
    format_name: str,
    maps: np.ndarray,
    *,
    bias_v: np.ndarray | None = None,
    extent_nm: np.ndarray | None = None,
    channel: str = "",
    unit: str = "",
    placement: Placement | None = None,
    history: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Recording:
    """Make a recording of one stack.

    Args:
        path: the file.
        format_name: for people.
        maps: [V, H, W] or [H, W], any real type, row 0 the top.
        bias_v: [V] [V]; None where the file does not tell.
        extent_nm: height and width [nm]; None where it does not.
        channel: name of the quantity.
        unit: its SI unit.
        placement: where the frame lies on the sample.
        history: lines for `provenance`, see `Recording`.
        notes: likewise.

    Raises:
        InputError: where the arrays do not have these shapes.
    """
    if maps.ndim == 2:
        maps = maps[np.newaxis]
    if maps.ndim != 3 or not maps.size:
        raise InputError(
            f"{path}: maps must have the shape [V, H, W] or [H, W]. Received "
            f"the shape {list(maps.shape)}."
        )
    if bias_v is None:
        bias_v = np.full(len(maps), np.nan)
    if extent_nm is not None and extent_nm.shape != (2,):
        raise InputError(
            f"{path}: extent_nm must be height and width in nm. Received the "
            f"shape {list(extent_nm.shape)}."
        )
    return Recording(
        source=str(path),
        format=format_name,
        shape=(maps.shape[1], maps.shape[2]),
        extent_nm=None
        if extent_nm is None
        else (float(extent_nm[0]), float(extent_nm[1])),
        channels=(
            Channel(
                channel,
                unit,
                np.atleast_1d(bias_v).astype(np.float64),
                lambda: maps,
            ),
        ),
        placement=placement,
        history=history,
        notes=notes,
        curated=True,
    )
