"""Odd units and hot pixels, from the maps to the answer."""

import numpy as np
import pytest

import stm_keras
from stm_keras.maps import ConductanceMaps
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)

HOT = ((0, 20, 30), (3, 50, 12))


@pytest.fixture(scope="module")
def find():
    whole = simulate_virtual(
        named_virtual("medium", "typical"), np.random.default_rng(5)
    )
    detector = stm_keras.load_detector("context")

    def answer(change):
        data = change(whole.maps[::16].astype(np.float64))
        maps = ConductanceMaps(data, whole.bias_v[::16], (37.5, 37.5))
        return stm_keras.find(
            maps, surface="au111", detector=detector, surrogates=0
        )

    return answer


@pytest.mark.slow
@pytest.mark.parametrize("factor", [1e-40, 1e40])
def test_the_unit_decides_nothing(find, factor):
    """Times 1e-40, nothing used to be found."""
    usual = find(lambda maps: maps)
    assert len(usual) > 20
    odd = find(lambda maps: maps * factor)
    np.testing.assert_allclose(odd.positions_px, usual.positions_px, atol=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("height", [1e6, -1e6])
def test_a_hot_pixel_hides_nothing_and_is_none(find, height):
    def heated(maps):
        for place in HOT:
            maps[place] = height
        return maps

    usual, odd = find(lambda maps: maps), find(heated)
    apart = np.linalg.norm(
        usual.positions_px[:, None] - odd.positions_px[None], axis=-1
    )
    assert apart.min(axis=1).max() < 1
    assert len(odd) == len(usual)
    assert any("single pixels" in warning for warning in odd.warnings)
