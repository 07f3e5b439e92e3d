import keras
import numpy as np
import pytest
import tensorflow as tf

from stm_keras.nn.layers import MapStandardization
from stm_keras.nn.wang2020 import Wang2020

RNG = np.random.default_rng(0)
SMALL = {"filters": 4, "attention_filters": 2, "kernel_size": 3}


def maps(batch=2, n_voltages=3, size=9):
    return RNG.normal(size=(batch, n_voltages, size, size)).astype(np.float32)


def network(**arguments):
    layer = Wang2020(**SMALL, **arguments)
    layer.build((None, None, None, None))
    return layer


@pytest.mark.parametrize("unit", [1e-12, 1.0, 1e9])
def test_standardization_takes_any_unit(unit):
    stack = (maps() * 3 + 40) * np.float32(unit)
    result = np.asarray(MapStandardization()(stack))
    np.testing.assert_allclose(result.mean((-2, -1)), 0, atol=1e-5)
    np.testing.assert_allclose(result.std((-2, -1)), 1, rtol=1e-4)


def test_standardization_leaves_out_what_was_not_measured():
    stack = maps(size=8)
    stack[:, :, 5:] = np.nan
    result = np.asarray(MapStandardization()(stack))
    alone = np.asarray(MapStandardization()(stack[:, :, :5]))
    np.testing.assert_allclose(result[:, :, :5], alone, rtol=1e-4, atol=1e-5)
    assert (result[:, :, 5:] == 0).all()


@pytest.mark.parametrize("value", [0.0, 7.5, np.nan])
def test_standardization_of_a_map_without_content(value):
    stack = np.full((1, 1, 4, 4), value, np.float32)
    assert (np.asarray(MapStandardization()(stack)) == 0).all()


@pytest.mark.parametrize("inner_product", ["pixel", "image"])
@pytest.mark.parametrize("n_voltages", [1, 3, 126])
def test_any_voltages_and_size(inner_product, n_voltages):
    layer = network(inner_product=inner_product)
    for height, width in ((9, 9), (7, 12)):
        stack = RNG.normal(size=(1, n_voltages, height, width))
        score, weights = layer(stack.astype(np.float32), return_weights=True)
        assert score.shape == (1, height, width)
        assert weights.shape[1] == n_voltages
        assert np.isfinite(score).all()


def test_order_of_voltages_does_not_count():
    layer, stack = network(), maps(n_voltages=6)
    np.testing.assert_allclose(
        layer(stack), layer(stack[:, ::-1]), rtol=1e-4, atol=1e-5
    )


def test_unit_and_offset_do_not_count():
    layer, stack = network(), maps()
    np.testing.assert_allclose(
        layer(stack), layer(3e-9 * stack + 2e-9), rtol=1e-3, atol=1e-4
    )


def test_a_pixel_beyond_reach_does_not_count():
    """With the standardisation held, S depends on `reach_px` pixels alone."""
    layer = network()
    layer.standardization = tf.identity
    stack = maps(size=15)
    changed = stack.copy()
    changed[..., 7, 7] += 1
    difference = np.abs(np.asarray(layer(stack) - layer(changed))).max(0)
    rows, cols = np.nonzero(difference > 0)
    assert np.abs(rows - 7).max() == layer.reach_px
    assert np.abs(cols - 7).max() == layer.reach_px


@pytest.mark.parametrize("inner_product", ["pixel", "image"])
def test_gradients_reach_every_weight(inner_product):
    layer = network(inner_product=inner_product)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(maps(), training=True) ** 2)
    gradients = tape.gradient(loss, layer.trainable_variables)
    for weight, gradient in zip(
        layer.trainable_variables, gradients, strict=True
    ):
        assert gradient is not None, weight.path
        if not weight.path.startswith("key/bias"):
            assert np.abs(gradient).max() > 0, weight.path


def test_config_round_trip():
    layer = network(inner_product="image")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    copy.set_weights(layer.get_weights())
    stack = maps()
    np.testing.assert_array_equal(layer(stack), copy(stack))
