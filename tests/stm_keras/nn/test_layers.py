import keras
import numpy as np
import pytest
import tensorflow as tf

from stm_keras.nn import layers
from stm_keras.nn.layers import VoltageAttention


def eq1(query, key, value, inner_product):
    """Eq. 1 of arXiv:2006.15898 as it is written, then the sum over i.

    Arrays [V, H, W, d] of one image.
    """
    n_voltages, height, width, _ = query.shape
    total = np.zeros(value.shape[1:])
    for i in range(n_voltages):
        z = np.zeros((height, width))
        v_tilde = np.zeros(value.shape[1:])
        for j in range(n_voltages):
            product = (query[i] * key[j]).sum(axis=-1)
            if inner_product == "image":
                product = np.full((height, width), product.sum())
            z += np.exp(product)
            v_tilde += value[j] * np.exp(product)[..., None]
        total += v_tilde / z[..., None]
    return total


def tensors(rng, batch=2, n_voltages=5, size=(4, 3), d=3, d_v=6, scale=0.5):
    shape = (batch, n_voltages, *size)
    query, key, value = (
        scale * rng.normal(size=(*shape, n)).astype(np.float32)
        for n in (d, d, d_v)
    )
    return query, key, value


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("inner_product", ["pixel", "image"])
def test_is_eq_1(inner_product, training):
    arrays = tensors(np.random.default_rng(0))
    total, _ = VoltageAttention(inner_product)(*arrays, training=training)
    expected = [eq1(*(a[b] for a in arrays), inner_product) for b in (0, 1)]
    np.testing.assert_allclose(total, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("inner_product", ["pixel", "image"])
@pytest.mark.parametrize("n_voltages", [1, 40, 126])
def test_any_number_of_voltages(n_voltages, inner_product):
    arrays = tensors(
        np.random.default_rng(1), batch=1, n_voltages=n_voltages, size=(3, 2)
    )
    total, weights = VoltageAttention(inner_product)(*arrays)
    expected = eq1(*(a[0] for a in arrays), inner_product)
    np.testing.assert_allclose(total[0], expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(np.sum(weights, axis=1), n_voltages, rtol=1e-4)


@pytest.mark.parametrize("inner_product", ["pixel", "image"])
def test_order_of_voltages_does_not_count(inner_product):
    rng = np.random.default_rng(2)
    arrays = tensors(rng, n_voltages=7)
    order = rng.permutation(7)
    layer = VoltageAttention(inner_product)
    total, weights = layer(*arrays)
    other, shuffled = layer(*(a[:, order] for a in arrays))
    np.testing.assert_allclose(total, other, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(
        np.asarray(weights)[:, order], shuffled, rtol=1e-5
    )


def test_equal_maps_count_equally():
    rng = np.random.default_rng(3)
    query, key, value = (np.repeat(a, 4, axis=1) for a in tensors(rng, 1, 1))
    total, weights = VoltageAttention()(query, key, value)
    np.testing.assert_allclose(weights, 1, rtol=1e-5)
    np.testing.assert_allclose(total, 4 * value[:, 0], rtol=1e-5)


def test_blocks_change_nothing(monkeypatch):
    arrays = tensors(np.random.default_rng(4), n_voltages=50)
    whole, _ = VoltageAttention()(*arrays)
    for elements in (1, 24 * 50 * 7, 24 * 50 * 49):
        monkeypatch.setattr(layers, "_BLOCK_ELEMENTS", elements)
        blocks, _ = VoltageAttention()(*arrays)
        np.testing.assert_allclose(whole, blocks, rtol=1e-5, atol=1e-5)


def test_never_forms_voltages_squared_times_channels():
    """Every tensor of the traced graph stays below V x V x d_v."""
    n_voltages, pixels, d_v = 33, 20, 64
    shape = (1, n_voltages, 4, 5)

    @tf.function
    def run(q, k, v):
        return VoltageAttention()(q, k, v, training=True)

    spec = [tf.TensorSpec((*shape, d)) for d in (2, 2, d_v)]
    sizes = [
        tensor.shape.num_elements() or 0
        for operation in run.get_concrete_function(*spec).graph.get_operations()
        for tensor in operation.outputs
    ]
    assert max(sizes) >= n_voltages**2 * pixels  # the logits are there
    assert max(sizes) < n_voltages**2 * d_v * pixels / 2


def test_large_logits_stay_finite():
    query, key, value = tensors(np.random.default_rng(5), scale=200.0)
    total, weights = VoltageAttention("image")(query, key, value)
    assert np.isfinite(total).all()
    assert np.isfinite(weights).all()


def test_config_round_trip_and_bad_argument():
    layer = VoltageAttention("image")
    copy = keras.saving.deserialize_keras_object(
        keras.saving.serialize_keras_object(layer)
    )
    assert copy.inner_product == "image"
    with pytest.raises(ValueError, match="inner_product='row'"):
        VoltageAttention("row")  # pyright: ignore[reportArgumentType]
