from itertools import combinations, permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from stm_keras import detections
from stm_keras.detections import match
from stm_keras.errors import InputError


def points(most):
    # Half pixels on a small square: many ties, duplicates and clusters.
    return arrays(
        np.float64,
        st.tuples(st.integers(0, most), st.just(2)),
        elements=st.integers(0, 6).map(lambda i: i / 2),
    )


def squares(matches):
    return np.square(matches.distances).sum()


def best_by_trying_all(predicted, reference, tolerance):
    """Most pairs, then least sum of squares, over every detections."""
    if len(predicted) > len(reference):
        predicted, reference = reference, predicted
    gaps = np.hypot(*(predicted[:, None] - reference[None]).transpose(2, 0, 1))
    for size in range(len(predicted), 0, -1):
        sums = [
            np.square(gaps[rows, cols]).sum()
            for rows in combinations(range(len(predicted)), size)
            for cols in permutations(range(len(reference)), size)
            if (gaps[rows, cols] <= tolerance).all()
        ]
        if sums:
            return size, min(sums)
    return 0, 0.0


@settings(deadline=None, max_examples=60)
@given(points(4), points(5), st.sampled_from([0.5, 1.0, 1.5, 9.0]))
def test_as_good_as_the_best_of_all(predicted, reference, tolerance):
    expected = best_by_trying_all(predicted, reference, tolerance)
    found = match(predicted, reference, tolerance)
    assert len(found.pairs) == expected[0]
    assert squares(found) == pytest.approx(expected[1])


@settings(deadline=None, max_examples=60)
@given(points(12), points(12), st.sampled_from([0.5, 1.0, 2.0]))
def test_pairs_are_one_to_one_and_within_the_tolerance(
    predicted, reference, tolerance
):
    pairs, distances = match(predicted, reference, tolerance)
    assert len(set(pairs[:, 0].tolist())) == len(pairs)
    assert len(set(pairs[:, 1].tolist())) == len(pairs)
    assert (np.diff(pairs[:, 0]) > 0).all()
    apart = predicted[pairs[:, 0]] - reference[pairs[:, 1]]
    np.testing.assert_allclose(distances, np.hypot(*apart.T))
    assert (distances <= tolerance).all()


@settings(deadline=None, max_examples=60)
@given(points(12), points(12), st.randoms(use_true_random=False))
def test_order_and_roles_do_not_matter(predicted, reference, random):
    found = match(predicted, reference, 1.0)
    order = list(range(len(predicted)))
    random.shuffle(order)
    for other in (
        match(predicted[order], reference, 1.0),
        match(reference, predicted, 1.0),
    ):
        assert len(other.pairs) == len(found.pairs)
        assert squares(other) == pytest.approx(squares(found))


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32 - 1), st.sampled_from([0.3, 1.0, 2.0]))
def test_splitting_into_clusters_changes_nothing(seed, tolerance):
    rng = np.random.default_rng(seed)
    predicted = rng.uniform(0, 12, (60, 2))
    reference = rng.uniform(0, 12, (50, 2))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(detections, "ONE_CLUSTER", 10**6)
        whole = match(predicted, reference, tolerance)
        patch.setattr(detections, "ONE_CLUSTER", 0)
        split = match(predicted, reference, tolerance)
    assert len(whole.pairs) == len(split.pairs)
    assert squares(whole) == pytest.approx(squares(split))


def test_a_chain_keeps_both_pairs():
    # By distance alone 0-1 is best, and leaves a pair that is too far.
    predicted = [[0.0, 0.0], [0.0, 1.0]]
    reference = [[0.0, 0.9], [0.0, 1.8]]
    found = match(predicted, reference, 1.0)
    np.testing.assert_array_equal(found.pairs, [[0, 0], [1, 1]])
    np.testing.assert_allclose(found.distances, [0.9, 0.8])


def test_the_tolerance_is_inclusive():
    assert len(match([[0, 0]], [[0, 2]], 2.0).pairs) == 1
    assert len(match([[0, 0]], [[0, 2]], 1.999).pairs) == 0


def test_thousands_of_points():
    rng = np.random.default_rng(5)
    reference = rng.permutation(np.argwhere(np.ones((70, 70))) * 3.0)
    shift = rng.uniform(-0.5, 0.5, reference.shape)
    order = rng.permutation(len(reference))
    found = match((reference + shift)[order], reference, 1.0)
    assert len(found.pairs) == len(reference)
    np.testing.assert_array_equal(found.pairs[:, 1], order)


def test_nothing_to_match():
    for predicted, reference in ([], [[1, 1]]), ([[1, 1]], []), ([], []):
        found = match(predicted, reference, 1.0)
        assert found.pairs.shape == (0, 2)
        assert found.distances.shape == (0,)


@pytest.mark.parametrize("tolerance", [0.0, -1.0, np.nan, np.inf])
def test_bad_tolerance(tolerance):
    with pytest.raises(InputError, match="tolerance"):
        match([[0, 0]], [[0, 0]], tolerance)


@pytest.mark.parametrize("bad", [[[1, 2, 3]], [1, 2], [[0, 0], [np.nan, 0]]])
def test_bad_positions(bad):
    with pytest.raises(InputError, match="predicted"):
        match(bad, [[0, 0]], 1.0)
    with pytest.raises(InputError, match="reference"):
        match([[0, 0]], bad, 1.0)
