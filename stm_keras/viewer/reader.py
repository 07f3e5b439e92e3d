"""Files of instruments as layers of napari, in nm, with the bias as an axis."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.io.reader import maps_of, open_recording
from stm_keras.io.recording import ReadOptions
from stm_keras.io.sets import read_stack
from stm_keras.maps import ConductanceMaps

MAPS = "stm_keras"
"""Where a layer keeps its maps, in `metadata`."""

LayerData = tuple[np.ndarray, dict[str, Any], str]
Paths = str | Path | Sequence[str | Path]

_UNEVEN = 0.01  # of a step: biases in a file are rounded


def reader_of(path: Paths) -> Callable[[Paths], list[LayerData]]:
    """What napari asks a plugin for: the function that reads a file."""
    del path  # the manifest names the endings
    return read_layers


def read_layers(path: Paths) -> list[LayerData]:
    """Maps of a file, or of files that are maps of one frame.

    Args:
        path: one file, or several for one stack.

    Returns:
        One image layer; see `layer_of`.

    Raises:
        InputError: where a file cannot be read.
    """
    paths = [path] if isinstance(path, str | Path) else path
    paths, options = [Path(one) for one in paths], ReadOptions()
    if len(paths) > 1:
        return [layer_of(read_stack(paths, options))]
    return [layer_of(maps_of(open_recording(paths[0]), options))]


def layer_of(maps: ConductanceMaps) -> LayerData:
    """Maps as an image layer.

    Args:
        maps: [V, H, W].

    Returns:
        The image, float32 [V, H, W] by rising bias ([H, W] of one map), with
        scale and place in V and nm, counted from the frame's top left corner;
        "image". Biases that are not evenly spaced are counted 0, 1, 2 ...
    """
    maps = maps.sorted_by_bias()
    down, right = maps.pixel_nm
    scale, start = [down, right], [down / 2, right / 2]
    labels, units = ["y", "x"], ["nm", "nm"]
    data = maps.data
    if len(maps.bias_v) == 1:
        data = data[0]
    else:
        steps = np.diff(maps.bias_v)
        step = float(steps.mean())
        even = step > 0 and (np.abs(steps - step) <= _UNEVEN * step).all()
        scale.insert(0, step if even else 1.0)
        start.insert(0, float(maps.bias_v[0]) if even else 0.0)
        labels.insert(0, "bias" if even else "map")
        units.insert(0, "V" if even else "pixel")
    return (
        data,
        {
            "name": f"{Path(maps.source).name}: {maps.channel or 'maps'}",
            "scale": scale,
            "translate": start,
            "axis_labels": labels,
            "units": units,
            "metadata": {MAPS: maps, "bias_v": maps.bias_v.tolist()},
        },
        "image",
    )
