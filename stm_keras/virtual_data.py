"""Virtual experiments of a prepared data set, as maps with their truth."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.data.prepared import load_split
from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps

_NEEDED = ("maps", "bias_v", "extent_nm", "positions", "reference_positions")


class VirtualCase(NamedTuple):
    """One virtual experiment of a data set.

    Attributes:
        maps: as a file would hold them, with biases and extent.
        positions: the truth, float32 [n, 2] (row, col) [px].
        reference_positions: what expectation-maximisation found in the map
            of bound states, float32 [m, 2] [px].
    """

    maps: ConductanceMaps
    positions: np.ndarray
    reference_positions: np.ndarray


def load_virtual(path: str | Path, split: str = "test") -> list[VirtualCase]:
    """Read the virtual experiments of a prepared `au111` set.

    Args:
        path: the data set, see `stm_keras.data.prepared.find_prepared`.
        split: "train", "validation", "test", or TFDS's slicing of one.

    Raises:
        InputError: where the data set is missing, damaged, lacks the split,
            or holds no virtual experiments.
    """
    cases = []
    for number, example in enumerate(
        load_split(path, split).as_numpy_iterator()
    ):
        lacking = [name for name in _NEEDED if name not in example]
        if lacking:
            raise InputError(
                f"The data set in {path} holds no virtual experiments: it "
                f"lacks {', '.join(lacking)}. Make one with `stmk build-data "
                "au111 --config virtual`."
            )
        height, width = example["extent_nm"]
        maps = ConductanceMaps(
            data=example["maps"],
            bias_v=example["bias_v"],
            extent_nm=(float(height), float(width)),
            channel="simulated dI/dV",
            source=f"{path}, {split} {number}",
            provenance=("virtual experiment",),
        )
        cases.append(
            VirtualCase(
                maps, example["positions"], example["reference_positions"]
            )
        )
    return cases
