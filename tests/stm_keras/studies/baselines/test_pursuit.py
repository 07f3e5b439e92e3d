import numpy as np
import pytest

from stm_keras.analysis.pursuit_fit import RingFit
from stm_keras.errors import InputError
from stm_keras.preprocessing.merged import joined
from stm_keras.ring_model import EQ3, SCATTERING, RingTemplate
from stm_keras.scoring import score_positions
from stm_keras.studies.baselines.bounds import pooled_rmse, position_bound
from stm_keras.studies.baselines.pursuit import (
    PursuitSettings,
    elimination,
    find_by_pursuit,
)

K = np.linspace(0.66, 0.89, 5)
SHAPE = (28, 32)
THREE = np.array([[5.3, 6.6], [13.8, 22.1], [21.4, 9.9]])


def strengths(n, rng):
    phase = rng.uniform(0, 2 * np.pi, (len(K), n))
    return rng.uniform(0.8, 1.2, (len(K), n)) * np.exp(1j * phase)


def rings(positions, rng, noise=0.0, envelope=EQ3):
    """Waves of random phase around positions, [V, H, W]."""
    row, col = np.indices(SHAPE)
    amplitudes = strengths(len(positions), rng)
    maps = noise * rng.standard_normal((len(K), *SHAPE))
    for (y, x), amplitude in zip(positions, amplitudes.T, strict=True):
        r = np.hypot(row - y, col - x)
        wave = np.exp(2j * K[:, None, None] * r) * envelope(r)[0]
        maps += (amplitude[:, None, None] * wave).real
    return maps


def by_row(peaks):
    return peaks.positions[np.argsort(peaks.positions[:, 0])]


@pytest.mark.parametrize("seed", range(3))
def test_clear_rings_are_found_exactly_whatever_their_phase(seed):
    maps = rings(THREE, np.random.default_rng(seed), noise=1e-3)
    found = find_by_pursuit(maps, K, threshold=8.0)
    np.testing.assert_allclose(by_row(found), THREE, atol=0.01)
    assert (np.diff(found.scores) <= 0).all()


def test_two_that_overlap_are_two():
    close = np.array([[13.2, 12.1], [14.9, 14.3]])
    maps = rings(close, np.random.default_rng(0), noise=0.02)
    found = find_by_pursuit(maps, K, threshold=8.0)
    np.testing.assert_allclose(by_row(found), close, atol=0.1)


def test_an_isolated_impurity_is_placed_nearly_as_well_as_can_be():
    errors, bounds = [], []
    for seed in range(8):
        rng = np.random.default_rng(seed)
        where = rng.uniform(8, 20, (1, 2))
        amplitudes = strengths(1, np.random.default_rng([seed, 1]))
        maps = rings(where, np.random.default_rng([seed, 1]), noise=0.1)
        found = find_by_pursuit(maps, K, max_peaks=1)
        errors.append(np.square(found.positions - where).sum())
        bounds.append(
            position_bound(where, amplitudes, K, shape=SHAPE, sigma=0.1)
        )
    # 16 numbers: the error of their spread is 18 %.
    assert np.sqrt(np.mean(errors)) < 1.6 * pooled_rmse(bounds)


def test_noise_alone_is_no_impurity():
    maps = np.random.default_rng(0).standard_normal((5, 40, 40))
    assert find_by_pursuit(maps, K, threshold=5.0).positions.shape == (0, 2)


def test_constant_maps_hold_nothing():
    found = find_by_pursuit(np.ones((5, 20, 20)), K)
    assert found.positions.shape == (0, 2)
    assert found.scores.shape == (0,)


def test_unit_and_offset_do_not_count():
    maps = rings(THREE, np.random.default_rng(0), noise=0.05)
    one = find_by_pursuit(maps, K)
    other = find_by_pursuit(1e-12 * maps + 5e-12, K)
    np.testing.assert_allclose(one.positions, other.positions, atol=1e-2)
    np.testing.assert_allclose(one.scores, other.scores, rtol=1e-2)


def test_missing_pixels_and_maps_are_left_out():
    maps = rings(THREE, np.random.default_rng(0), noise=0.02)
    maps[:, 9:13] = np.nan
    maps[1] = np.nan
    maps[2, :, 15:17] = np.nan
    found = find_by_pursuit(maps, K, threshold=8.0)
    np.testing.assert_allclose(by_row(found), THREE, atol=0.1)
    nothing = find_by_pursuit(np.full((5, 9, 9), np.nan), K)
    assert not len(nothing.scores)


