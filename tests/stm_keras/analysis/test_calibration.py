import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.analysis.calibration import (
    Neighbourhoods,
    false_discovery_threshold,
    fit_calibration,
    reliability,
)
from stm_keras.errors import InputError


def seen(n=4000, *, slope=1.0, offset=0.0, factor=1.0, seed=0):
    """Detections of one pixel each, whose true logit is a changed one."""
    rng = np.random.default_rng(seed)
    stated = rng.normal(0, 2, n)
    octaves = rng.integers(0, 5, n).astype(float)
    true = slope * stated + offset + 0.1 * octaves
    correct = rng.random(n) < 1 / (1 + np.exp(-true))
    logits = np.full((n, 9), -np.inf)
    logits[:, 4] = stated
    z = np.where(correct[:, None], rng.normal(0, factor, (n, 2)), np.nan)
    return Neighbourhoods(logits, octaves, correct, z)


def test_the_joint_probability_is_that_not_all_are_empty():
    logits = np.full((1, 9), -np.inf)
    logits[0, :2] = 0.0, np.log(3)  # p = 1/2, 3/4
    one = Neighbourhoods(
        logits, np.zeros(1), np.array([True]), np.zeros((1, 2))
    )
    assert one.probabilities() == pytest.approx([1 - 0.5 * 0.25])


def test_a_known_distortion_is_found():
    slope, offset, factor, _, by_offset, _ = fit_calibration(
        seen(20_000, slope=0.6, offset=-0.5, factor=1.7)
    )
    assert slope == pytest.approx(0.6, abs=0.06)
    assert offset == pytest.approx(-0.5, abs=0.12)
    assert by_offset == pytest.approx(0.1, abs=0.05)
    assert factor == pytest.approx(1.7, rel=0.05)


def test_calibration_lowers_the_calibration_error():
    told = seen(8000, slope=0.4, offset=-1.0)
    new = seen(8000, slope=0.4, offset=-1.0, seed=1)
    line = np.take(fit_calibration(told), (0, 1, 3, 4))
    before = reliability(new.probabilities(), new.correct).error
    after = reliability(new.probabilities(line), new.correct).error
    assert after < 0.03 < before


def test_reliability_of_true_probabilities_is_the_diagonal():
    rng = np.random.default_rng(2)
    p = rng.random(50_000)
    diagram = reliability(p, rng.random(50_000) < p)
    np.testing.assert_allclose(diagram.stated, diagram.observed, atol=0.03)
    assert diagram.counts.sum() == 50_000
    assert diagram.error < 0.01


def test_reliability_of_sure_mistakes_is_one():
    assert reliability([1.0, 1.0], [False, False]).error == 1.0
    assert np.isnan(reliability([], []).error)


@given(st.integers(0, 2**32 - 1), st.floats(0.02, 0.5))
def test_the_threshold_keeps_the_rate(seed, rate):
    rng = np.random.default_rng(seed)
    p = rng.random(300)
    correct = rng.random(300) < p
    least = false_discovery_threshold(p, correct, rate)
    kept = p >= least
    if correct[np.argmax(p)]:
        assert (~correct[kept]).mean() <= rate
    else:
        assert kept.sum() >= 1


def test_bad_input():
    with pytest.raises(InputError, match="Cannot calibrate on 50"):
        fit_calibration(seen(50))
    right = seen(200)._replace(correct=np.ones(200, bool))
    with pytest.raises(InputError, match="200 are correct"):
        fit_calibration(right)
    with pytest.raises(InputError, match="between 0 and 1"):
        false_discovery_threshold([0.5], [True], 1.0)
    with pytest.raises(InputError, match="No detection"):
        false_discovery_threshold([], [], 0.1)
    with pytest.raises(InputError, match="one `correct`"):
        reliability([0.5], [True, False])
