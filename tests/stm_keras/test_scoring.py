import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stm_keras.errors import InputError
from stm_keras.scoring import (
    METRICS,
    Score,
    bootstrap_interval,
    score_positions,
)

points = arrays(
    np.float64,
    st.tuples(st.integers(0, 8), st.just(2)),
    elements=st.floats(0, 6, width=16),
)


@settings(deadline=None, max_examples=60)
@given(points, points)
def test_swapping_the_roles_swaps_recall_and_precision(first, second):
    one = score_positions(first, second, tolerance=1.0)
    two = score_positions(second, first, tolerance=1.0)
    assert one.recall == two.precision
    assert one.precision == two.recall
    assert one.jaccard == two.jaccard
    assert one.f1 == two.f1
    assert one.rmse == pytest.approx(two.rmse, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(points, points, st.randoms(use_true_random=False))
def test_the_order_of_positions_does_not_matter(first, second, random):
    order = list(range(len(first)))
    random.shuffle(order)
    one = score_positions(first, second, tolerance=1.0).as_dict()
    two = score_positions(first[order], second, tolerance=1.0).as_dict()
    assert one == pytest.approx(two, nan_ok=True)


@settings(deadline=None, max_examples=60)
@given(points, points)
def test_ranges_and_relations(found, truth):
    score = score_positions(found, truth, tolerance=1.0)
    for name in METRICS[:5]:
        assert 0 <= getattr(score, name) <= 1
    assert score.jaccard <= score.f1 <= 1
    assert score.jaccard <= min(score.recall, score.precision)
    assert score.efficiency <= score.jaccard + 1e-12
    # What is matched at less than the tolerance is hit.
    if not any(
        math.dist(p, q) == 1.0 for p in found.tolist() for q in truth.tolist()
    ):
        assert score.hit_ratio >= score.recall


@settings(deadline=None, max_examples=60)
@given(points)
def test_perfect(truth):
    score = score_positions(truth, truth, tolerance=1.0)
    assert score.recall == score.precision == score.jaccard == score.f1 == 1
    assert score.hit_ratio == score.efficiency == 1
    assert score.rmse == 0 if len(truth) else math.isnan(score.rmse)


def test_numbers_by_hand():
    truth = [[0, 0], [0, 10], [0, 20], [0, 30]]
    found = [[0, 0.3], [0, 10.4], [9, 9]]
    score = score_positions(found, truth, tolerance=1.0)
    assert score.recall == pytest.approx(2 / 4)
    assert score.precision == pytest.approx(2 / 3)
    assert score.jaccard == pytest.approx(2 / 5)
    assert score.f1 == pytest.approx(4 / 7)
    assert score.rmse == pytest.approx(math.sqrt((0.09 + 0.16) / 2))
    assert score.efficiency == pytest.approx(1 - math.sqrt(0.36 + 0.125))


def test_efficiency_in_nm_counts_in_pixels_of_the_paper():
    px = score_positions([[0, 0.5]], [[0, 0]], tolerance=1.0)
    nm = score_positions(
        [[0, 0.5 * 0.46875]], [[0, 0]], tolerance=0.46875, unit="nm"
    )
    assert nm.efficiency == pytest.approx(px.efficiency)
    assert px.efficiency == pytest.approx(0.5)


def test_the_hit_ratio_is_not_one_to_one_and_strict():
    truth = [[0, 0], [0, 1]]
    score = score_positions([[0, 0.5]], truth, tolerance=1.0)
    assert score.hit_ratio == 1
    assert score.recall == 0.5
    edge = score_positions([[0, 1.0]], [[0, 0]], tolerance=1.0)
    assert edge.hit_ratio == 0
    assert edge.recall == 1


def test_empty_sets_have_defined_values():
    names = ("hit_ratio", "recall", "precision", "jaccard", "f1", "efficiency")
    for found, truth, value in (
        ([], [], 1.0),
        ([], [[1, 1]], 0.0),
        ([[1, 1]], [], 0.0),
    ):
        score = score_positions(found, truth, tolerance=1.0)
        assert [getattr(score, n) for n in names] == [value] * len(names)
        assert math.isnan(score.rmse)


@settings(deadline=None, max_examples=60)
@given(points, points, points, points)
def test_addition_pools_maps_that_do_not_touch(a, b, c, d):
    far = np.array([1000.0, 0.0])
    pooled = score_positions(a, b, tolerance=1.0)
    pooled += score_positions(c, d, tolerance=1.0)
    together = score_positions(
        np.concatenate([a, c + far]),
        np.concatenate([b, d + far]),
        tolerance=1.0,
    )
    assert pooled.as_dict() == pytest.approx(together.as_dict(), nan_ok=True)


def test_scores_at_different_tolerances_are_not_pooled():
    with pytest.raises(InputError, match="tolerance"):
        _ = Score(tolerance=1.0) + Score(tolerance=2.0)
    with pytest.raises(InputError, match="tolerance"):
        _ = Score(unit="px") + Score(unit="nm")


def test_as_dict_holds_plain_values():
    values = score_positions([[0, 0]], [[0, 0]], tolerance=1.0).as_dict()
    assert set(METRICS) < set(values)
    assert {type(v) for v in values.values()} == {int, float, str}


def test_from_dict_undoes_as_dict():
    score = score_positions([[0, 0.2]], [[0, 0]], tolerance=0.5, unit="nm")
    assert Score.from_dict(score.as_dict()) == score


def test_the_bootstrap_covers_the_truth():
    rng = np.random.default_rng(3)
    covered = 0
    for _ in range(60):
        found = rng.binomial(10, 0.7, size=40)
        scores = [Score(10, int(n), int(n), int(n)) for n in found]
        low, high = bootstrap_interval(scores, "recall", rng, n_resamples=300)
        assert low <= high
        covered += low <= 0.7 <= high
    # 95 % of 60 is 57; fewer than 50 has a probability below 1e-3 even at
    # the 92 % that a percentile bootstrap of 40 maps reaches.
    assert covered >= 48


def test_the_bootstrap_needs_maps_that_differ():
    rng = np.random.default_rng(0)
    same = [Score(10, 10, 7, 7)] * 5
    assert bootstrap_interval(same, "recall", rng) == pytest.approx((0.7, 0.7))
    assert all(map(math.isnan, bootstrap_interval(same[:1], "recall", rng)))


def test_the_bootstrap_leaves_out_draws_without_a_pair():
    rng = np.random.default_rng(0)
    scores = [Score(1, 1, 1, 1, 0.25), Score(1, 0), Score(1, 0)]
    assert bootstrap_interval(scores, "rmse", rng) == pytest.approx((0.5, 0.5))
    nothing = bootstrap_interval([Score(1, 0)] * 3, "rmse", rng)
    assert all(map(math.isnan, nothing))


def test_the_same_generator_gives_the_same_interval():
    scores = [Score(10, 10, n, n) for n in range(10)]
    one, two = (
        bootstrap_interval(scores, "jaccard", np.random.default_rng(7))
        for _ in range(2)
    )
    assert one == two


def test_bad_input():
    rng = np.random.default_rng(0)
    with pytest.raises(InputError, match="accuracy"):
        bootstrap_interval([Score()], "accuracy", rng)
    with pytest.raises(InputError, match="No scores"):
        bootstrap_interval([], "recall", rng)
    with pytest.raises(InputError, match="tolerance"):
        score_positions([], [], tolerance=0.0)
