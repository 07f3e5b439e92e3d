"""A user's own experiment, made ready for the network."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.bound_states import find_bound_states
from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.io.sets import check_frame, read_stack
from stm_keras.maps import ConductanceMaps, resample
from stm_keras.preprocessing.preparation import level, network_pixel_nm
from stm_keras.qpi.dispersion import q_of_stack
from stm_keras.simulation.scattering import check_sampling
from stm_keras.surfaces import paper_wave_numbers


class MeasuredExperiment(NamedTuple):
    """Maps at the network's pixel, with what is known of their impurities.

    Attributes:
        maps: one stack, by rising bias.
        wave_numbers: k of each map, float64 [V], rad/px of `maps`.
        reference_positions: from the map of bound states, float64 [m, 2]
            (row, col), px of `maps`; empty where there is no such map.
    """

    maps: ConductanceMaps
    wave_numbers: np.ndarray
    reference_positions: np.ndarray


def paper_rings() -> tuple[float, float]:
    """Least and greatest q = 2k of the paper's maps [rad/px]."""
    rings = 2 * paper_wave_numbers()
    return float(rings.min()), float(rings.max())


def read_experiment(
    sources: Sequence[str | Path],
    *,
    bound_state: str | Path | None = None,
    surface: str | None = None,
    q_range_rad_px: tuple[float, float] | None = None,
) -> MeasuredExperiment:
    """Read an experiment, level it and bring it to the network's pixel.

    Args:
        sources: files of one frame, each with maps at one or more biases.
        bound_state: file with the map of the bound states in that frame.
        surface: see `stm_keras.surfaces.surface`; None measures the
            ring in the maps.
        q_range_rad_px: least and greatest q = 2k that the network is trained on
            [rad/px]; None takes those of the paper.

    Raises:
        InputError: for a file that cannot be read, files of differing
            frames or of one bias, a bias below the band edge, pixels too
            coarse for q, or a frame that is too small.
    """
    if not sources:
        raise InputError("No maps: give at least one --source.")
    stack = level(read_stack(sources), "plane")
    bound = None
    if bound_state is not None:
        bound = _bound_state_of(stack, read_maps(bound_state))
    q_per_nm, note = q_of_stack(stack, surface)
    _check_pixel(stack, q_per_nm / 2)
    pixel_nm = network_pixel_nm(q_per_nm, q_range_rad_px or paper_rings())
    maps = resample(stack.with_data(stack.data, note), pixel_nm)
    positions = np.empty((0, 2))
    if bound is not None:
        image = resample(level(bound, "plane"), pixel_nm).data[0]
        positions = find_bound_states(image).positions
    k = q_per_nm / 2 * float(np.mean(maps.pixel_nm))
    return MeasuredExperiment(maps, k, positions)


def _bound_state_of(
    stack: ConductanceMaps, bound: ConductanceMaps
) -> ConductanceMaps:
    """The map of bound states, once it is sure to show the stack's frame."""
    if bound.shape[0] != 1:
        raise InputError(
            f"{bound.source} holds {bound.shape[0]} maps: --bound-state needs "
            "a file with one, measured at the bias of the bound states."
        )
    check_frame(stack, bound)
    return bound.with_data(
        # To the last digit, or the two could be cut into differing pixels.
        bound.data,
        "frame of the other maps",
        extent_nm=stack.extent_nm,
    )


def _check_pixel(maps: ConductanceMaps, k_per_nm: np.ndarray) -> None:
    """Refuse maps whose own pixels cannot show the waves."""
    pixel_nm = max(maps.pixel_nm)
    try:
        check_sampling(k_per_nm * pixel_nm, pixel_nm)
    except InputError as error:
        raise InputError(f"{maps.source}: {error}") from error
