"""A single pixel is never an impurity; a core covers its neighbours."""

import numpy as np
import pytest

from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import CleaningOptions, clean
from stm_keras.preprocessing.hot_pixels import hot_pixels, mask_hot_pixels

PLACES = ((0, 0), (0, 20), (17, 31), (39, 39), (25, 0))


def noise(seed, noise=1.0):
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((40, 40))
    waves = np.cos(0.9 * np.hypot(rows - 12.3, cols - 20.1))
    return (waves + noise * rng.normal(size=(40, 40))).astype(np.float32)


@pytest.mark.parametrize("height", [1e6, -1e6, 100, 1e12])
@pytest.mark.parametrize("place", PLACES)
def test_one_is_found(height, place):
    image = noise(0)
    image[place] += height
    assert np.argwhere(hot_pixels(image)).tolist() == [list(place)]


def test_many_are_found_and_counted():
    image = noise(1)
    for place in PLACES:
        image[place] = 1e6
    maps = ConductanceMaps([image, noise(2)], [0.1, 0.2], (10.0, 10.0))
    cleaned = mask_hot_pixels(maps)
    assert np.isnan(cleaned.data[0]).sum() == len(PLACES)
    assert not np.isnan(cleaned.data[1]).any()
    assert cleaned.provenance[-1].endswith("as not measured: map 0: 5 px")
    assert cleaned.provenance[-1].startswith("warning:")


def test_they_are_gone_before_a_plane_is_fitted():
    image = noise(3)
    hot = image.copy()
    hot[20, 7] = 1e6
    one = ConductanceMaps([image], [0.1], (10.0, 10.0))
    other = ConductanceMaps([hot], [0.1], (10.0, 10.0))
    levelled = [clean(m, CleaningOptions()).data[0] for m in (one, other)]
    assert np.isnan(levelled[1][20, 7])
    levelled[0][20, 7] = np.nan
    np.testing.assert_allclose(*levelled, atol=0.01)


@pytest.mark.parametrize("width_px", [1.0, 1.3, 2.0])
@pytest.mark.parametrize("height", [50, 300, 1e6])
@pytest.mark.parametrize("level", [0.0, 1e-3, 1.0])
def test_a_narrow_core_stays(width_px, height, level):
    """Full width at half maximum, at every place on the pixel grid."""
    rng = np.random.default_rng(4)
    rows, cols = np.indices((40, 40))
    for number in range(50):
        row, col = rng.uniform(2, 37, 2)
        if not number:
            row, col = 20.0, 20.0  # in the middle of a pixel: the hardest
        squared = (rows - row) ** 2 + (cols - col) ** 2
        core = height * np.exp(-4 * np.log(2) * squared / width_px**2)
        for sign in (1, -1):
            image = noise(number, level) + sign * core
            assert not hot_pixels(image.astype(np.float32)).any()


@pytest.mark.parametrize("number", range(20))
def test_noise_stays(number):
    rng = np.random.default_rng(number)
    images = [
        rng.normal(size=(64, 64)),
        rng.standard_t(4, size=(64, 64)),  # with tails
        np.cumsum(rng.normal(size=(64, 64)), axis=1),
        np.round(rng.normal(size=(64, 64)), 1),  # in steps
    ]
    for image in images:
        assert not hot_pixels(image.astype(np.float32)).any()


def test_two_beside_each_other_stay():
    image = noise(5)
    image[10, 10] = image[10, 11] = 1e6
    assert not hot_pixels(image).any()


def test_gaps_and_what_cannot_be_judged():
    image = noise(6)
    image[5:9] = np.nan
    image[9, 4] = 1e6  # at the edge of the gap
    assert np.argwhere(hot_pixels(image)).tolist() == [[9, 4]]
    for odd in (
        np.full((9, 9), np.nan, np.float32),
        np.zeros((9, 9), np.float32),
        np.zeros((2, 9), np.float32),
    ):
        assert not hot_pixels(odd).any()
