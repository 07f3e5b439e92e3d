import keras
import numpy as np
import pytest
import tensorflow as tf

from stm_keras.nn.context import Context
from stm_keras.nn.layers import RingEmbedding

RNG = np.random.default_rng(0)


def maps(batch=2, n_voltages=3, size=12):
    return RNG.normal(size=(batch, n_voltages, size, size)).astype(np.float32)


def rings(batch=2, n_voltages=3):
    return RNG.uniform(0.6, 2.2, (batch, n_voltages)).astype(np.float32)


@pytest.mark.parametrize("n_voltages", [1, 5, 126])
@pytest.mark.parametrize("size", [(3, 9), (16, 11)])
def test_any_voltages_and_size(network, n_voltages, size):
    stack = RNG.normal(size=(1, n_voltages, *size)).astype(np.float32)
    output, weights = network()(
        stack, rings(1, n_voltages), return_weights=True
    )
    assert output.shape == (1, *size, 5)
    assert weights.shape == (1, n_voltages, *size)
    np.testing.assert_allclose(np.sum(weights, axis=1), n_voltages, rtol=1e-4)
    assert np.isfinite(output).all()
    assert (np.asarray(output)[..., 3:] > 0).all()
    assert (np.abs(output)[..., 1:3] <= 1.5).all()


def test_order_of_maps_does_not_count_if_their_rings_go_along(network):
    layer, stack, ring = network(), maps(n_voltages=6), rings(2, 6)
    there = layer(stack, ring)
    back = layer(stack[:, ::-1], ring[:, ::-1])
    np.testing.assert_allclose(there, back, rtol=1e-4, atol=1e-4)


def test_ring_counts_and_unknown_is_none_of_them(network):
    layer, stack = network(), maps()
    unknown = layer(stack)
    for nothing in (np.zeros((2, 3)), np.full((2, 3), np.nan)):
        np.testing.assert_array_equal(
            layer(stack, nothing.astype(np.float32)), unknown
        )
    assert np.abs(np.asarray(layer(stack, rings()) - unknown)).max() > 1e-4


def test_embedding_tells_rings_apart():
    layer = RingEmbedding(8)
    layer.build((None, None))
    values = np.asarray(layer(np.array([[0.6, 1.4, 2.2, 0.0]], np.float32)))[0]
    distances = np.linalg.norm(values[:, None] - values[None], axis=-1)
    assert distances[~np.eye(4, dtype=bool)].min() > 0.01


@pytest.mark.parametrize("unit", [1e-12, 1e9])
def test_unit_and_offset_do_not_count(network, unit):
    layer, stack = network(), maps()
    scaled = (stack + 3) * np.float32(unit)
    np.testing.assert_allclose(
        layer(scaled), layer(stack), rtol=1e-2, atol=1e-2
    )


def test_unmeasured_pixels_and_maps(network):
    layer, stack = network(), maps()
    stack[:, :, 4:6] = np.nan
    stack[:, 1] = np.nan
    assert np.isfinite(layer(stack)).all()


def test_reach(network):
    """Without wave numbers no ring is painted or looked for."""
    layer, stack = network(), maps(1, 2, 41)
    # Twice the 8 px of the templates' radius, and the templates' answers.
    own = layer.reach_px - 3 * 8
    assert own == (1 + 1 + 2) + (1 + 1) + (1 + 1) + (1 + 1 + 2)
    output = np.asarray(layer(stack, standardised=True))
    stack[..., 20, 20] += 5
    changed = np.abs(np.asarray(layer(stack, standardised=True)) - output)
    touched = np.argwhere(changed.max(axis=(0, 3)) > 0)
    assert np.abs(touched - 20).max() == own


def test_in_training_the_first_look_answers_too(network):
    layer, stack, ring = network(), maps(), rings()
    output = layer(stack, ring, training=True)
    assert output.shape == (2, 12, 12, 10)
    np.testing.assert_allclose(
        output[..., :5], layer(stack, ring), rtol=1e-5, atol=1e-5
    )
    data = {"positions": np.array([[[3.0, 4.0]]] * 2, np.float32)}
    both, last, first = (
        np.asarray(layer.loss(part, data))
        for part in (output, output[..., :5], output[..., 5:])
    )
    np.testing.assert_allclose(both, last + 0.3 * first, rtol=1e-5)


def test_more_maps_than_training_shows_look_like_as_many(network):
    """Sixteen maps twice are told apart from sixteen by nothing."""
    layer, stack, ring = network(), maps(1, 16), rings(1, 16)
    twice = np.concatenate([stack, stack], 1), np.concatenate([ring, ring], 1)
    np.testing.assert_allclose(
        layer(*twice), layer(stack, ring), rtol=1e-3, atol=1e-3
    )


def test_before_training_impurities_are_rare(network):
    probability = tf.sigmoid(network()(maps())[..., 0])
    assert np.mean(probability) < 0.05


def test_round_trip_through_config_and_file(network, tmp_path):
    layer = network()
    inputs = keras.Input((None, None, None))
    model = keras.Model(inputs, layer(inputs))
    model.save(tmp_path / "context.keras")
    back = keras.saving.load_model(tmp_path / "context.keras", safe_mode=True)
    stack = maps()
    np.testing.assert_allclose(back(stack), model(stack), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "value"), [("filters", 0), ("dilations", ()), ("dilations", (0,))]
)
def test_sizes_that_make_no_sense(small, name, value):
    with pytest.raises(ValueError, match=f"`{name}` must be positive"):
        Context(**small | {name: value})
