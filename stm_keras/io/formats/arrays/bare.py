"""Stacks from files that hold arrays and little else."""

from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.formats.arrays.sidecar import Sidecar, read_sidecar
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Channel, Recording
from stm_keras.io.si_units import to_si


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

    What a sidecar beside the file says takes the place of the arguments.

    Args:
        path: the file.
        format_name: for people.
        maps: [V, H, W] or [H, W], any real type, row 0 the top; or as the
            sidecar says.
        bias_v: [V] [V]; None where the file does not tell.
        extent_nm: height and width [nm]; None where it does not.
        channel: name of the quantity.
        unit: its unit; the recording's channel is in the SI.
        placement: where the frame lies on the sample.
        history: lines for `provenance`, see `Recording`.
        notes: likewise.

    Raises:
        InputError: where the arrays do not have these shapes, or for a
            sidecar that is wrong.
        OSError: where the sidecar cannot be read.
    """
    sidecar = read_sidecar(path) or Sidecar(path)
    maps = sidecar.arranged(maps)
    if maps.ndim == 2:
        maps = maps[np.newaxis]
    if maps.ndim != 3 or not maps.size:
        raise InputError(
            f"{path}: maps must have the shape [V, H, W] or [H, W]. Received "
            f"the shape {list(maps.shape)}."
        )
    shape = (maps.shape[1], maps.shape[2])
    bias = sidecar.bias_of(len(maps))
    if bias is None:
        bias = _bias(path, bias_v, len(maps))
    factor, si_unit = to_si(sidecar.unit or unit)
    return Recording(
        source=str(path),
        format=format_name,
        shape=shape,
        extent_nm=sidecar.extent_of(shape) or _extent(path, extent_nm),
        channels=(
            Channel(
                sidecar.channel or channel,
                si_unit,
                bias,
                lambda: maps if factor == 1 else maps * np.float64(factor),
            ),
        ),
        placement=sidecar.placement_of(placement),
        history=history,
        notes=(*notes, *_said(sidecar)),
        curated=True,
    )


def _bias(path: Path, bias_v: np.ndarray | None, n_maps: int) -> np.ndarray:
    if bias_v is None:
        return np.full(n_maps, np.nan)
    bias = np.atleast_1d(bias_v).astype(np.float64)
    if bias.shape != (n_maps,):
        raise InputError(
            f"{path}: {n_maps} maps need as many biases. Received: "
            f"{bias.size}. Give one in V for each map, as bias_v in "
            f"{path.name}.yaml beside it."
        )
    return bias


def _extent(
    path: Path, extent_nm: np.ndarray | None
) -> tuple[float, float] | None:
    if extent_nm is None:
        return None
    if extent_nm.shape != (2,):
        raise InputError(
            f"{path}: extent_nm must be height and width in nm. Received the "
            f"shape {list(extent_nm.shape)}."
        )
    return float(extent_nm[0]), float(extent_nm[1])


def _said(sidecar: Sidecar) -> list[str]:
    """A line for `provenance` on what the sidecar told."""
    said = {
        "bias": sidecar.bias_v,
        "extent": sidecar.extent_nm or sidecar.pixel_nm,
        "channel": sidecar.channel,
        "unit": sidecar.unit,
        "row 0 at the bottom": sidecar.bottom_first or None,
        "axes": sidecar.axes,
        "key": sidecar.key,
        "centre": sidecar.centre_nm,
        "angle": sidecar.angle_deg,
    }
    told = [name for name, value in said.items() if value is not None]
    return [f"{', '.join(told)}: as {sidecar.path.name} says"] if told else []
