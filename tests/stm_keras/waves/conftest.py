"""Virtual fields whose phases are known."""

from typing import NamedTuple

import numpy as np
import pytest

from stm_keras.io.maps import ConductanceMaps
from stm_keras.simulation.disturbances import power_law_fields
from stm_keras.simulation.scatterers import Scatterers, t_amplitude
from stm_keras.simulation.scattering import ldos
from stm_keras.simulation.scene import draw_positions
from stm_keras.surfaces import SURFACES

PIXEL_NM = 0.46875


class Field(NamedTuple):
    maps: ConductanceMaps
    positions: np.ndarray
    q_per_nm: np.ndarray
    t: np.ndarray


def make_field(
    seed=0, n_maps=4, n=8, size=56, white=0.3, pink=0.2, kinds=None, unit=1.0
):
    """Impurities well inside the frame, none outside."""
    rng = np.random.default_rng(seed)
    bias = np.linspace(-0.2, 0.02, n_maps) if n_maps > 1 else np.array([-0.05])
    k = SURFACES["au111"].wave_number(bias)
    inner = draw_positions(
        rng, shape=(size - 12, size - 12), n=n, min_distance_px=5.0
    )
    positions = inner + 6
    middle = rng.uniform(0.5, 1.5, n) if kinds is None else kinds
    slope = np.linspace(-0.15, 0.15, n_maps)[:, None]
    delta = middle + slope
    waves = (
        ldos(
            Scatterers(positions, delta, np.zeros(n)),
            wave_number=k * PIXEL_NM,
            shape=(size, size),
            mean_free_path=80.0,
        )
        - 1
    )
    data = waves + waves.std() * (
        white * rng.standard_normal(waves.shape)
        + pink * power_law_fields(waves.shape, 1.2, rng)
    )
    maps = ConductanceMaps(
        (unit * data).astype(np.float32), bias, (size * PIXEL_NM,) * 2
    )
    return Field(maps, positions, 2 * k, t_amplitude(delta).T)


@pytest.fixture(scope="session")
def field():
    return make_field()
