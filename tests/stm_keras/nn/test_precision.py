"""Mixed precision: convolutions in 16 bits, all that must be exact in 32."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from stm_keras.models.card import read_card, write_card, write_checksums
from stm_keras.models.export import export_model, load_weights
from stm_keras.nn.model import context, in_float32, wang2020
from tests.stm_keras.nn.conftest import SMALL

POLICIES = ["mixed_bfloat16", "mixed_float16"]


def little(kind, dtype=None):
    keras.utils.set_random_seed(1)
    if kind == "context":
        return context(0.0, dtype, **SMALL)
    return wang2020(0.0, dtype, filters=4, attention_filters=2, kernel_size=3)


def batch(size=12):
    rng = np.random.default_rng(0)
    label = np.zeros((2, size, size), np.float32)
    label[:, 3, 4] = 1
    return {
        "maps": rng.normal(size=(2, 3, size, size)).astype(np.float32),
        "ring": np.full((2, 3), 1.2, np.float32),
        "positions": np.array([[[3.0, 4.0]]] * 2, np.float32),
        "label": label,
    }


@pytest.mark.parametrize("kind", ["context", "wang2020"])
@pytest.mark.parametrize("policy", POLICIES)
def test_the_same_answer_but_for_rounding(kind, policy):
    data = batch()
    exact, rounded = little(kind), little(kind, policy)
    for one, other in zip(
        exact.get_weights(), rounded.get_weights(), strict=True
    ):
        assert other.dtype == np.float32
        np.testing.assert_array_equal(one, other)
    answers = [model(data["maps"], data["ring"]) for model in (exact, rounded)]
    assert answers[1].dtype == tf.float32
    near = np.abs(answers[0] - answers[1])
    assert 0 < near.max() < 0.05 * np.ptp(answers[0])


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["context", "wang2020"])
@pytest.mark.parametrize("policy", POLICIES)
def test_it_learns_and_is_stored_and_leaves_in_float32(kind, policy, tmp_path):
    data = batch()
    model = little(kind, policy)
    model.compile(optimizer=keras.optimizers.Adam(3e-3))
    steps = tf.data.Dataset.from_tensors(data).repeat()
    history = model.fit(
        steps, steps_per_epoch=30, epochs=2, verbose=0, shuffle=False
    )
    first, last = history.history["loss"]
    assert last < first
    path = tmp_path / "model.keras"
    model.save(path)
    again = keras.saving.load_model(path)
    assert again.network.dtype_policy.name == policy
    np.testing.assert_allclose(
        again(data["maps"], data["ring"]), model(data["maps"], data["ring"])
    )
    plain = in_float32(again)
    reference = little(kind)
    reference.set_weights(again.get_weights())
    np.testing.assert_array_equal(
        plain(data["maps"], data["ring"]), reference(data["maps"], data["ring"])
    )


def test_what_float16_cannot_hold_is_scaled():
    """Keras scales the loss, so that small gradients do not become 0."""
    model = little("context", "mixed_float16")
    model.compile(optimizer=keras.optimizers.Adam(1e-3))
    assert isinstance(model.optimizer, keras.optimizers.LossScaleOptimizer)
    exact = little("context")
    exact.compile(optimizer=keras.optimizers.Adam(1e-3))
    data = batch()
    losses = [
        float(
            m.train_step({k: tf.constant(v) for k, v in data.items()})["loss"]
        )
        for m in (exact, model)
    ]
    assert losses[1] == pytest.approx(losses[0], rel=0.02)


def test_a_global_policy_is_taken():
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy("mixed_bfloat16")
    try:
        model = little("context")
    finally:
        keras.config.set_dtype_policy(before)
    assert model.network.decoder.join.compute_dtype == "bfloat16"
    assert model.network.decoder.head.compute_dtype == "float32"
    assert model(batch()["maps"], batch()["ring"]).dtype == tf.float32


def test_an_export_computes_in_float32(little_context, tmp_path):
    """Other tools know no policy of Keras's."""
    stored = tmp_path / "stored"
    stored.mkdir()
    before = load_weights(little_context)
    config = before.network.get_config() | {"dtype": "mixed_bfloat16"}
    network = type(before.network).from_config(config)
    model = type(before)(network, dtype="mixed_bfloat16")
    model.build((None,) * 4)
    model.set_weights(before.get_weights())
    model.save(stored / "model.keras")
    write_card(read_card(little_context), stored)
    write_checksums(stored)
    assert load_weights(stored).network.dtype_policy.name == "float32"
    (saved,) = export_model(stored, tmp_path / "out", "saved-model")
    graphs = [
        function.graph
        for function in tf.saved_model.load(str(saved)).signatures.values()
    ]
    dtypes = {
        tensor.dtype
        for graph in graphs
        for operation in graph.get_operations()
        for tensor in operation.outputs
    }
    assert tf.float32 in dtypes
    assert not dtypes & {tf.bfloat16, tf.float16}
