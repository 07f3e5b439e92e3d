"""The experiment of the entropy loss."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.preprocessing.preparation import (
    level,
    tiles_of,
    to_known_pixel,
    to_network_pixel,
)
from stm_keras.qpi.dispersion import given_q
from stm_keras.training.datasets import load_split, reading


class Stack(NamedTuple):
    """Maps as `stmk predict` gives them to a network that takes q.

    Attributes:
        maps: float32 [V, H, W]; NaN where not measured.
        q_rad_px: q = 2k of each map, float32 [V] [rad/px]; 0 where unknown.
    """

    maps: np.ndarray
    q_rad_px: np.ndarray


@dataclass(frozen=True, eq=False)
class Experiment:
    """An experiment that `context` is adapted to.

    Attributes:
        stacks: whole frames, in which impurities are found.
        tiles: the input of the entropy loss, float32 [V, size, size],
            all of one shape.
    """

    stacks: tuple[Stack, ...]
    tiles: tuple[np.ndarray, ...]


def read_experiment(
    paths: Sequence[Path],
    *,
    size_px: int,
    n_voltages: int,
    q_range_rad_px: tuple[float, float],
    surface: str | None = None,
) -> Experiment:
    """Read an experiment for a network that is given q.

    It is adapted to the input of `stmk predict`: files are levelled and
    resampled as there.

    Args:
        paths: see `experiment_tiles`.
        size_px: likewise.
        n_voltages: likewise.
        q_range_rad_px: likewise.
        surface: likewise.

    Raises:
        InputError: see `experiment_tiles`.
    """
    stacks: list[Stack] = []
    for path in paths:
        if path.is_dir():
            stacks += _prepared_stacks(path, q_range_rad_px)
        else:
            maps = level(read_maps(path).sorted_by_bias(), "plane")
            ready = to_known_pixel(maps, q_range_rad_px, surface)
            q = given_q(maps, surface)[0] * np.mean(ready.pixel_nm)
            stacks.append(Stack(ready.data, q.astype(np.float32)))
    tiles = tiles_of(
        [stack.maps for stack in stacks],
        size_px=size_px,
        n_voltages=n_voltages,
    )
    return Experiment(tuple(stacks), tuple(tiles))


def experiment_tiles(
    paths: Sequence[Path],
    *,
    size_px: int,
    n_voltages: int,
    q_range_rad_px: tuple[float, float],
    surface: str | None = None,
) -> list[np.ndarray]:
    """Read an experiment for `Wang2020` and cut it into tiles.

    Args:
        paths: instrument files, or directories of prepared data sets, whose
            maps must already have the network's pixel.
        size_px: side of a tile [px].
        n_voltages: maps to keep of each stack.
        q_range_rad_px: least and greatest q = 2k of the training [rad/px].
        surface: material of the files; None measures the ring.

    Returns:
        Tiles, float32 [V, size, size], all of one shape.

    Raises:
        InputError: for a file or data set that cannot be used.
    """
    stacks: list[np.ndarray] = []
    for path in paths:
        if path.is_dir():
            prepared = _prepared_stacks(path, q_range_rad_px)
            stacks += [stack.maps for stack in prepared]
        else:
            maps = level(read_maps(path).sorted_by_bias(), "plane")
            stacks.append(to_network_pixel(maps, q_range_rad_px, surface).data)
    return tiles_of(stacks, size_px=size_px, n_voltages=n_voltages)


def _prepared_stacks(
    path: Path, q_range_rad_px: tuple[float, float]
) -> list[Stack]:
    low, high = q_range_rad_px
    stacks = []
    with reading(path):
        for example in load_split(path, "train").as_numpy_iterator():
            if not {"maps", "wave_numbers"} <= set(example):
                raise InputError(
                    f"The data set in {path} has no `maps` with "
                    "`wave_numbers`: make one with `stmk build-data au111`."
                )
            ring = 2 * example["wave_numbers"]
            middle = float(ring.min() + ring.max()) / 2
            if not low <= middle <= high:
                raise InputError(
                    f"The experiment in {path} has rings of {middle:.3g} "
                    f"rad/px, and the training set of {low:.3g} to {high:.3g}: "
                    "give the files themselves, which are then resampled."
                )
            stacks.append(Stack(example["maps"], ring))
    return stacks
