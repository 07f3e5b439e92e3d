import numpy as np
import pytest

from stm_keras.nn.decoding import Candidates
from stm_keras.ring_fit import (
    LEAST_PROBABILITY,
    UNSEEN,
    Rings,
    Weights,
    candidates,
    features,
    judged,
)

MEASURED = np.ones((20, 30), bool)
FOUND = Candidates(
    np.array([[5.0, 6.0], [12.0, 20.0]]),
    np.array([0.9, 0.6]),
    np.array([[0.2, 0.4], [0.3, 0.3]]),
    np.array([[5, 6], [12, 20]]),
)
RINGS = Rings(
    np.array([[5.4, 6.0], [15.0, 3.0], [-1.0, 4.0]]),
    np.array([[0.1, 0.1], [0.2, 0.2], [0.2, 0.2]]),
    np.array([0.97, 0.3, 0.8]),
)
NO_RINGS = Rings(np.zeros((0, 2)), np.zeros((0, 2)), np.zeros(0))
EVEN = Weights(1.0, 1.0, 0.0, 0.0)


def test_of_one_impurity_the_surer_says_more_where_it_is():
    every = candidates(FOUND, RINGS, MEASURED, 2.0)
    # Of the row: 5.0 +- 0.2 and 5.4 +- 2 x 0.1; of the column +- 0.4, 0.2.
    np.testing.assert_allclose(every.positions[0], [5.2, 6.0])
    np.testing.assert_allclose(
        every.deviations[0], [0.2, np.sqrt(2 / (1 / 0.16 + 1 / 0.04))]
    )
    assert (every.network[0], every.rings[0]) == (0.9, 0.97)


def test_what_only_one_of_them_knows_stays():
    every = candidates(FOUND, RINGS, MEASURED, 1.5)
    np.testing.assert_array_equal(every.network, [0.9, UNSEEN, 0.6])
    np.testing.assert_array_equal(every.rings, [0.97, 0.3, UNSEEN])
    np.testing.assert_allclose(every.positions[1:], [[15, 3], [12, 20]])
    np.testing.assert_allclose(every.deviations[1], 0.3)
    np.testing.assert_allclose(every.deviations[2], 0.3)


@pytest.mark.parametrize("pixel", [(15, 3), (16, 3)])
def test_rings_where_nothing_was_measured_are_left_out(pixel):
    measured = MEASURED.copy()
    measured[pixel] = False
    every = candidates(FOUND, RINGS, measured)
    assert len(every.rings) == (2 if pixel == (15, 3) else 3)


def test_none_at_all():
    nothing = Candidates(*(part[:0] for part in FOUND))
    every = candidates(nothing, NO_RINGS, MEASURED)
    assert features(every).shape == (0, 4)
    assert not len(judged(every, EVEN).positions)
    alone = candidates(FOUND, NO_RINGS, MEASURED)
    np.testing.assert_array_equal(alone.positions, FOUND.positions)


def test_excess_is_of_the_fit_over_the_network():
    every = candidates(FOUND, RINGS, MEASURED)
    expected = np.log((0.97 + 0.3 + UNSEEN + 1) / (0.9 + 0.6 + UNSEEN + 1))
    np.testing.assert_allclose(features(every)[:, 2], expected)
    np.testing.assert_allclose(
        features(every)[0, :2], np.log([0.97 / 0.03, 9]), rtol=1e-6
    )
    certain = every._replace(rings=np.array([1.0, 0.0, 0.5]))
    assert np.isfinite(features(certain)).all()


def test_the_surest_come_first_and_the_unlikely_not():
    every = candidates(FOUND, RINGS, MEASURED)
    kept = judged(every, EVEN)
    assert len(kept.positions) == 1
    assert kept.probabilities[0] == pytest.approx(
        1 / (1 + 0.1 / 0.9 * 0.03 / 0.97)
    )
    mild = judged(every, Weights(0.4, 0.4, 0.0, 0.0))
    assert (np.diff(mild.probabilities) < 0).all()
    assert mild.probabilities[-1] >= LEAST_PROBABILITY
    assert len(mild.positions) == 3
    np.testing.assert_array_equal(mild.pixels[0], [5, 6])


def test_of_two_that_lie_on_each_other_the_surer_stays():
    near = Rings(
        np.array([[8.0, 8.0], [8.5, 8.0]]),
        np.full((2, 2), 0.1),
        np.array([0.8, 0.99]),
    )
    nothing = Candidates(*(part[:0] for part in FOUND))
    kept = judged(
        candidates(nothing, near, MEASURED), Weights(1.0, 0.0, 0.0, 0.0)
    )
    np.testing.assert_array_equal(kept.positions, [[8.5, 8.0]])
