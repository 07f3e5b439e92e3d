import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import divide_by_i_over_v, normalise_each

_BIAS = np.array([-0.2, 0.1, 0.3])


def _maps(data, unit="S", bias=_BIAS):
    return ConductanceMaps(data, bias, (2.0, 2.0), channel="I", unit=unit)


def _power_law(exponent):
    """I = s V^p wherever the tip is: d ln I / d ln V = p."""
    height = np.random.default_rng(0).uniform(1e-10, 9e-10, (3, 8, 8))
    v = _BIAS[:, None, None]
    current = height * np.sign(v) * np.abs(v) ** exponent
    return exponent * current / v, current


def test_the_height_of_the_tip_cancels():
    conductance, current = _power_law(1.7)
    conductance[0, 2, 3] += 1e-9
    result = divide_by_i_over_v(_maps(conductance), _maps(current, "A"))
    expected = np.full((3, 8, 8), 1.7)
    expected[0, 2, 3] = result.data[0, 2, 3]
    np.testing.assert_allclose(result.data, expected, rtol=1e-5)
    assert result.unit == ""
    assert result.provenance[-1] == "divided by I/V (current: I)"


def test_too_little_current_is_not_measured():
    conductance, current = _power_law(1.0)
    conductance[1, 0, 0] += 1e-10
    current[0, 1, 1:4] = 0.0, 1e-14, 1e-9  # the last has the wrong sign
    conductance[0, 5, 5] = np.nan
    conductance[0, 0, 1] *= 2
    conductance[2, 0, 1] *= 2
    result = divide_by_i_over_v(_maps(conductance), _maps(current, "A"))
    gone = np.zeros((3, 8, 8), dtype=bool)
    gone[0, 1, 1:4] = gone[0, 5, 5] = True
    np.testing.assert_array_equal(np.isnan(result.data), gone)
    assert "3 pixels of too little current" in result.provenance[-1]


def test_a_missing_or_foreign_current_is_refused():
    conductance, current = _power_law(1.5)
    conductance[:, 0, 0] *= 2
    maps = _maps(conductance)
    with pytest.raises(InputError, match="needs the current"):
        divide_by_i_over_v(maps, None)
    with pytest.raises(InputError, match="current of the same maps"):
        divide_by_i_over_v(maps, _maps(current[:, :4], "A"))
    with pytest.raises(InputError, match="biases differ"):
        divide_by_i_over_v(maps, _maps(current, "A", bias=-_BIAS))
    zero = np.array([-0.1, 0.0, 0.1])
    with pytest.raises(InputError, match="map 1 was taken at 0 V"):
        divide_by_i_over_v(
            _maps(conductance, bias=zero), _maps(current, "A", bias=zero)
        )


@pytest.mark.parametrize("by", ["mean", "std"])
def test_factors_of_whole_maps_cancel(by):
    data = np.random.default_rng(1).normal(5, 1, (3, 8, 8))
    data[1, 3] = np.nan
    factors = np.array([1e-9, 3e-9, 1e-8])[:, None, None]
    scaled = normalise_each(_maps(data * factors), by)
    np.testing.assert_allclose(
        scaled.data, normalise_each(_maps(data), by).data, rtol=1e-5
    )
    spread = getattr(np, f"nan{by}")(scaled.data, axis=(1, 2))
    np.testing.assert_allclose(spread, 1, rtol=1e-5)
    np.testing.assert_array_equal(np.isnan(scaled.data), np.isnan(data))


def test_a_mean_of_nothing_is_refused():
    data = np.random.default_rng(1).normal(5, 1, (3, 8, 8))
    data[2] -= data[2].mean()
    with pytest.raises(InputError, match="map 2 has a mean near zero"):
        normalise_each(_maps(data), "mean")
