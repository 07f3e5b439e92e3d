import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.reproduction.statistics import curve_band, mean_interval


def test_an_interval_covers_the_mean_about_as_often_as_it_says():
    rng = np.random.default_rng(0)
    estimates = [
        mean_interval(rng.normal(3.0, 1.0, 30), seed=i) for i in range(200)
    ]
    covered = np.mean([e.low <= 3.0 <= e.high for e in estimates])
    assert 0.88 <= covered <= 0.99


@given(st.lists(st.floats(-1e3, 1e3), min_size=2, max_size=12))
def test_an_interval_holds_its_mean_and_stays_within_the_values(values):
    estimate = mean_interval(values)
    slack = 1e-9 * (1 + max(map(abs, values)))
    assert min(values) - slack <= estimate.low <= estimate.mean + slack
    assert estimate.mean - slack <= estimate.high <= max(values) + slack


def test_nan_is_left_out_and_one_run_has_no_interval():
    assert mean_interval([1.0, np.nan, 3.0]).n == 2
    alone = mean_interval([2.0])
    assert alone.mean == 2.0
    assert np.isnan([alone.low, alone.high]).all()
    assert mean_interval([np.nan]).n == 0


def test_equal_runs_have_a_band_of_no_width():
    mean, low, high = curve_band(np.tile([0.25, 0.5, 0.75], (5, 1)))
    np.testing.assert_allclose(low, mean)
    np.testing.assert_allclose(high, mean)


def test_a_signed_estimate_shows_its_signs():
    assert mean_interval([0.5, 0.5]).signed == "+0.500 [+0.500, +0.500]"
    assert str(mean_interval([0.5, 0.5])) == "0.500 [0.500, 0.500]"


def test_more_runs_narrow_the_band():
    values = np.random.default_rng(1).normal(size=(64, 3))
    few, many = (curve_band(values[:n]) for n in (8, 64))
    assert np.all(many[2] - many[1] < few[2] - few[1])


@pytest.mark.parametrize("seed", [0, 1])
def test_the_resampling_repeats(seed):
    values = [0.1, 0.4, 0.2, 0.9]
    assert mean_interval(values, seed=seed) == mean_interval(values, seed=seed)
