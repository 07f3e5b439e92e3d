import numpy as np
import pytest

from stm_keras.preprocessing.local_ood import local_ood_score, score_at

SIDE = 80
Q = np.array([1.3, 1.5])


def waves(seed=0):
    """Waves of ten impurities at two biases, with noise."""
    rng = np.random.default_rng(seed)
    row, col = np.indices((SIDE, SIDE))
    data = rng.normal(0, 0.15, (2, SIDE, SIDE))
    for place in rng.uniform(0, SIDE, (10, 2)):
        r = np.hypot(row - place[0], col - place[1])
        data += [np.cos(q * r) / np.sqrt(r + 3) for q in Q]
    return data.astype(np.float32)


def strange(kind):
    """The same with something strange, and where it is."""
    data = waves()
    row, col = np.indices((SIDE, SIDE))
    if kind == "step":
        away = np.abs(0.6 * row + 0.8 * col - 55)
        data -= 4 * np.exp(-(away**2) / 4)
        return data, away < 1
    r = np.hypot(row - 40, col - 20)
    if kind == "blob":
        data += 8 * np.exp(-(r**2) / 4)
        return data, r < 1.5
    centres = [(38, 18), (38, 21), (41, 19), (43, 22)]
    for place in centres:
        data += 6 * np.exp(-((row - place[0]) ** 2 + (col - place[1]) ** 2) / 3)
    return data, r < 3


def test_waves_of_impurities_are_not_lit():
    for seed in range(3):
        score = local_ood_score(waves(seed), Q)
        assert score.dtype == np.float32
        assert (score > 1).mean() < 0.01
        assert 0.2 < np.median(score) < 0.3  # 1 in units of the limit of 4


@pytest.mark.parametrize("kind", ["step", "blob", "cluster"])
@pytest.mark.parametrize("unit", [1.0, 1e-12])
def test_steps_blobs_and_clusters_are_lit(kind, unit):
    data, there = strange(kind)
    score = local_ood_score(data * np.float32(unit), Q)
    plain = local_ood_score(waves(), Q)
    assert np.median(score[there]) > 1
    assert np.mean(score[there][:, None] > plain.ravel()[None]) > 0.98
    far = np.ones((SIDE, SIDE), bool)
    rows, cols = np.nonzero(there)
    row, col = np.indices((SIDE, SIDE))
    for at in zip(rows, cols, strict=True):
        far &= np.hypot(row - at[0], col - at[1]) > 9
    assert (score[far] > 1).mean() < 0.01


def test_gaps_unknown_q_and_empty_maps():
    data = waves()
    data[:, 5:9] = np.nan
    data[0, 30:40] = np.nan
    for q in (Q, np.array([0.0, 1.5]), np.zeros(2)):
        score = local_ood_score(data, q)
        np.testing.assert_array_equal(
            np.isnan(score), np.isnan(data).all(axis=0)
        )
    spot = np.zeros((1, 30, 30), np.float32)
    spot[0, 10, 10] = 5
    np.testing.assert_array_equal(local_ood_score(spot, Q[:1]), 0)


def test_the_score_of_an_impurity_is_that_of_its_pixel():
    score = np.arange(12, dtype=np.float32).reshape(3, 4)
    at = score_at(score, np.array([[1.4, 2.6], [-0.5, 3.5]]))
    np.testing.assert_array_equal(at, [7, 3])
    assert score_at(score, np.empty((0, 2))).shape == (0,)
