import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.surfaces import (
    PAPER_BIAS_V,
    SURFACES,
    paper_wave_numbers,
    surface,
)


def test_paper_maps_have_the_rings_of_the_design():
    assert len(PAPER_BIAS_V) == 126
    rings = 2 * paper_wave_numbers()
    assert rings[0] == pytest.approx(1.32, abs=0.005)
    assert rings[-1] == pytest.approx(1.80, abs=0.005)


def test_copper_ring_is_near_the_measured_one():
    ring = 2 * SURFACES["cu111"].wave_number(0.010)
    assert ring == pytest.approx(4.29, rel=0.02)


@given(st.sampled_from(list(SURFACES)), st.floats(1e-3, 2.0))
def test_dispersion_is_a_parabola(name, energy_ev):
    s = SURFACES[name]
    k, k4 = s.wave_number(s.band_edge_ev + np.array([1.0, 4.0]) * energy_ev)
    assert k4 == pytest.approx(2 * k, rel=1e-6)
    # hbar^2 k^2 / 2 m* in eV with hbar^2/2m_e = 0.0380998 eV nm^2
    assert 0.0380998 * k**2 / s.effective_mass == pytest.approx(
        energy_ev, rel=1e-4
    )


@pytest.mark.parametrize("bias", [-0.44, -0.5, [0.0, -0.6]])
def test_no_waves_at_or_below_the_band_edge(bias):
    with pytest.raises(InputError, match="band edge of Cu"):
        SURFACES["cu111"].wave_number(bias)


def test_names_are_taken_as_people_write_them():
    assert surface("Cu(111)") is SURFACES["cu111"]
    assert surface("AG 111") is SURFACES["ag111"]
    with pytest.raises(InputError, match=r"'pt111'. Known: au111, cu111"):
        surface("pt111")


def test_a_surface_by_its_numbers():
    own = surface("0.38,-0.44")
    np.testing.assert_allclose(
        own.wave_number([0.0, 0.1]), SURFACES["cu111"].wave_number([0.0, 0.1])
    )
    assert own.name == "m* = 0.38 m_e, E0 = -0.44 eV"
    assert surface(" 0.5, 0.1").band_edge_ev == 0.1


@pytest.mark.parametrize(
    "text", ["0.38,", "0.38,a", "-0.38,-0.44", "0.3,-9", "nan,0", "1,2,3", ","]
)
def test_numbers_that_are_no_surface(text):
    with pytest.raises(InputError, match=r"such as 0\.38,-0\.44"):
        surface(text)
