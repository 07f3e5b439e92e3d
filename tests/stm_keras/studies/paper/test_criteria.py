import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.studies.paper.criteria import (
    RULES,
    choose,
    curve_band,
    is_nonsense,
    mean_interval,
    oracle,
)


def row(epoch, **changes):
    return {
        "epoch": epoch,
        "val_l0": 3.0,
        "entropy": 2.0,
        "n_found": 20.0,
        "stable_tiling": 0.8,
        "stable_voltages": 0.8,
        "false_share": 0.1,
        "jaccard_truth": 0.4,
    } | changes


def test_the_last_epoch_is_the_last_whatever_the_others_say():
    rows = [row(1, n_found=99.0), row(2), row(3, n_found=0.0)]
    assert choose(rows, "last").epoch == 3


def test_the_rule_leaves_confident_nonsense():
    """Entropy falls to nothing while surrogates get as many detections."""
    good = [row(i, entropy=2.0) for i in (1, 2, 3)]
    bad = [row(i, entropy=0.01, false_share=1.2) for i in (4, 5, 6)]
    assert choose(good + bad, "least entropy").epoch == 5
    assert choose(good + bad).epoch <= 3


def test_the_rule_leaves_detections_that_half_of_the_voltages_do_not_show():
    rows = [row(i, stable_voltages=0.9 if i < 4 else 0.2) for i in range(1, 7)]
    assert choose(rows).epoch <= 3


def test_a_network_that_detects_next_to_nothing_is_not_kept():
    rows = [row(i, n_found=20.0 if i < 4 else 1.0) for i in range(1, 7)]
    assert choose(rows).epoch <= 3


def test_one_lucky_epoch_between_bad_ones_does_not_win():
    counts = [1.0, 30.0, 1.0, 20.0, 20.0, 20.0]
    rows = [row(i + 1, n_found=n) for i, n in enumerate(counts)]
    assert choose(rows).epoch in (5, 6)


@pytest.mark.parametrize("rule", RULES)
def test_no_rule_looks_at_the_truth(rule):
    rows = [row(i, n_found=float(i)) for i in range(1, 5)]
    blind = [
        {k: v for k, v in r.items() if not k.endswith(("truth", "em"))}
        for r in rows
    ]
    assert choose(rows, rule).epoch == choose(blind, rule).epoch


def test_no_rule_beats_the_oracle():
    rows = [row(i, jaccard_truth=0.1 * (i % 4)) for i in range(1, 9)]
    best = oracle(rows, "jaccard_truth").row["jaccard_truth"]
    assert best == pytest.approx(0.3)
    for rule in RULES:
        assert choose(rows, rule).row["jaccard_truth"] <= best


def test_the_guard_warns_where_surrogates_look_like_the_experiment():
    assert is_nonsense(row(1, false_share=0.6))
    assert not is_nonsense(row(1, false_share=0.4))


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
