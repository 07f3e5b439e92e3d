import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.nn.losses import HitRatio, local_maxima

NAN = float("nan")


def slow_hit_ratio(positions, score):
    """The paper's score, as its text says it."""
    height, width = score.shape
    peaks = [
        (r, c)
        for r in range(height)
        for c in range(width)
        if score[r, c]
        >= score[max(r - 1, 0) : r + 2, max(c - 1, 0) : c + 2].max()
    ]
    nearest = [
        min(np.hypot(r - p[0], c - p[1]) for r, c in peaks) for p in positions
    ]
    return np.mean([d < 1 for d in nearest])


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32 - 1))
def test_is_the_papers_score(seed):
    rng = np.random.default_rng(seed)
    score = rng.normal(size=(1, 12, 9)).astype(np.float32)
    positions = rng.uniform(-0.5, 8.5, (1, 7, 2)).astype(np.float32)
    metric = HitRatio()
    metric.update_state(positions, score)
    expected = slow_hit_ratio(positions[0], score[0])
    assert float(metric.result()) == pytest.approx(expected)


def test_padding_does_not_count_and_batches_pool():
    score = np.zeros((2, 5, 5), np.float32)
    score[:, 2, 2] = 1
    positions = np.array([[[2, 2], [NAN, NAN]], [[2, 2.5], [0, 4]]], np.float32)
    score -= 0.01 * np.add.outer(np.arange(5), np.arange(5)) * (score == 0)
    metric = HitRatio()
    metric.update_state(positions[:1], score[:1])
    assert float(metric.result()) == 1
    metric.update_state(positions[1:], score[1:])
    assert float(metric.result()) == pytest.approx(2 / 3)
    metric.reset_state()
    assert float(metric.result()) == 0


def test_what_lies_beside_the_frame_does_not_count():
    score = np.zeros((1, 6, 6), np.float32)
    score[0, 0, 2] = 1
    metric = HitRatio()
    metric.update_state(
        np.array([[[-0.4, 2.0], [-0.6, 2.0], [3.0, 5.6]]], np.float32), score
    )
    assert float(metric.points) == 1
    assert float(metric.result()) == 1


def test_local_maxima_at_the_border():
    score = np.arange(12, dtype=np.float32).reshape(1, 3, 4)
    peaks = np.asarray(local_maxima(score))
    assert peaks[0, 2, 3]
    assert peaks.sum() == 1
