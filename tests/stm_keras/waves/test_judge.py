"""The judge: evidence where waves are, silence where they are not."""

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.waves.evidence import Evidence, along, distinct, wave_evidence
from stm_keras.waves.judge import decided, judge
from stm_keras.waves.ratio import reduced, wave_ratio
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
    network[0] = 0.9
    result = judge(maps, places, network, q)
    assert result.held
    impurities, blobs = result.probabilities[:7], result.probabilities[7:]
    assert (impurities > 0.8 * network[:7]).all()
    # Tall blobs keep what of their tail looks like a wave.
    assert np.mean(blobs[:, None] < impurities) > 0.9
    assert "waves judged 14 candidates" in result.note


def made_up(amplitudes, n_empty=20, seed=0, deviations=1.0):
    """Evidence of one map with amplitudes [n], and noise at empty places."""
    rng = np.random.default_rng(seed)

    def noise(n):
        return deviations * (rng.normal(size=n) + 1j * rng.normal(size=n))

    c = np.asarray(amplitudes, complex) + noise(len(amplitudes))
    c = c[:, None]
    unit = np.broadcast_to(np.eye(2), (len(c), 1, 2, 2))
    return Evidence(
        along(c, unit, np.zeros(1)),
        c,
        unit,
        np.zeros(1),
        noise(n_empty)[:, None],
        np.broadcast_to(np.eye(2), (n_empty, 1, 2, 2)),
    )


SURE = np.array([0.9] * 8 + [0.5] * 4)


def test_nothing_counts_against_and_much_leaves_all_as_it_was():
    found = made_up([*[6j] * 8, 6j, 6j, 0, 0])
    result = decided(SURE, found)
    assert result.held
    np.testing.assert_array_equal(result.probabilities[8:10], 0.5)
    assert (result.probabilities[10:] < 0.3).all()


def test_another_phase_than_that_of_all_sure_ones_says_less():
    found = made_up([*[6j] * 8, 6j, -6j, 0, 0])
    ratio = wave_ratio(found, SURE > 0.8).log_ratio
    assert ratio[8] > ratio[9] + 1


def test_a_place_of_which_little_can_be_told_is_left_alone():
    """Under wide masks the deviations are large, and both ratios near 1."""
    found = made_up([*[6j] * 8, 6j, 6j, 0, 0])
    covariance = np.array(found.covariance)
    covariance[10] *= 900
    gain = decided(SURE, found._replace(covariance=covariance)).gain
    assert abs(gain[10]) < 0.3
    assert gain[11] < -0.8


def test_where_empty_places_are_as_strong_waves_do_not_count():
    found = made_up([0] * 12, deviations=6.0)
    result = decided(SURE, found)
    assert not result.held
    np.testing.assert_array_equal(result.probabilities, SURE)
    assert "do not tell" in result.note


def test_deviations_that_are_too_small_show_at_empty_places():
    """The same amplitude says less where nothing looks like so much."""
    calm = made_up([*[9j] * 8, 4j, 4j, 4j, 4j])
    rough = made_up([*[9j] * 8, 4j, 4j, 4j, 4j], deviations=2.5)
    sure = SURE > 0.8
    here, there = (wave_ratio(e, sure).log_ratio for e in (calm, rough))
    assert np.median(here[8:]) > np.median(there[8:]) + 0.5


def test_sure_ones_that_show_little_excuse_others():
    """Where every second sure impurity shows nothing, none is no fault."""
    many = decided(SURE, made_up([*[6j] * 8, 0, 0, 0, 0])).gain
    few = decided(SURE, made_up([*[6j, 0] * 4, 0, 0, 0, 0])).gain
    assert few[8:].mean() > many[8:].mean() + 0.3
    assert few[8:].min() > -0.8


@pytest.mark.parametrize(("sure", "empty"), [(3, 20), (8, 7)])
def test_too_few_tell_nothing(sure, empty):
    p = np.where(np.arange(12) < sure, 0.9, 0.5)
    result = decided(p, made_up([6j] * 12, n_empty=empty))
    assert not result.held
    np.testing.assert_array_equal(result.probabilities, p)


def test_many_maps_are_reduced_to_a_line_in_energy():
    u = np.linspace(-1, 1, 5)
    c = (2 + 1j) + (0.5 - 0.3j) * u
    covariance = np.broadcast_to(0.04 * np.eye(2), (1, 5, 2, 2))
    z, spread = reduced(c[None], covariance, u)
    assert z[0] == pytest.approx([2, 1, 0.5, -0.3])
    assert np.diag(spread[0])[:2] == pytest.approx(0.04 / 5)


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
    found = made_up([*[6j] * 8, 6j, 6j, 0, 0])
    amplitudes, alone = found.amplitudes.copy(), found.alone.copy()
    amplitudes[9] = alone[9] = np.nan
    result = decided(SURE, found._replace(amplitudes=amplitudes, alone=alone))
    assert result.held
    assert result.probabilities[9] == 0.5
