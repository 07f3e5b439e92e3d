import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.nn.calibration import (
    Neighbourhoods,
    fit_calibration,
    reliability,
)


def seen(n=4000, *, slope=1.0, above=1.0, offset=0.0, factor=1.0, seed=0):
    """Detections of one pixel each, whose true logit is a changed one."""
    rng = np.random.default_rng(seed)
    stated = rng.normal(0, 2, n)
    octaves = rng.integers(0, 5, n).astype(float)
    true = slope * stated + offset + 0.1 * octaves
    true = np.where(true > 0, above * true, true)
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
    above, below, offset, factor, _, _, by_offset, _ = fit_calibration(
        seen(20_000, slope=0.6, offset=-0.5, factor=1.7)
    )
    assert above == pytest.approx(0.6, abs=0.1)
    assert below == pytest.approx(0.6, abs=0.1)
    assert offset == pytest.approx(-0.5, abs=0.12)
    assert by_offset == pytest.approx(0.1, abs=0.05)
    assert factor == pytest.approx(1.7, rel=0.05)


def calibrated(told, new):
    """Probabilities of `new` by the calibration that `told` gives."""
    return new.probabilities(np.take(fit_calibration(told), (0, 1, 2, 4, 5, 6)))


def test_sure_ones_are_changed_by_themselves():
    told, new = seen(20_000, above=3.0), seen(20_000, above=3.0, seed=1)
    sure = new.probabilities() > 0.6
    stated = calibrated(told, new)[sure].mean()
    observed = new.correct[sure].mean()
    assert stated == pytest.approx(observed, abs=0.01)
    assert new.probabilities()[sure].mean() < observed - 0.05


def test_the_surer_of_two_stays_so():
    """Even where data say the opposite."""
    told = seen(4000, slope=-0.3)
    logits = np.full((50, 9), -np.inf)
    logits[:, 4] = np.linspace(-8, 8, 50)
    new = told._replace(logits=logits, octaves=np.full(50, 4.0))
    assert (np.diff(calibrated(told, new)) > 0).all()


def test_calibration_lowers_the_calibration_error():
    told = seen(8000, slope=0.4, offset=-1.0)
    new = seen(8000, slope=0.4, offset=-1.0, seed=1)
    before = reliability(new.probabilities(), new.correct).error
    after = reliability(calibrated(told, new), new.correct).error
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


def test_bad_input():
    with pytest.raises(InputError, match="Cannot calibrate on 50"):
        fit_calibration(seen(50))
    right = seen(200)._replace(correct=np.ones(200, bool))
    with pytest.raises(InputError, match="200 are correct"):
        fit_calibration(right)
    with pytest.raises(InputError, match="one `correct`"):
        reliability([0.5], [True, False])
