import numpy as np
import pytest
import tensorflow as tf
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.tall import (
    CLIP_AT,
    clip_tall,
    robust_limits,
    strong_objects,
)
from stm_keras.training.augmentation import clipped

SIZE = 60
PIXEL = 0.2


def noise(seed=0, n_maps=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_maps, SIZE, SIZE)).astype(np.float32)


def maps_of(data):
    return ConductanceMaps(
        np.asarray(data, np.float32),
        np.linspace(0.01, 0.1, len(data)),
        (SIZE * PIXEL, SIZE * PIXEL),
    )


def disc(radius_nm, at=(30, 30)):
    row, col = np.indices((SIZE, SIZE))
    return np.hypot(row - at[0], col - at[1]) * PIXEL <= radius_nm


@pytest.mark.parametrize("sign", [-1, 1])
def test_a_narrow_tall_object_is_clipped_and_still_there(sign):
    data = noise()
    data[:, disc(0.6)] += sign * 60
    result = clip_tall(maps_of(data))
    assert np.isfinite(result.data).all()
    inside = np.abs(result.data[:, disc(0.6)])
    # Robust: the object hardly moves the limit.
    np.testing.assert_allclose(inside, CLIP_AT, rtol=0.15)
    outside = ~disc(0.6)
    np.testing.assert_array_equal(result.data[:, outside], data[:, outside])
    assert "clipped" in result.provenance[-1]


def test_a_wide_flat_top_is_not_measured():
    data = noise()
    data[0, disc(2.0)] += 60
    result = clip_tall(maps_of(data))
    assert np.isnan(result.data[:, disc(1.9)]).all()
    assert np.isfinite(result.data[:, ~disc(2.1)]).all()
    assert "wider than 2 nm not measured" in result.provenance[-1]


def test_cores_keep_their_shape():
    row, col = np.indices((SIZE, SIZE))
    core = -9 * np.exp(-((row - 20) ** 2 + (col - 33) ** 2) / 8)
    data = noise() * 0.3 + core
    # Of a map whose waves are one, a core ten times as high.
    rng = np.random.default_rng(1)
    data += np.cos(row * 0.8 + rng.uniform()) + np.cos(col * 0.7)
    data = data.astype(np.float32)
    np.testing.assert_array_equal(clip_tall(maps_of(data)).data, data)


@settings(deadline=None, max_examples=20)
@given(
    st.integers(0, 1000),
    st.floats(2, 30),
    st.floats(0, 0.9),
    st.sampled_from([1e-12, 1.0, 1e9]),
)
def test_training_clips_as_the_preparation_does(seed, level, missing, unit):
    rng = np.random.default_rng(seed)
    data = unit * rng.standard_t(1.5, (2, 12, 12)).astype(np.float32)
    data[rng.random(data.shape) < missing] = np.nan
    traced = clipped(tf.constant(data[None]), level).numpy()[0]
    for image, other in zip(data, traced, strict=True):
        low, high = robust_limits(image, level)
        expected = np.clip(image, low, high)
        if np.isfinite(low):
            np.testing.assert_allclose(other, expected, rtol=1e-5)
        np.testing.assert_array_equal(np.isnan(other), np.isnan(image))


def test_nothing_tall_and_nothing_measured():
    data = noise()
    result = clip_tall(maps_of(data))
    np.testing.assert_array_equal(result.data, data)
    assert result.provenance[-1] == "no tall objects to clip"
    half = np.zeros((4, 4))
    half[0, 0] = 1.0
    assert robust_limits(half, 5) == (-np.inf, np.inf)
    assert robust_limits(np.full((3, 3), np.nan), 5) == (-np.inf, np.inf)


def test_strong_objects_are_no_noise_and_have_flanks():
    data = noise()
    assert not strong_objects(data, 2.0).any()
    data[0, 10, 10] = 30
    data[1, 30, 20] = np.nan
    strong = strong_objects(data, 2.0)
    assert strong[8:13, 10].all()
    assert strong.sum() == 13
    assert strong_objects(data, 0.0).sum() == 1
