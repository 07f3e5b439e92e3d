"""The judge: evidence where waves are, silence where they are not."""

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.waves.evidence import Evidence, along, distinct, wave_evidence
from stm_keras.waves.judge import JudgeWeights, decided, judge, least_gain
from tests.stm_keras.waves.conftest import make_field


@pytest.fixture(scope="module")
def crowded():
    """Impurities, and as many narrow blobs without waves."""
    field = make_field(11, n_maps=4, n=7, size=60)
    rng = np.random.default_rng(2)
    blobs = []
    while len(blobs) < 7:
        place = rng.uniform(5, 55, 2)
        others = np.concatenate([field.positions, np.reshape(blobs, (-1, 2))])
        if np.linalg.norm(others - place, axis=1).min() > 7:
            blobs.append(place)
    data = field.maps.data.copy()
    rows, cols = np.indices(data.shape[1:])
    for row, col in blobs:
        shape = np.exp(-0.5 * ((rows - row) ** 2 + (cols - col) ** 2) / 0.8**2)
        data += 8 * data.std() * shape.astype(np.float32)
    places = np.concatenate([field.positions, blobs])
    return field.maps.with_data(data, ""), places, field.q_per_nm


def test_blobs_have_no_evidence(crowded):
    maps, places, q = crowded
    found = wave_evidence(maps, places, np.full(14, 0.5), q)
    assert found is not None
    assert found.alone[:7].min() > 2 * found.alone[7:].max()


def test_judge_sorts_impurities_from_blobs(crowded):
    maps, places, q = crowded
    network = np.where(np.arange(14) < 7, [0.6, 0.9] * 7, 0.6)
    result = judge(maps, places, network, q)
    assert result.held
    impurities, blobs = result.probabilities[:7], result.probabilities[7:]
    assert (impurities >= network[:7]).all()
    # Tall blobs keep what of their tail looks like a wave.
    assert np.mean(blobs[:, None] < impurities) > 0.9
    assert "waves judged 14 candidates" in result.note


def test_sure_ones_that_show_little_excuse_others():
    """Where every second sure impurity has no evidence, none is no fault."""
    few = np.array([0.5, 1.0, 6, 7, 8])
    many = np.array([5.0, 6, 7, 7, 8])
    evidence = np.array([1.0, 6.0])
    assert least_gain(evidence, few)[0] > -0.3 > least_gain(evidence, many)[0]


def test_without_waves_the_network_is_left_alone(crowded):
    _, places, q = crowded
    rng = np.random.default_rng(5)
    maps = crowded[0]
    maps = maps.with_data(rng.normal(size=maps.shape), "noise")
    network = np.linspace(0.3, 0.95, 14)
    result = judge(maps, places, network, q)
    assert not result.held
    np.testing.assert_array_equal(result.probabilities, network)
    assert "count for nothing" in result.note


@pytest.mark.parametrize("q", [0.0, np.nan])
def test_without_q_the_network_is_left_alone(crowded, q):
    maps, places, _ = crowded
    network = np.linspace(0.3, 0.95, 14)
    result = judge(maps, places, network, np.full(4, q))
    assert not result.held
    np.testing.assert_array_equal(result.probabilities, network)


def test_no_candidates(crowded):
    maps, _, q = crowded
    result = judge(maps, np.empty((0, 2)), np.empty(0), q)
    assert len(result.probabilities) == 0
    assert not result.held


def test_candidates_and_probabilities_must_belong_together(crowded):
    maps, places, q = crowded
    with pytest.raises(InputError, match="14 candidates in 4 maps"):
        judge(maps, places, np.ones(3), q)


def test_evidence_is_of_unit_variance_where_nothing_is():
    """Along a phase that was not chosen by it; along the best it is larger."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(4000, 3, 2))
    covariance = np.broadcast_to(np.eye(2), (4000, 3, 2, 2))
    c = z[..., 0] + 1j * z[..., 1]
    best = along(c, covariance, np.array([-1.0, 0, 1]))
    assert 1.3 < np.median(best) < 2.2
    one = along(c + 4, covariance, np.array([-1.0, 0, 1]))
    assert np.median(one) == pytest.approx(4 * np.sqrt(3), abs=0.4)


def test_phases_that_jump_are_no_evidence():
    covariance = np.broadcast_to(np.eye(2), (2, 4, 2, 2))
    u = np.linspace(-1, 1, 4)
    smooth = 5 * np.exp(1j * (0.3 + 0.5 * u))
    jumping = 5 * np.exp(1j * np.array([0.3, 2.4, 4.5, 1.4]))
    best = along(np.stack([smooth, jumping]), covariance, u)
    assert best[0] > 9.9
    assert best[1] < 0.65 * best[0]


def test_of_two_at_one_place_the_more_probable_is_fitted():
    places = np.array([[0.0, 0], [0, 0.5], [5, 5]])
    kept = distinct(places, np.array([0.4, 0.6, 0.1]), 1.0)
    assert kept.tolist() == [False, True, True]


def test_unfitted_candidates_keep_their_probability():
    amplitudes = np.full((5, 1), 6 + 0j)
    amplitudes[4] = np.nan
    covariance = np.broadcast_to(np.eye(2), (5, 1, 2, 2))
    found = Evidence(
        np.array([6.0, 6, 6, 1, np.nan]), amplitudes, covariance, np.zeros(1)
    )
    network = np.array([0.9, 0.9, 0.9, 0.5, 0.4])
    result = decided(
        np.zeros((5, 2)), network, found, JudgeWeights(-2, 1, 0.5, 0, 0)
    )
    assert result.held
    assert result.probabilities[4] == 0.4
    assert result.probabilities[0] > 0.9
    assert result.probabilities[3] < 0.5
