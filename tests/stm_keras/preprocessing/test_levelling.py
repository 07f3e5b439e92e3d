import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import (
    level_line_differences,
    level_lines,
    level_plane,
    level_quadratic,
)

_ROWS, _COLS = np.indices((30, 40))


def _maps(data):
    data = np.asarray(data)
    data = data[np.newaxis] if data.ndim == 2 else data
    return ConductanceMaps(data, np.zeros(len(data)), (3.0, 4.0))


def _noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


@settings(deadline=None, max_examples=25)
@given(
    slopes=st.tuples(*[st.floats(-50, 50)] * 3),
    scale=st.sampled_from([1e-12, 1.0, 1e6]),
)
def test_any_plane_goes_and_the_rest_stays(slopes, scale):
    clean = level_plane(_maps(_noise(2, 30, 40) * scale))
    tilt = slopes[0] + slopes[1] * _ROWS / 30 + slopes[2] * _COLS / 40
    tilted = level_plane(_maps(clean.data + tilt * scale))
    np.testing.assert_allclose(
        tilted.data / scale, clean.data / scale, atol=2e-5
    )
    assert tilted.provenance[-1] == "plane subtracted"


def test_plane_is_fitted_to_measured_pixels_alone():
    data = 5 + 3 * _ROWS - 2 * _COLS + 1e-3 * _noise(30, 40)
    data[10:15] = np.nan
    data[:, :3] = np.nan
    levelled = level_plane(_maps(data)).data[0]
    np.testing.assert_array_equal(np.isnan(levelled), np.isnan(data))
    assert np.nanmax(np.abs(levelled)) < 0.01


def test_nothing_but_a_plane_or_line_offsets_is_refused():
    with pytest.raises(InputError, match=r"map 0.*flat"):
        level_plane(_maps(1e-8 + 1e-11 * _ROWS - 2e-11 * _COLS))
    with pytest.raises(InputError, match=r"map 0.*flat"):
        level_lines(_maps(_noise(30, 1) + 0 * _COLS))


def test_line_offsets_go_and_the_median_of_each_line_is_zero():
    waves = np.cos(_COLS * 0.9)
    offsets = _noise(30, 1) * 20
    levelled = level_lines(_maps(waves + offsets)).data
    expected = waves - np.median(waves, axis=1, keepdims=True)
    np.testing.assert_allclose(levelled[0], expected, atol=1e-5)
    again = level_lines(_maps(levelled)).data
    np.testing.assert_allclose(again, levelled, atol=1e-6)


def test_unmeasured_lines_stay_so_while_levelling():
    data = _noise(30, 40)
    data[5:9] = np.nan
    data[12, ::2] = np.nan
    levelled = level_lines(_maps(data)).data[0]
    np.testing.assert_array_equal(np.isnan(levelled), np.isnan(data))


@settings(deadline=None, max_examples=25)
@given(bend=st.tuples(*[st.floats(-50, 50)] * 6))
def test_any_polynomial_of_second_order_goes(bend):
    clean = level_quadratic(_maps(_noise(30, 40)))
    row, col = _ROWS / 30, _COLS / 40
    terms = (1, row, col, row**2, row * col, col**2)
    bent = clean.data + sum(b * t for b, t in zip(bend, terms, strict=True))
    np.testing.assert_allclose(
        level_quadratic(_maps(bent)).data, clean.data, atol=1e-4
    )


def test_differences_find_offsets_where_impurities_cover_most_of_a_line():
    rng = np.random.default_rng(4)
    surface = np.zeros((30, 40))
    # Round, and wide: the medians of its middle lines are its own.
    rows, cols = np.indices(surface.shape)
    surface[(rows - 14) ** 2 + (cols - 18) ** 2 < 12**2] = 30.0
    offsets = rng.normal(size=(30, 1)) * 5
    rows = np.arange(30)
    offsets[:, 0] -= np.polyval(np.polyfit(rows, offsets[:, 0], 1), rows)
    image = surface + offsets + 0.01 * rng.normal(size=surface.shape)
    by_differences = level_line_differences(_maps(image)).data[0]
    by_medians = level_lines(_maps(image)).data[0]
    wanted = surface - np.median(surface)
    tilt = np.polyfit(rows, (by_differences - wanted).mean(axis=1), 1)
    assert np.abs(by_differences - wanted).max() < 0.2
    assert abs(tilt[0]) < 0.01
    assert np.abs(by_medians - wanted).max() > 20


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), share=st.floats(0, 0.6))
@pytest.mark.parametrize(
    "step", [level_plane, level_quadratic, level_lines, level_line_differences]
)
def test_levelling_keeps_what_is_not_measured(step, seed, share):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(2, 30, 40))
    gone = rng.random((30, 40)) < share
    gone[rng.integers(30)] = True
    data[:, gone] = np.nan
    levelled = step(_maps(data)).data
    np.testing.assert_array_equal(np.isnan(levelled), np.isnan(data))
