import numpy as np
import pytest

from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.reader import read_maps
from stm_keras.preprocessing.cleaning import mask_bad_lines


def _maps(data):
    data = np.asarray(data)
    data = data[np.newaxis] if data.ndim == 2 else data
    return ConductanceMaps(data, np.zeros(len(data)), (3.0, 4.0))


def _noise(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


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
