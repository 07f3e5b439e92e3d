import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.reader import read_maps
from stm_keras.preprocessing.cleaning import correct_tip_jumps, find_tip_jumps


def _maps(data):
    return ConductanceMaps(data, np.zeros(len(data)), (5.0, 5.0), unit="nS")


def _surface(seed=0):
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((64, 64))
    tilt = 0.05 * rows - 0.02 * cols
    lines = 0.1 * rng.normal(size=(64, 1))
    waves = np.cos(0.8 * np.hypot(rows - 20, cols - 40))
    return waves + tilt + lines + 0.2 * rng.normal(size=(64, 64))


@pytest.mark.parametrize("offset", [3.0, -2.0])
def test_a_jump_is_found_told_and_taken_out(offset):
    clean = _surface()
    data = np.stack([clean, _surface(1)])
    data[0, 37:] += offset
    result = correct_tip_jumps(_maps(data))
    note = result.provenance[-1]
    assert note.startswith("warning: the tip jumped")
    assert "map 0: line 37 by" in note
    assert "nS" in note
    assert "map 1" not in note
    # The offset itself is known as well as a line's own.
    assert np.abs(result.data[0] - clean).max() < 0.6


def test_two_jumps_and_a_change_of_contrast():
    image = _surface()
    image[40:] = 8 + 1.8 * (image[40:] - image[40:].mean())
    image[20:] -= 4
    jumps = find_tip_jumps(image)
    assert [jump.line for jump in jumps] == [20, 40]
    assert jumps[1].contrast > 1.4
    assert 0.7 < jumps[0].contrast < 1.4
    assert "(left)" in correct_tip_jumps(_maps(image[None])).provenance[-1]


@pytest.mark.parametrize("seed", range(20))
def test_lines_noise_and_bad_lines_are_no_jumps(seed):
    image = _surface(seed)
    image[30] += 20
    image[50:52] -= 10
    assert find_tip_jumps(image) == []


def test_a_jump_across_unmeasured_lines_is_found():
    image = _surface()
    image[36:] += 5
    image[33:36] = np.nan
    (jump,) = find_tip_jumps(image)
    assert jump.line == 36


@settings(deadline=None, max_examples=25)
@given(
    seed=st.integers(0, 10**6),
    height=st.integers(2, 40),
    share=st.floats(0, 0.9),
)
def test_what_is_not_measured_stays_so(seed, height, share):
    rng = np.random.default_rng(seed)
    data = rng.normal(size=(1, height, 12))
    data[0, height // 2 :] += 30
    data[0, rng.random((height, 12)) < share] = np.nan
    data[0, 0, :2] = 0.0, 1.0
    result = correct_tip_jumps(_maps(data)).data
    np.testing.assert_array_equal(np.isnan(result), np.isnan(data))


@pytest.mark.parametrize(
    "name",
    [
        "cu111_co/Topo015.sxm",
        "cu111_co/Topo102.sxm",
        "readers/createc_ag111_100mV.dat",
    ],
)
def test_real_files_without_jumps(shared_file, name):
    assert find_tip_jumps(read_maps(shared_file(name)).data[0]) == []
