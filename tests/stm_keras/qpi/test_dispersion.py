"""k(V) from rings whose truth is known."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.qpi.dispersion import (
    Rings,
    deviations_from_surfaces,
    fit_dispersion,
    n_biases,
    rings_of_frames,
)
from stm_keras.qpi.ring import UNMODELLED, Ring
from stm_keras.surfaces import SURFACES, Surface

BIAS = np.array([-0.2, -0.1, 0.0, 0.1, 0.2])


def rings(bias, q, sigma=0.02):
    return Rings(np.array(bias), np.array(q), np.eye(len(q)) * sigma**2)


def ring(q, deviations, step=0.1):
    return Ring(q, 0.0, 5.0, 6.0, np.array(deviations), step)


@given(
    mass=st.floats(0.05, 2.0),
    edge=st.floats(-2.0, -0.25),
    scale=st.floats(0.2, 5.0),
)
def test_exact_rings_give_mass_and_edge_back(mass, edge, scale):
    known = Surface("x", mass, edge, "")
    q = 2 * known.wave_number(BIAS)
    fit = fit_dispersion(rings(BIAS, q, 0.01 * scale))
    assert fit.effective_mass == pytest.approx(mass, rel=1e-6)
    assert fit.band_edge_ev == pytest.approx(edge, rel=1e-5, abs=1e-6)
    np.testing.assert_allclose(fit.q_per_nm(BIAS), q, rtol=1e-6)


def test_uncertainties_are_those_of_many_measurements():
    rng = np.random.default_rng(0)
    q = 2 * SURFACES["au111"].wave_number(BIAS)
    common, own = 0.02, 0.015
    covariance = common**2 + np.eye(5) * own**2
    fits = [
        fit_dispersion(
            Rings(BIAS, rng.multivariate_normal(q, covariance), covariance)
        )
        for _ in range(600)
    ]
    mass_z = [(f.effective_mass - 0.26) / f.effective_mass_sigma for f in fits]
    edge_z = [(f.band_edge_ev + 0.52) / f.band_edge_sigma_ev for f in fits]
    assert 0.9 < np.std(mass_z) < 1.1
    assert 0.9 < np.std(edge_z) < 1.1


def test_a_wrong_ring_is_left_out():
    q = 2 * SURFACES["cu111"].wave_number(BIAS)
    q[3] *= 1.4
    fit = fit_dispersion(rings(BIAS, q))
    assert fit.left_out == (3,)
    assert fit.effective_mass == pytest.approx(0.38, rel=1e-3)


def test_two_biases_are_enough_and_one_is_not():
    q = 2 * SURFACES["cu111"].wave_number([0.0, 0.1])
    assert fit_dispersion(rings([0.0, 0.1], q)).n_rings == 2
    with pytest.raises(InputError, match="two biases"):
        fit_dispersion(rings([0.1, 0.1], q))


def test_rings_that_shrink_with_the_bias_are_refused():
    with pytest.raises(InputError, match="do not grow"):
        fit_dispersion(rings([0.0, 0.1], [4.0, 3.0]))


@pytest.mark.parametrize("name", SURFACES)
def test_the_nearest_surface_is_named(name):
    bias = [0.0, 0.1, 0.2]
    q = 1.02 * 2 * SURFACES[name].wave_number(bias)
    nearest, second, _ = deviations_from_surfaces(rings(bias, q))
    assert nearest.name == name
    assert nearest.fits
    assert nearest.relative == pytest.approx(0.02)
    assert not second.fits


def test_none_fits_where_none_is_near():
    found = deviations_from_surfaces(rings([0.0, 0.1], [9.0, 9.3]))
    assert not any(deviation.fits for deviation in found)


def test_rings_below_a_band_speak_against_it():
    q = 2 * SURFACES["au111"].wave_number([-0.3, 0.0])
    by_name = {
        d.name: d for d in deviations_from_surfaces(rings([-0.3, 0.0], q))
    }
    assert by_name["ag111"].n_below_edge == 1
    assert not by_name["ag111"].fits
    only = deviations_from_surfaces(rings([-0.5], [0.8]))
    assert {d.name: d.n_below_edge for d in only} == {
        "au111": 0,
        "cu111": 1,
        "ag111": 1,
    }


def test_errors_go_together_within_a_frame_alone():
    one, two = ring(4.0, [0.1, 0.0]), ring(4.0, [0.1, 0.2])
    covariance = rings_of_frames([[(0.0, one), (0.1, two)], [(0.2, one)]])[2]
    extra = (UNMODELLED * 0.1) ** 2
    np.testing.assert_allclose(
        covariance,
        [
            [0.01 + extra, 0.01 + extra, 0],
            [0.01 + extra, 0.05 + extra, 0],
            [0, 0, 0.01 + extra],
        ],
    )
    far = rings_of_frames([[(0.0, one), (0.1, ring(5.0, [0.0, 0.0]))]])[2]
    assert far[0, 1] == pytest.approx(0, abs=1e-9)


def test_distinct_biases():
    assert n_biases([]) == 0
    assert n_biases([0.1, 0.1 + 1e-9, 0.2]) == 2
