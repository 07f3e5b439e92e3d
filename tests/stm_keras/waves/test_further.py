"""What a fit leaves has the waves of whom it was not told."""

import numpy as np
import pytest

from stm_keras.waves.fit import fit_waves
from stm_keras.waves.further import further_scatterers
from stm_keras.waves.species import find_species
from tests.stm_keras.waves.conftest import make_field


@pytest.fixture(scope="module")
def alike():
    return make_field(8, n_maps=4, n=8, kinds=np.full(8, 1.1))


def test_finds_the_one_left_out(alike):
    told = np.delete(alike.positions, 3, axis=0)
    fit = fit_waves(alike.maps, told, None, alike.q_per_nm)
    found = further_scatterers(fit, find_species(fit))
    assert len(found.score)
    off = np.linalg.norm(found.positions_px[0] - alike.positions[3])
    assert off < 1.0


def test_finds_nothing_where_all_are_known(alike):
    fit = fit_waves(alike.maps, alike.positions, None, alike.q_per_nm)
    assert not len(further_scatterers(fit, find_species(fit)).score)
