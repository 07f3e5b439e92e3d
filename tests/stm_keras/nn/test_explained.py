from typing import Any

import numpy as np
import pytest

from stm_keras.nn.explained import WAVES, Explained

TOLD = np.array([1.0, 2.0], np.float32)
HELD = np.ones((2, 22, 24, 1), np.float32)


def noise(*shape):
    rng = np.random.default_rng(2)
    return rng.standard_normal(shape).astype(np.float32)


def explained(joint):
    layer = Explained(joint)
    layer.build((None, None, None, 3))
    return layer


@pytest.mark.parametrize("joint", [False, True])
def test_it_takes_nothing_off_where_nothing_is_likely(joint):
    layer = explained(joint)
    maps, features = noise(2, 22, 24), noise(2, 22, 24, 3)
    left, power = layer(maps, TOLD, features, 0 * HELD, HELD)
    np.testing.assert_array_equal(np.asarray(left)[..., 0], maps)
    assert left.shape[-1] == layer.channels
    assert (power is not None) == joint
    taken = np.asarray(layer(maps, TOLD, features, HELD, HELD)[0])[..., 0]
    assert np.abs(taken - maps).max() > 1e-3


def rings(layer, *places):
    amplitudes = np.zeros((2, 22, 24, 2 * len(WAVES)), np.float32)
    for number, (row, col) in enumerate(places):
        amplitudes[:, row, col, number % 2 :: 2] = 1
    return np.asarray(layer.templates.paint(amplitudes, TOLD))


def test_a_step_explains_likely_rings_without_learnt_amplitudes():
    layer = explained(True)
    kernel: Any = layer.amplitude.kernel
    kernel.assign(0 * kernel)
    maps = rings(layer, (8, 8), (11, 12))
    likely = np.zeros_like(HELD)
    likely[:, 8, 8] = likely[:, 11, 12] = 1
    left, _ = layer(maps, TOLD, 0 * noise(2, 22, 24, 3), likely, HELD)
    left = np.asarray(left)[..., 0]
    assert (left**2).sum() < 0.5 * (maps**2).sum()


def test_where_nothing_was_measured_no_ring_is_left_behind():
    layer = explained(True)
    held = HELD.copy()
    held[:, 6:11] = 0
    maps = rings(layer, (8, 8)) * held[..., 0]
    features = noise(2, 22, 24, 3)
    left, power = layer(maps, TOLD, features, HELD, held)
    assert not np.asarray(left)[:, 6:11, :, 0].any()
    assert np.isfinite(power).all()


def test_power_counts_an_impuritys_own_ring_and_no_other():
    """What was taken off is given back where it was, not at a neighbour."""
    layer = explained(True)
    maps = rings(layer, (8, 8), (8, 15))
    zero = 0 * noise(2, 22, 24, 2 * len(WAVES))
    whole = np.asarray(layer.power(maps, zero, TOLD))
    amplitudes = zero.copy()
    amplitudes[:, 8, 8, 0::2] = 1
    left = maps - np.asarray(layer.templates.paint(amplitudes, TOLD))
    power = np.asarray(layer.power(left, amplitudes, TOLD))
    np.testing.assert_allclose(power[:, 8, 8], whole[:, 8, 8], rtol=1e-3)
    alone = np.asarray(layer.power(rings(layer, (7, 7), (8, 15)), zero, TOLD))
    assert power[:, 8, 15].sum() < 1.05 * alone[:, 8, 15].sum()
