import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.nn.losses import cross_entropy, entropy, log_probability


def softmax(score):
    """Y = softmax(S) over all pixels of one map, as it is written."""
    total = sum(np.exp(s) for s in score.ravel())
    return np.exp(score) / total


def eq2(label, score):
    """L0 = -sum Y_label ln Y_net for one map, as it is written."""
    total = 0.0
    y = softmax(score)
    for row in range(score.shape[0]):
        for col in range(score.shape[1]):
            total -= label[row, col] * np.log(y[row, col])
    return total


def eq4(score):
    """Lreg = -sum Y ln Y for one map, as it is written."""
    return -sum(p * np.log(p) for p in softmax(score).ravel())


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1), st.floats(0.1, 4))
def test_losses_are_eqs_2_and_4(seed, scale):
    rng = np.random.default_rng(seed)
    score = scale * rng.normal(size=(3, 5, 4))
    label = rng.dirichlet(np.ones(20), 3).reshape(3, 5, 4)
    np.testing.assert_allclose(
        cross_entropy(label.astype(np.float32), score.astype(np.float32)),
        [eq2(a, b) for a, b in zip(label, score, strict=True)],
        rtol=1e-5,
    )
    np.testing.assert_allclose(
        entropy(score.astype(np.float32)),
        [eq4(s) for s in score],
        rtol=2e-5,
        atol=1e-6,
    )


def test_entropy_has_its_limits():
    flat = np.zeros((1, 6, 7), np.float32)
    np.testing.assert_allclose(entropy(flat), np.log(42), rtol=1e-6)
    sure = flat.copy()
    sure[0, 2, 3] = 1000
    np.testing.assert_allclose(entropy(sure), 0, atol=1e-6)


def test_least_cross_entropy_is_that_of_the_label():
    label = np.zeros((1, 4, 4), np.float32)
    label[0, [0, 1, 3], [1, 2, 3]] = 1 / 3
    score = np.where(label > 0, 0, -1e4).astype(np.float32)
    np.testing.assert_allclose(
        cross_entropy(label, score), np.log(3), rtol=1e-6
    )
    assert cross_entropy(label, score + 0.3 * (label > 0) * [1, 2, 3, 4]) > (
        np.log(3) + 1e-3
    )


def test_a_constant_added_to_s_changes_nothing():
    score = np.random.default_rng(0).normal(size=(2, 3, 3)).astype(np.float32)
    np.testing.assert_allclose(
        log_probability(score), log_probability(score + 5), atol=1e-5
    )
    np.testing.assert_allclose(
        np.exp(log_probability(score)).sum((1, 2)), 1, rtol=1e-5
    )
