"""A virtual experiment: the paper's measurement, with known positions.

Multiple scattering of random impurities (`scattering`), their cores and
objects that are no impurities (`short_range`), the instrument
(`acquisition`), and the map of bound states that the reference positions are
taken from (`bound_states`).
"""

import math
from typing import NamedTuple

import numpy as np

from stm_keras.simulation.bound_states import BoundStateConfig, bound_state_map
from stm_keras.simulation.ranges import spread
from stm_keras.simulation.scattering import ldos
from stm_keras.simulation.scene import draw_positions, in_frame
from stm_keras.simulation.short_range import add_cores, add_decoys
from stm_keras.simulation.virtual_config import VirtualConfig


class VirtualExperiment(NamedTuple):
    """One virtual experiment and its truth.

    Attributes:
        maps: what the instrument records, float32 [V, H, W], in units of the
            clean LDOS, about the clean surface.
        waves: the waves alone, LDOS - 1, without cores and instrument,
            float32 [V, H, W].
        bias_v: bias of each map [V], float64 [V].
        wave_numbers: k of each map, float64 [V], rad/px; rings have 2k.
        positions: impurities in the frame, float64 [n, 2] (row, col), px.
        decoys: blobs that are no impurities, float64 [m, 2], px.
        bound_state: map of the bound states, float32 [H, W], in units of the
            brightest spot there can be.
        drift_px: displacement of each map, float64 [V, 2], px; zero mean.
    """

    maps: np.ndarray
    waves: np.ndarray
    bias_v: np.ndarray
    wave_numbers: np.ndarray
    positions: np.ndarray
    decoys: np.ndarray
    bound_state: np.ndarray
    drift_px: np.ndarray


def simulate_virtual(
    config: VirtualConfig, rng: np.random.Generator
) -> VirtualExperiment:
    """Draw one virtual experiment and simulate it.

    Each part has randomness of its own, so that the same `rng` gives the
    same impurities and waves at every difficulty.

    Args:
        config: what to draw from.
        rng: source of randomness.

    Raises:
        InputError: where the impurities cannot be placed as asked.
    """
    of_scene, of_cores, of_decoys, of_instrument, of_bound = rng.spawn(5)
    shape = (config.size_px, config.size_px)
    bias, k = np.asarray(config.bias_v, np.float64), config.wave_numbers
    positions, waves = _scattered(config, of_scene)
    scale = spread(waves) or 1.0  # without impurities there are no waves
    maps, decoys = waves, np.empty((0, 2))
    if config.near.cores is not None:
        maps = add_cores(
            maps, positions, k, of_cores, config.near.cores, scale=scale
        )
    if config.near.decoys is not None:
        maps, decoys = add_decoys(
            maps, k, of_decoys, config.near.decoys, scale=scale
        )
    recording = config.acquisition.record(
        maps, of_instrument, scale=spread(maps) or 1.0
    )
    return VirtualExperiment(
        maps=recording.maps,
        waves=waves,
        bias_v=bias,
        wave_numbers=k,
        positions=positions[in_frame(positions, shape)],
        decoys=decoys,
        bound_state=bound_state_map(
            positions,
            shape,
            config.pixel_nm,
            of_bound,
            BoundStateConfig(effective_mass=config.material.effective_mass),
        ),
        drift_px=recording.drift_px,
    )


def _scattered(
    config: VirtualConfig, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """All impurities, those in the margin too [n, 2], and their waves."""
    shape = (config.size_px, config.size_px)
    positions = draw_positions(
        rng,
        shape=shape,
        density=config.n_impurities / config.size_px**2,
        margin_px=config.margin_px,
        min_distance_px=config.min_distance_px,
    )
    low, high = config.mean_free_path_px
    maps = ldos(
        config.scatterers.draw(positions, config.bias_v, rng),
        wave_number=config.wave_numbers,
        shape=shape,
        mean_free_path=math.exp(rng.uniform(math.log(low), math.log(high))),
        min_distance_px=config.min_distance_px,
    )
    maps -= 1
    return positions, maps
