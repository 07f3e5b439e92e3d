from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage

from stm_keras.io.reader import read_maps
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import CleaningOptions, clean
from stm_keras.preprocessing.terraces import find_terraces, level_terraces
from stm_keras.simulation.surface_kinds import named_kind
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)

SIZE = 64
PIXEL = 0.25


def waves(seed=0, n_maps=2):
    """Isotropic waves of a wave number of 1 rad/px, of spread 1."""
    rng = np.random.default_rng(seed)
    maps = []
    for _ in range(n_maps):
        angles = rng.uniform(0, 2 * np.pi, 12)
        phases = rng.uniform(0, 2 * np.pi, 12)
        row, col = np.indices((SIZE, SIZE))
        wave = sum(
            np.cos(np.sin(a) * row + np.cos(a) * col + p)
            for a, p in zip(angles, phases, strict=True)
        )
        maps.append(wave / wave.std())
    return np.array(maps)


def staircase(angle, places, height):
    """Terraces `height` apart, steps at distances from the middle."""
    row, col = np.indices((SIZE, SIZE)) - (SIZE - 1) / 2
    across = np.sin(angle) * row + np.cos(angle) * col
    steps = sum((across > place).astype(float) for place in places)
    return height * ndimage.gaussian_filter(steps, 0.7)


def maps_of(data):
    return ConductanceMaps(
        np.asarray(data, np.float32),
        np.linspace(0.01, 0.1, len(data)),
        (SIZE * PIXEL, SIZE * PIXEL),
        unit="m",
    )


@settings(deadline=None, max_examples=15)
@given(
    st.floats(0, 2 * np.pi),
    st.floats(20, 200),
    st.floats(-8, 8),
    st.tuples(st.floats(-2, 2), st.floats(-2, 2)),
    st.sampled_from([1e-12, 1.0, 1e6]),
)
def test_two_terraces_come_to_one_height(angle, height, place, tilt, unit):
    flat = waves()
    row, col = np.indices((SIZE, SIZE)) / SIZE
    plane = 10 * (tilt[0] * row + tilt[1] * col)
    data = unit * (flat + plane + staircase(angle, [place], height))
    found = find_terraces(data, (PIXEL, PIXEL))
    assert found is not None
    assert found.labels.max() == 2
    np.testing.assert_allclose(
        np.abs(found.heights[:, 1]), unit * height, rtol=0.1
    )
    cleaned = clean(maps_of(data), CleaningOptions(clip=False)).data / unit
    kept = ~np.isnan(cleaned)
    assert kept.mean() > 0.7
    # What is left are the waves, a little tilted by the fit.
    for image, wave, mask in zip(cleaned, flat, kept, strict=True):
        assert np.corrcoef(image[mask], wave[mask])[0, 1] > 0.9
        assert image[mask].std() < 1.6


def test_several_terraces_and_what_is_said():
    data = waves() + staircase(0.4, [-12, 10], 50.0)
    levelled = level_terraces(maps_of(data))
    assert "3 terraces brought to one height" in levelled.provenance[-1]
    assert "not measured" in levelled.provenance[-1]
    assert np.isnan(levelled.data).all(axis=0).any()


@pytest.mark.parametrize(
    "kind", ["plain", "herringbone 3 x", "step", "tall protrusions", "wall"]
)
def test_surfaces_without_terraces_are_left_alone(kind):
    config = named_kind(
        kind, replace(named_virtual("medium", "typical"), bias_v=(-0.1, 0.0))
    )
    scene = simulate_virtual(config, np.random.default_rng([5, 6]))
    assert find_terraces(scene.maps, (0.47, 0.47)) is None


def test_maps_without_terraces_keep_their_values():
    maps = maps_of(waves())
    np.testing.assert_array_equal(level_terraces(maps).data, maps.data)


def test_a_part_that_is_missing_is_no_step():
    data = waves()
    data[:, 20:30] = np.nan
    assert find_terraces(data, (PIXEL, PIXEL)) is None


def test_terraces_beside_a_part_that_is_missing():
    data = waves() + staircase(0.0, [3], 60.0)
    data[:, 44:] = np.nan
    found = find_terraces(data, (PIXEL, PIXEL))
    assert found is not None
    assert abs(found.heights[0, 1]) == pytest.approx(60, rel=0.1)


@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 40, 12)])
def test_frames_too_small_to_tell(shape):
    assert find_terraces(np.zeros(shape), (1.0, 1.0)) is None


def test_nothing_measured_and_nothing_there():
    assert find_terraces(np.full((1, 32, 32), np.nan), (1.0, 1.0)) is None
    assert find_terraces(np.zeros((2, 32, 32)), (1.0, 1.0)) is None


def test_a_real_step_of_gold(shared_file):
    path = shared_file("au111/Au111-R1_228-M-Xp-ZSmTopo.nc")
    found = find_terraces(read_maps(path).data, (0.133, 0.133))
    assert found is not None
    assert found.labels.max() == 2
    # 0.2355 nm between layers of Au(111); the scanner's scale is its own.
    assert abs(found.heights[0, 1]) == pytest.approx(0.2355e-9, rel=0.1)
