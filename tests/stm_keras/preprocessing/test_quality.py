import numpy as np
import pytest

from stm_keras.detector import ContextDetector
from stm_keras.maps import ConductanceMaps
from stm_keras.models.card import read_card
from stm_keras.preprocessing.cleaning import CleaningOptions
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.preprocessing.quality import map_quality, without_bad_maps

N_MAPS = 8
Q = np.linspace(1.2, 1.5, N_MAPS)


def waves(noise=0.03, seed=0):
    """Waves around ten places in 60 x 60 px, of eight biases."""
    rng = np.random.default_rng(seed)
    row, col = np.indices((60, 60))
    data = rng.normal(0, noise, (N_MAPS, 60, 60))
    for place in rng.uniform(0, 60, (10, 2)):
        r = np.hypot(row - place[0], col - place[1])
        data += [np.cos(q * r) / (r + 1) for q in Q]
    return data


def spoilt(kind, index=3):
    data = waves()
    rng = np.random.default_rng(1)
    if kind == "noise":
        data[index] += rng.normal(0, 3, (60, 60))
    if kind == "nearly blank":
        data[index] = 5 + 1e-6 * rng.normal(size=(60, 60))
    if kind == "moved":
        data[index] = np.roll(data[index], (17, 11), (0, 1))
    return data


def test_waves_have_little_noise_and_share_much():
    quality = map_quality(waves(), Q)
    assert (quality.noise < 0.1).all()
    assert (quality.shared > 0.5).all()
    assert not quality.bad.any()


@pytest.mark.parametrize("kind", ["noise", "nearly blank", "moved"])
@pytest.mark.parametrize("unit", [1.0, 1e-12])
def test_one_bad_map_is_known_and_no_other(kind, unit):
    bad = map_quality(unit * spoilt(kind), Q).bad
    np.testing.assert_array_equal(bad, np.arange(N_MAPS) == 3)


def test_the_good_ones_may_be_few():
    data = waves()
    data[2:] += np.random.default_rng(1).normal(0, 3, (N_MAPS - 2, 60, 60))
    np.testing.assert_array_equal(
        map_quality(data, Q).bad, np.arange(N_MAPS) >= 2
    )


def test_where_all_are_noise_none_stands_out():
    data = np.random.default_rng(0).normal(size=(N_MAPS, 60, 60))
    assert not map_quality(data, Q).bad.any()


def test_maps_of_independent_phases_are_not_bad():
    """Those of Eq. 3 of arXiv:2006.15898 share little."""
    rng = np.random.default_rng(0)
    row, col = np.indices((60, 60))
    data = rng.normal(0, 0.05, (N_MAPS, 60, 60))
    for place in rng.uniform(0, 60, (10, 2)):
        r = np.hypot(row - place[0], col - place[1])
        for image, q in zip(data, Q, strict=True):
            image += np.cos(q * r + rng.uniform(0, 6.28)) / (r + 1)
    assert not map_quality(data, Q).bad.any()


def test_gaps_and_unknown_q_are_fine():
    data = spoilt("noise")
    data[:, 5:9] = np.nan
    data[5, 30:] = np.nan
    some = np.where(np.arange(N_MAPS) % 2, Q, 0.0)
    for q in (Q, some, np.zeros(N_MAPS)):
        quality = map_quality(data, q)
        np.testing.assert_array_equal(quality.bad, np.arange(N_MAPS) == 3)
    assert np.isnan(map_quality(data, np.zeros(N_MAPS)).noise).all()


def test_a_single_map_and_tiny_frames_are_never_bad():
    assert not map_quality(waves()[:1], Q[:1]).bad.any()
    assert not map_quality(waves()[:, :3, :3], Q).bad.any()


def stack(data):
    return ConductanceMaps(data, np.linspace(-0.2, 0.0, N_MAPS), (20.0, 20.0))


def test_it_says_which_are_left_out():
    maps = stack(spoilt("noise"))
    kept = without_bad_maps(maps, map_quality(maps.data, Q))
    np.testing.assert_array_equal(kept.bias_v, np.delete(maps.bias_v, 3))
    np.testing.assert_array_equal(kept.data, np.delete(maps.data, 3, axis=0))
    assert kept.provenance[-1].startswith("warning: 1 of 8 maps")
    assert f"{1e3 * maps.bias_v[3]:.4g} mV" in kept.provenance[-1]
    good = without_bad_maps(stack(waves()), map_quality(waves(), Q))
    assert len(good.data) == N_MAPS
    assert "quality of the maps: noise" in good.provenance[-1]
    assert "warning" not in good.provenance[-1]


@pytest.mark.parametrize("leave_out", [True, False])
def test_a_detector_is_not_given_bad_maps(leave_out):
    card = read_card("saved_models/context")
    options = PredictOptions(
        surface="au111", cleaning=CleaningOptions(leave_out=leave_out)
    )
    prepared = ContextDetector.prepare(card, stack(spoilt("moved")), options)
    assert prepared.q_per_nm is not None
    expected = N_MAPS - 1 if leave_out else N_MAPS
    assert len(prepared.ready.data) == expected
    assert len(prepared.levelled.data) == expected
    assert len(prepared.q_per_nm) == expected