def test_a_threshold_keeps_the_highest():
    maps = rings(THREE, np.random.default_rng(3), noise=0.2)
    whole = find_by_pursuit(maps, K, threshold=-np.inf)
    part = find_by_pursuit(maps, K, threshold=4.0)
    assert len(part.scores) < len(whole.scores)
    np.testing.assert_array_equal(part.scores, whole.scores[whole.scores > 4.0])
    first = find_by_pursuit(maps, K, threshold=4.0, max_peaks=2)
    np.testing.assert_array_equal(first.scores, part.scores[:2])


def test_scores_are_those_of_noise_whatever_the_number_of_maps():
    rng = np.random.default_rng(5)
    highest = [
        find_by_pursuit(
            rng.standard_normal((n, 32, 32)),
            np.linspace(0.6, 0.9, n),
            threshold=-np.inf,
        ).scores.max()
        for n in (2, 8, 24)
    ]
    assert max(highest) < 5.0


def test_waves_of_another_decay_need_their_template():
    maps = rings(THREE, np.random.default_rng(1), 0.05, SCATTERING)
    settings = PursuitSettings(SCATTERING, threshold=8.0)
    found = find_by_pursuit(maps, K, settings)
    np.testing.assert_allclose(by_row(found), THREE, atol=0.05)


def test_a_hole_hides_what_sits_on_an_impurity():
    rng = np.random.default_rng(2)
    maps = rings(THREE, rng, 0.02, SCATTERING)
    row, col = np.indices(SHAPE)
    for y, x in THREE:
        gap = np.hypot(row - y - 0.4, col - x + 0.4)
        maps += 5 * np.exp(-(gap**2) / 0.5)
    holed = RingTemplate(1.0, 0.0, 1.0, hole_px=2.5)
    found = find_by_pursuit(
        maps, K, PursuitSettings(holed, 8.0, min_distance_px=2.5)
    )
    score = score_positions(found.positions, THREE, tolerance=0.3)
    assert score.recall == 1


def test_elimination_undoes_the_fit_in_order():
    maps = rings(THREE, np.random.default_rng(1), noise=0.1)
    fit = RingFit(maps, K, EQ3)
    before = np.square(fit.residual).sum(axis=(1, 2))
    fit.add(THREE)
    after = np.square(fit.residual).sum(axis=(1, 2))
    order, falls = elimination(fit)
    assert sorted(order) == [0, 1, 2]
    np.testing.assert_allclose(
        falls.sum(), ((before - after) / fit.noise**2).sum(), rtol=1e-3
    )


@pytest.mark.parametrize(
    ("maps", "k"),
    [
        (np.zeros((5, 8)), K),
        (np.zeros((0, 8, 8)), K[:0]),
        (np.zeros((5, 8, 8)), K[:4]),
        (np.zeros((5, 8, 8)), -K),
        (np.full((5, 8, 8), np.inf), K),
    ],
)
def test_bad_input_is_refused(maps, k):
    with pytest.raises(InputError):
        find_by_pursuit(maps, k)


def test_no_peak_at_all_is_no_wish():
    with pytest.raises(InputError, match="max_peaks"):
        find_by_pursuit(np.zeros((5, 8, 8)), K, max_peaks=0)


def test_neighbours_in_k_are_joined_to_at_most_so_many():
    k = np.array([0.9, 0.6, 0.8, 0.7, 0.5])
    maps = k[:, None, None] * np.ones((5, 2, 3))
    maps[1, 0, 0] = np.nan
    maps[:, 1, 2] = np.nan
    means, mean_k = joined(maps, k, 2)
    np.testing.assert_allclose(mean_k, [0.6, 0.85])
    np.testing.assert_allclose(means[:, 1, 0], [0.6, 0.85])
    assert means[0, 0, 0] == pytest.approx((0.5 + 0.7) / 2)
    assert np.isnan(means[:, 1, 2]).all()
    same, same_k = joined(maps, k, 5)
    assert same is maps
    assert same_k is k
    with pytest.raises(InputError, match="max_maps"):
        find_by_pursuit(maps, k, PursuitSettings(max_maps=0))


def test_means_of_smooth_waves_are_as_good_as_all_maps():
    rng = np.random.default_rng(0)
    k = np.linspace(0.66, 0.72, 12)
    row, col = np.indices(SHAPE)
    maps = 1.0 * rng.standard_normal((len(k), *SHAPE))
    for y, x in THREE:
        r = np.hypot(row - y, col - x)
        waves = np.exp(2j * k[:, None, None] * r + 0.4j)
        maps += (waves * SCATTERING(r)[0]).real
    settings = PursuitSettings(SCATTERING, threshold=8.0, max_maps=4)
    found = find_by_pursuit(maps, k, settings)
    np.testing.assert_allclose(by_row(found), THREE, atol=0.2)
