"""Set-point normalisation of dI/dV maps.

At constant current the tip's height follows the bias, and dI/dV carries its
exponential. Dividing by I/V takes out the height to first order,

    (dI/dV) / (I/V) = d ln I / d ln V

(R. M. Feenstra, J. A. Stroscio and A. P. Fein, Surf. Sci. 181, 295 (1987),
doi:10.1016/0039-6028(87)90170-1). Where no current was kept, each map may be
divided by its own mean or spread: this takes out what the set point does to a
whole map, and nothing of what it does from place to place.
"""

from dataclasses import replace
from typing import Literal

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.channels import quantity
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.recording import ReadOptions, Recording
from stm_keras.io.selection import select_maps

# Below this share of a map's median current, I/V is the preamplifier's offset
# and noise: the quotient would be large, of any sign, and mean nothing.
_LEAST_CURRENT_SHARE = 0.05


def divide_by_i_over_v(
    maps: ConductanceMaps, current: ConductanceMaps | None
) -> ConductanceMaps:
    """(dI/dV) / (I/V), pixel by pixel.

    Args:
        maps: dI/dV [S or A/V], as measured (not levelled). A lock-in's output
            in another unit keeps that unit over S.
        current: I [A] of the same shape and biases.

    Returns:
        The quotient; where the current is below 5 % of its map's median
        size, or has the other sign than that median, the pixel is NaN.

    Raises:
        InputError: without a current, for one of another shape or other
            biases, or for a map at 0 V.
    """
    if current is None:
        raise InputError(
            f"{maps.source}: dividing by I/V needs the current of each map, "
            "and there is none. Take the normalisation by mean or std."
        )
    if current.shape != maps.shape or not np.allclose(
        current.bias_v, maps.bias_v, rtol=1e-6, atol=1e-9
    ):
        raise InputError(
            f"{maps.source}: the current has the shape {current.shape} and "
            f"the maps {maps.shape}, or their biases differ. Give the current "
            "of the same maps."
        )
    if not maps.bias_v.all():
        raise InputError(
            f"{maps.source}: map {int(np.argmin(maps.bias_v != 0))} was taken "
            "at 0 V, where I/V is not defined. Leave it out."
        )
    data = current.data.astype(np.float64)
    median = np.nanmedian(data, axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):
        usable = data * np.sign(median) > _LEAST_CURRENT_SHARE * np.abs(median)
    ratio = np.where(usable, data, np.nan) / maps.bias_v[:, None, None]
    lost = int((~usable & ~np.isnan(maps.data)).sum())
    note = f"divided by I/V (current: {current.channel or 'given'})"
    if lost:
        note += f"; {lost} pixels of too little current not measured"
    unit = "" if maps.unit in ("S", "A/V") else f"{maps.unit}/S".lstrip("/")
    return replace(maps.with_data(maps.data / ratio, note), unit=unit)


def normalise_each(
    maps: ConductanceMaps, by: Literal["mean", "std"]
) -> ConductanceMaps:
    """Divide every map by its own mean or standard deviation.

    Args:
        maps: the maps, before levelling where `by` is "mean".
        by: of the measured pixels; the mean is that of the maps' size, so
            that signs stay.

    Returns:
        Maps without a unit.

    Raises:
        InputError: where a map's mean is smaller than a tenth of its standard
            deviation, as after levelling.
    """
    data = maps.data.astype(np.float64)
    spread = np.nanstd(data, axis=(1, 2), keepdims=True)
    divisor = spread
    if by == "mean":
        divisor = np.abs(np.nanmean(data, axis=(1, 2), keepdims=True))
        if (small := divisor < 0.1 * spread).any():
            raise InputError(
                f"{maps.source}: map {int(np.argmax(small))} has a mean near "
                "zero and cannot be divided by it. Normalise before "
                "levelling, or by std."
            )
    note = f"each map divided by its {by}"
    return replace(maps.with_data(data / divisor, note), unit="")


def current_maps(
    recording: Recording, options: ReadOptions
) -> ConductanceMaps | None:
    """The current that a file holds beside its dI/dV.

    Args:
        recording: the file.
        options: as for the dI/dV; its `channel` does not count.

    Returns:
        I [A]; None where there is none in the direction asked for.

    Raises:
        InputError: as `select_maps` does.
        OSError: where the file cannot be read.
    """
    for channel in recording.channels:
        if (
            quantity(channel.name, channel.unit) == "current"
            and channel.direction == options.direction
        ):
            wanted = replace(options, channel=channel.name)
            return select_maps(recording, wanted)
    return None
