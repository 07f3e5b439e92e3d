import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.resampling import (
    is_square,
    resample,
    with_square_pixels,
)

_FACTORS = [0.31, 0.5, 0.93, 1.07, 1.6, 2.0, 2.37, 3.9]


def _maps(data, pixel=(1.0, 1.0)):
    data = np.asarray(data)
    data = data[np.newaxis] if data.ndim == 2 else data
    extent = data.shape[1] * pixel[0], data.shape[2] * pixel[1]
    return ConductanceMaps(data, np.zeros(len(data)), extent)


def _centres(n, n_in):
    """Places of the target's pixel centres in the input [px]."""
    return (np.arange(n) + 0.5) * n_in / n - 0.5


@pytest.mark.parametrize("factor", _FACTORS)
@settings(deadline=None, max_examples=8)
@given(row=st.floats(36, 54), col=st.floats(36, 44))
def test_a_blob_keeps_its_place(factor, row, col):
    height, width = 90, 80
    rows, cols = np.indices((height, width))
    size = 2.5 * max(1.0, factor)
    blob = np.exp(-((rows - row) ** 2 + (cols - col) ** 2) / (2 * size**2))
    data = resample(_maps(blob), factor).data[0].astype(np.float64)
    found = (
        data.sum(axis=1) @ _centres(data.shape[0], height) / data.sum(),
        data.sum(axis=0) @ _centres(data.shape[1], width) / data.sum(),
    )
    # What the frame's edges cut off from the blob moves its mean already.
    kept = (
        blob.sum(axis=1) @ np.arange(height) / blob.sum(),
        blob.sum(axis=0) @ np.arange(width) / blob.sum(),
    )
    np.testing.assert_allclose(found, kept, atol=0.02 * max(1.0, factor))


@pytest.mark.parametrize("factor", _FACTORS)
def test_waves_of_the_target_keep_amplitude_and_phase(factor):
    # 1.8 rad per pixel of the coarser grid: the top of the paper's 2k.
    n_in, wave = 120, 1.8 / max(1.0, factor)
    image = np.cos(wave * np.arange(n_in)) * np.ones((n_in, 1))
    data = resample(_maps(image), factor).data[0]
    expected = np.cos(wave * _centres(data.shape[1], n_in))
    inner = slice(8, -8)
    assert np.abs(data[:, inner] - expected[inner]).max() < 0.06


@pytest.mark.parametrize("factor", [2.37, 3.9, 6.0])
def test_what_the_target_cannot_show_does_not_alias(factor):
    n_in, wave = 240, min(np.pi, 1.6 * np.pi / factor)
    image = np.cos(wave * np.arange(n_in)) * np.ones((n_in, 1))
    data = resample(_maps(image), factor).data[0]
    assert np.abs(data[:, 8:-8]).max() < 0.02


@pytest.mark.parametrize("factor", _FACTORS)
def test_a_measured_frame_stays_measured(factor):
    data = np.random.default_rng(0).normal(size=(2, 41, 57)) + 5
    result = resample(_maps(data), factor)
    assert not np.isnan(result.data).any()
    np.testing.assert_allclose(result.data.mean(), data.mean(), atol=0.1)


@pytest.mark.parametrize("factor", _FACTORS)
def test_unmeasured_regions_are_neither_filled_nor_spread(factor):
    n = 80
    rng = np.random.default_rng(0)
    data = rng.normal(size=(n, n)) + 5
    data[30:50] = np.nan  # 20 lines
    data[60:, 70:] = np.nan
    result = resample(_maps(data), factor).data[0]
    target = result.shape[0]
    rows = _centres(target, n)
    reach = max(1.0, factor)
    cols = rows
    whole = (rows > 29.5) & (rows < 49.5)
    # A pixel is measured where half of it is: the border moves by rounding.
    safely_in = (rows > 29.5 + reach / 2) & (rows < 49.5 - reach / 2)
    assert np.isnan(result[safely_in]).all()
    outside = (rows < 29.5 - reach / 2) | (
        (rows > 49.5 + reach / 2) & (rows < 59.5 - reach / 2)
    )
    assert not np.isnan(result[outside]).any()
    left = cols < 69.5 - reach / 2
    assert not np.isnan(result[rows > 49.5 + reach / 2][:, left]).any()
    share = np.isnan(result[:, left]).all(axis=1).sum() / target
    assert abs(share - 20 / n) <= 1.01 / target
    assert whole.any()


