import numpy as np
import pytest
from scipy.stats import multivariate_normal

from stm_keras import ring_fit
from stm_keras.analysis.pursuit_fit import RingFit
from stm_keras.analysis.pursuit_growth import grow
from stm_keras.ring_fit import inclusion_probabilities
from stm_keras.ring_model import (
    EQ3,
    pixel_grid,
    rays,
    ring_columns,
    standardised_maps,
)
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel

CONFIG = FriedelConfig(
    size_px=32, n_voltages=8, n_impurities=(5, 5), on_grid=False
)


def grown(eta, seed, empty=False):
    """A fit with all that is worth a look, and the true places."""
    rng = np.random.default_rng(seed)
    fields = simulate_friedel(CONFIG, rng, 1)
    clean = fields.maps[0] * (not empty)
    maps = clean + eta * rng.standard_normal(clean.shape)
    fit = RingFit(*standardised_maps(maps, fields.wave_numbers[0]), EQ3)
    grow(fit, stop=2.0)
    return fit, fields.positions[0]


def near(fit, truth):
    """Which rings lie at a true place, none of which has two."""
    gaps = np.linalg.norm(fit.positions[:, None] - truth, axis=-1)
    return (gaps.min(axis=1) < 1) & (
        np.bincount(gaps.argmin(axis=0), minlength=len(gaps)) > 0
    )


@pytest.mark.parametrize("seed", range(4))
def test_rings_of_impurities_are_told_from_those_of_noise(seed):
    fit, truth = grown(0.2, seed)
    p = inclusion_probabilities(fit)
    true = near(fit, truth)
    assert true.sum() == 5
    assert len(p) > 10
    assert p[true].min() > 0.9
    assert p[~true].max() < 0.5


def test_noise_alone_has_no_impurity():
    sums = [
        inclusion_probabilities(grown(0.5, seed, empty=True)[0]).sum()
        for seed in range(6)
    ]
    assert np.mean(sums) < 1


def test_probabilities_are_those_of_what_happens():
    stated, true = [], []
    for seed in range(40):
        fit, truth = grown(0.5, seed)
        stated.append(inclusion_probabilities(fit))
        true.append(near(fit, truth))
    p, right = np.concatenate(stated), np.concatenate(true)
    sure = p > 0.8
    assert sure.sum() > 80
    assert right[sure].mean() > 0.93
    between = (p > 0.2) & (p < 0.8)
    assert between.sum() > 20
    assert abs(p[between].mean() - right[between].mean()) < 0.2
    assert right[p < 0.05].mean() < 0.05


def test_the_same_seed_gives_the_same():
    fit, _ = grown(0.5, 3)
    one, same, other = (inclusion_probabilities(fit, seed=s) for s in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    np.testing.assert_allclose(one, other, atol=0.35)


def test_the_unit_of_a_map_does_not_count():
    fit, _ = grown(0.3, 0)
    maps = np.where(fit.measured, fit.residual, np.nan)
    scaled = maps * np.array([1, 7, 1e-3, 1, 1, 1, 1, 1])[:, None, None]
    answers = []
    for stack in (maps, scaled):
        again = RingFit(*standardised_maps(stack, fit.wave_numbers), EQ3)
        again.add(fit.positions[:6] + 0.7)
        answers.append(inclusion_probabilities(again))
    np.testing.assert_allclose(*answers, atol=1e-3)


def test_two_rings_on_one_place_share_it():
    fit, truth = grown(0.2, 1)
    twice = fit.of(np.zeros(len(fit.positions), bool))
    twice.add(np.concatenate([truth, truth[:1] + 0.05]))
    p = inclusion_probabilities(twice)
    assert p[1:5].min() > 0.9
    assert p[0] + p[5] < 1.3


def test_maps_without_noise_or_rings():
    fit, _ = grown(0.0, 2)
    assert np.isfinite(inclusion_probabilities(fit)).all()
    assert inclusion_probabilities(fit.of(np.array([], int))).shape == (0,)


def test_odds_are_those_of_the_likelihood_of_the_maps():
    """Against the covariance of all pixels, written out."""
    rng = np.random.default_rng(5)
    k, maps = np.array([0.7, 0.8]), rng.standard_normal((2, 9, 10))
    fit = RingFit(maps, k, EQ3)
    fit.add(np.array([[2.2, 3.1], [3.0, 4.9], [6.5, 7.7], [6.8, 1.0]]))
    sampler = ring_fit._Sampler(fit, fit.deviations(), rng)
    sampler._noise = np.array([0.8, 1.3])
    sampler._strength = np.array([4.0, 2.0])
    sampler._number, sampler._shares = 1.0, np.ones(4)
    way = rays(pixel_grid((9, 10)), fit.positions)
    rings = ring_columns(way.distance, k, EQ3)

    def likelihood(there):
        columns = rings[:, there].reshape(2, -1, 90)
        spread = columns.swapaxes(1, 2) @ columns
        variance = sampler._noise * sampler._strength
        covariance = variance[:, None, None] * spread + 1  # the offset
        covariance += sampler._noise[:, None, None] * np.eye(90)
        parts = zip(maps.reshape(2, 90), covariance, strict=True)
        zero = np.zeros(90)
        return sum(multivariate_normal.logpdf(y, zero, c) for y, c in parts)

    for there in ([], [1], [0, 2], [0, 1, 2, 3]):
        sampler._there = np.isin(np.arange(4), there)
        sampler._start()
        odds = sampler._odds()
        for ring in range(4):
            rest = [i for i in there if i != ring]
            gain = likelihood([*rest, ring]) - likelihood(rest)
            assert odds[ring] == pytest.approx(gain, abs=1e-3)
