"""Maps in odd units: the same numbers, and so the same answer."""

import numpy as np
import pytest

from stm_keras.maps import ConductanceMaps, finite_or_nan, in_range


@pytest.fixture
def values():
    return np.random.default_rng(0).normal(3, 1, size=(2, 20, 20))


@pytest.mark.parametrize("power", [-300, -40, -25, 25, 40, 300])
def test_a_power_of_ten_changes_nothing(values, power):
    maps = ConductanceMaps(values * 10.0**power, [0.1, 0.2], (5.0, 5.0))
    (note,) = maps.provenance
    assert note.startswith("values times 1e")
    ratio = maps.data / values.astype(np.float32)
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-5)
    assert 0.01 < np.median(np.abs(maps.data)) < 100
    read, notes = finite_or_nan(values * 10.0**power)
    np.testing.assert_allclose(read, maps.data, rtol=1e-5)
    assert notes == [note]


@pytest.mark.parametrize("power", [-15, -9, 0, 9, 15])
def test_usual_units_stay(values, power):
    maps = ConductanceMaps(values * 10.0**power, [0.1, 0.2], (5.0, 5.0))
    assert maps.provenance == ()
    np.testing.assert_array_equal(
        maps.data, (values * 10.0**power).astype(np.float32)
    )


def test_a_mark_of_no_data_does_not_decide(values):
    values = values * 1e-12
    values[0, :3] = 3.4e38
    scaled, notes = in_range(values)
    assert scaled is values
    assert not notes
    read, notes = finite_or_nan(np.where(values > 1, 1e300, values))
    assert np.isnan(read[0, :3]).all()
    assert len(notes) == 1


def test_single_precision(values):
    """Some bits are lost in so small numbers, but not the maps."""
    small = (values * 1e-35).astype(np.float32)
    maps = ConductanceMaps(small, [0.1, 0.2], (5.0, 5.0))
    ratio = maps.data / values
    np.testing.assert_allclose(ratio, ratio[0, 0, 0], rtol=1e-3)
