import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.cleaning import level_lines, level_plane, mask_bad_lines
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.reader import read_maps

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


def test_bad_lines_are_masked_and_named():
    data = _noise(2, 64, 64)
    data[0, 20:23] *= 12
    data[0, 40] = 0.5
    data[0, 50:54] = np.nan
    result = mask_bad_lines(_maps(data))
    gone = np.flatnonzero(np.isnan(result.data[0]).all(axis=1))
    assert {20, 21, 22, 40, 50, 51, 52, 53} <= set(gone)
    # Noise so strong reaches into the curvature of the next two lines.
    assert set(gone) <= {*range(18, 25), 40, 50, 51, 52, 53}
    assert not np.isnan(result.data[1]).any()
    note = result.provenance[-1]
    assert "map 0: lines 50-53 not measured" in note
    assert "map 0: lines 40 dead" in note
    assert "noisy" in note


@pytest.mark.parametrize("offsets", [0.0, 30.0])
def test_good_lines_are_left_alone(offsets):
    data = _noise(20, 64, 64, seed=3) + offsets * _noise(20, 64, 1)
    # Impurities, and a step where the noise grows for good.
    data[:10, 30:33, 10:13] += 40
    data[10:, 32:] *= 3
    result = mask_bad_lines(_maps(data))
    assert np.isnan(result.data).mean() < 0.002


def test_small_maps_are_left_alone():
    data = _noise(8, 8)
    data[3] *= 100
    result = mask_bad_lines(_maps(data))
    assert result.provenance[-1] == "no bad lines found"


def test_real_noisy_band(shared_file):
    maps = mask_bad_lines(read_maps(shared_file("cu111_co/Topo015.sxm")))
    gone = np.flatnonzero(np.isnan(maps.data[0]).all(axis=1))
    assert gone.size
    assert set(gone) <= set(range(210, 222))
    quiet = mask_bad_lines(read_maps(shared_file("cu111_co/Topo102.sxm")))
    assert quiet.mask.all()


def test_lines_beside_a_gap_are_not_noisy():
    """Waves jump over the gap; without it no line stands out."""
    rows, cols = np.indices((128, 128))
    image = np.cos(0.35 * rows + 0.35 * cols)
    image += 0.02 * np.random.default_rng(0).normal(size=image.shape)
    image[40:46] = np.nan
    maps = ConductanceMaps(image[None], np.array([0.0]), (20.0, 20.0))
    cleaned = mask_bad_lines(maps)
    assert "noisy" not in cleaned.provenance[-1]
    np.testing.assert_array_equal(
        np.isnan(cleaned.data[0]).all(axis=1), np.isnan(image).all(axis=1)
    )
