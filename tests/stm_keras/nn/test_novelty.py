import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.nn.calibration import (
    FILE,
    fit_distribution,
    read_distribution,
    write_distribution,
)

MIX = np.random.default_rng(5).normal(size=(6, 6))


def features(n, seed=0, shift=0.0):
    drawn = np.random.default_rng(seed).normal(size=(n, 6))
    drawn[:, 0] += shift
    return drawn @ MIX + 3


def test_one_in_a_hundred_of_the_same_is_out_of_distribution():
    distribution = fit_distribution(features(4000))
    share = (distribution.ood_score(features(20_000, seed=1)) > 1).mean()
    assert 0.003 < share < 0.03


def test_what_is_far_away_is_out_of_distribution():
    distribution = fit_distribution(features(4000))
    assert (distribution.ood_score(features(50, seed=2, shift=12.0)) > 1).all()


def test_a_change_of_unit_changes_nothing():
    units = np.array([1, 10, 0.1, 5, 2, 0.5])
    first = fit_distribution(features(4000))
    other = fit_distribution(features(4000) * units)
    new = features(100, seed=3)
    np.testing.assert_allclose(
        first.ood_score(new), other.ood_score(new * units), rtol=0.02
    )


def test_round_trip(tmp_path):
    distribution = fit_distribution(features(400))
    write_distribution(distribution, tmp_path)
    stored = read_distribution(tmp_path)
    assert stored is not None
    np.testing.assert_array_equal(stored.mean, distribution.mean)
    np.testing.assert_array_equal(stored.whitening, distribution.whitening)


def test_none_and_damaged(tmp_path):
    assert read_distribution(tmp_path) is None
    (tmp_path / FILE).write_bytes(b"PK not a file")
    with pytest.raises(InputError, match="is damaged"):
        read_distribution(tmp_path)


def test_bad_input():
    with pytest.raises(InputError, match="n >= 4 f"):
        fit_distribution(features(20))
    bad = features(100)
    bad[3, 2] = np.nan
    with pytest.raises(InputError, match="not finite"):
        fit_distribution(bad)
