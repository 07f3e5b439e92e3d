import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.reader import read_maps
from stm_keras.preprocessing.cleaning import level_plane, mask_streaks


def _maps(data):
    return ConductanceMaps(data, np.zeros(len(data)), (5.0, 5.0))


def _waves():
    rows, cols = np.indices((64, 64))
    distance = np.hypot(rows - 30.3, cols - 34.6)
    noise = np.random.default_rng(0).normal(scale=0.05, size=(64, 64))
    core = 4 * np.exp(-(distance**2) / 8)
    return np.cos(0.7 * distance) / np.sqrt(1 + distance) + core + noise


def test_streaks_of_either_sign_are_masked_and_nothing_else():
    clean = _waves()
    image = clean.copy()
    image[10, 20:40] += 6
    image[45:47, 5:22] -= 6
    masked = mask_streaks(_maps(image[None]))
    gone = np.zeros((64, 64), dtype=bool)
    gone[10, 20:40] = gone[45:47, 5:22] = True
    np.testing.assert_array_equal(np.isnan(masked.data[0]), gone)
    assert masked.provenance[-1] == "streaks masked: map 0: 2 (54 px)"
    np.testing.assert_array_equal(
        masked.data[0][~gone], image.astype(np.float32)[~gone]
    )


def test_a_core_and_waves_are_no_streaks():
    masked = mask_streaks(_maps(_waves()[None]))
    assert masked.provenance[-1] == "no streaks found"


@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10**6), height=st.integers(2, 12))
def test_the_mask_only_grows(seed, height):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(2, height, 30))
    data[0, rng.integers(height), 3:20] += 50
    data[:, rng.random((height, 30)) < 0.2] = np.nan
    masked = mask_streaks(_maps(data)).data
    kept = ~np.isnan(masked)
    assert not np.isnan(data[kept]).any()
    np.testing.assert_array_equal(masked[kept], data.astype(np.float32)[kept])


def test_real_streaks(shared_file):
    """Seen in the picture: beside adatoms at 140 and 185, and at 11."""
    maps = read_maps(shared_file("readers/createc_ag111_100mV.dat"))
    gone = np.isnan(mask_streaks(level_plane(maps)).data[0])
    lines = set(np.flatnonzero(gone.any(axis=1)))
    assert {11, 140, 185} <= lines <= {9, 10, 11, 12, 139, 140, 141, 185, 186}
    assert gone.sum() < 60
