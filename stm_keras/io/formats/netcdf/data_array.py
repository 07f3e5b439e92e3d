"""Maps as an xarray DataArray, with their coordinates and history."""

from typing import TYPE_CHECKING

import numpy as np
from xarray import DataArray

if TYPE_CHECKING:  # which offers this as its method
    from stm_keras.io.maps import ConductanceMaps


def as_data_array(maps: "ConductanceMaps") -> DataArray:
    """Maps as a DataArray that every xarray writer takes.

    Args:
        maps: the maps.

    Returns:
        float32 [bias, y, x], named "maps" (a channel's name may hold "/",
        which is a path to HDF5); coordinates in V and nm, y down from the top
        left corner to the pixels' centres; channel, unit, source, provenance,
        extent and placement in `attrs`.
    """
    _, height, width = maps.shape
    down, right = maps.pixel_nm
    attrs: dict[str, object] = {
        "units": maps.unit,
        "long_name": maps.channel,
        "source": maps.source,
        "provenance": list(maps.provenance),
        "extent_nm": list(maps.extent_nm),
    }
    if maps.placement is not None:
        attrs["centre_nm"] = list(maps.placement.centre_nm)
        attrs["angle_deg"] = maps.placement.angle_deg
    rows = (np.arange(height) + 0.5) * down
    cols = (np.arange(width) + 0.5) * right
    return DataArray(
        maps.data,
        dims=("bias", "y", "x"),
        coords={
            "bias": ("bias", maps.bias_v, {"units": "V"}),
            "y": ("y", rows, {"units": "nm", "positive": "down"}),
            "x": ("x", cols, {"units": "nm"}),
        },
        name="maps",
        attrs=attrs,
    )