def test_unmeasured_pixels_give_no_weight():
    data = np.full((60, 60), 3.0)
    data[0, 0] = 3.001  # a map of one value is refused
    data[20:31, 20:31] = np.nan
    for factor in _FACTORS:
        result = resample(_maps(data), factor).data
        np.testing.assert_allclose(result[~np.isnan(result)], 3.0, atol=2e-3)


def test_pixels_become_square_and_the_extent_stays():
    data = np.random.default_rng(0).normal(size=(40, 60))
    result = resample(_maps(data, pixel=(0.2, 0.1)), 0.15)
    assert result.extent_nm == (8.0, 6.0)
    assert result.shape == (1, 53, 40)
    np.testing.assert_allclose(result.pixel_nm, 0.15, rtol=0.01)
    assert "40 x 60 to 53 x 40 px (height x width)" in result.provenance[-1]
    same = resample(result, 0.15)
    np.testing.assert_array_equal(same.data, result.data)


@pytest.mark.parametrize(
    ("pixel_nm", "message"),
    [
        (0.0, "must be positive"),
        (-1.0, "must be positive"),
        (float("nan"), "must be positive"),
        (30.0, "smaller than 2 x 2 px"),
        (1e-4, "2 GiB"),
        (1e-300, "2 GiB"),
    ],
)
def test_unusable_pixels(pixel_nm, message):
    maps = _maps(np.random.default_rng(0).normal(size=(40, 40)))
    with pytest.raises(InputError, match=message):
        resample(maps, pixel_nm)


def _neighbours(image, axis):
    """Correlation of neighbouring pixels along an axis."""
    first = np.take(image, range(image.shape[axis] - 1), axis)
    second = np.take(image, range(1, image.shape[axis]), axis)
    return np.corrcoef(first.ravel(), second.ravel())[0, 1]


@pytest.mark.parametrize("unlike", [1.03, 1.05, 1.07, 1.3])
@pytest.mark.parametrize("axis", [0, 1])
def test_pixels_of_unlike_sides_are_brought_to_the_coarser(unlike, axis):
    noise = np.random.default_rng(3).normal(size=(1, 128, 128))
    extent = [12.8, 12.8]
    extent[axis] *= unlike
    maps = ConductanceMaps(noise, [0.1], tuple(extent))
    square = with_square_pixels(maps)
    assert is_square(square)
    assert not is_square(maps)
    # The axis of the coarser side keeps its pixels.
    assert square.shape[1 + axis] == 128
    assert max(square.pixel_nm) == pytest.approx(0.1 * unlike, rel=5e-3)
    np.testing.assert_allclose(square.extent_nm, extent)
    assert "warning: the sides of a pixel" in " ".join(square.provenance)
    # White noise stays white; at the finer side it would not.
    for along in (0, 1):
        assert abs(_neighbours(square.data[0], along)) < 0.02
    finer = resample(maps, 0.1).data[0]
    assert _neighbours(finer, axis) > 0.1


def test_a_wave_keeps_its_place_and_height_in_square_pixels():
    rows, cols = (np.arange(n) + 0.5 for n in (100, 110))
    x = cols * 0.2
    wave = np.cos(5 * x) * np.ones((100, 1)) + 1e-6 * rows[:, np.newaxis]
    maps = ConductanceMaps(wave[np.newaxis], [0.1], (100 * 0.22, 110 * 0.2))
    square = with_square_pixels(maps)
    inside = slice(8, -8)
    expected = np.cos(5 * (np.arange(square.shape[2]) + 0.5) * 0.22)
    np.testing.assert_allclose(
        square.data[0, 50, inside], expected[inside], atol=0.02
    )


def test_square_pixels_are_left_alone():
    maps = ConductanceMaps(np.arange(64.0).reshape(1, 8, 8), [0], (8, 8.1))
    assert with_square_pixels(maps) is maps
