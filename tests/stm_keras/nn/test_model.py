import keras
import numpy as np
import pytest
import tensorflow as tf

from stm_keras.nn.losses import cross_entropy, entropy
from stm_keras.nn.model import context, wang2020

SMALL = {"filters": 4, "attention_filters": 2, "kernel_size": 3}


def batch(rng, n=4, n_voltages=3, size=8):
    maps = rng.normal(size=(n, n_voltages, size, size)).astype(np.float32)
    label = np.zeros((n, size, size), np.float32)
    positions = rng.integers(0, size, (n, 1, 2))
    for i, (row, col) in enumerate(positions[:, 0]):
        label[i, row, col] = 1
    return {
        "maps": maps,
        "label": label,
        "positions": positions.astype(np.float32),
        "experiment": rng.normal(size=maps.shape).astype(np.float32),
    }


def dataset(data, drop=()):
    kept = {k: v for k, v in data.items() if k not in drop}
    return tf.data.Dataset.from_tensors(kept).repeat()


def model(alpha=0.0, rate=1e-2, seed=0):
    keras.utils.set_random_seed(seed)
    finder = wang2020(alpha, **SMALL)
    finder.compile(optimizer=keras.optimizers.Adam(rate))
    return finder


def fit(finder, data, steps, drop=()):
    history = finder.fit(
        dataset(data, drop),
        steps_per_epoch=1,
        epochs=steps,
        verbose=0,
        shuffle=False,
    )
    return history.history


def test_one_step_has_the_losses_of_the_equations():
    data = batch(np.random.default_rng(0))
    finder = model(alpha=0.03, rate=1e-12)
    history = fit(finder, data, 1)
    l0 = np.mean(cross_entropy(data["label"], finder(data["maps"])))
    lreg = np.mean(entropy(finder(data["experiment"])))
    assert history["l0"][0] == pytest.approx(l0, rel=1e-4)
    assert history["lreg"][0] == pytest.approx(lreg, rel=1e-4)
    assert history["loss"][0] == pytest.approx(l0 + 0.03 * lreg, rel=1e-4)


def test_training_learns_a_batch_by_heart():
    data = batch(np.random.default_rng(1))
    history = fit(model(), data, 60, drop=("experiment",))
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    assert "lreg" not in history


def test_entropy_loss_alone_lowers_the_entropy_of_the_experiment():
    data = batch(np.random.default_rng(2))
    # Without information in the label, L0 has no gradient but towards a flat
    # prediction: alpha outweighs it.
    data["label"][:] = 1 / 64
    finder = model(alpha=1e3)
    before = np.mean(entropy(finder(data["experiment"])))
    fit(finder, data, 40)
    after = np.mean(entropy(finder(data["experiment"])))
    assert after < 0.7 * before


def test_alpha_zero_needs_no_experiment_and_alpha_does():
    data = batch(np.random.default_rng(3))
    fit(model(), data, 1, drop=("experiment",))
    with pytest.raises(KeyError, match="experiment"):
        fit(model(alpha=0.1), data, 1, drop=("experiment",))
    with pytest.raises(ValueError, match="alpha=-1"):
        model(alpha=-1)


def test_validation_gives_l0_and_hit_ratio():
    data = batch(np.random.default_rng(4))
    finder = model()
    result = finder.evaluate(
        dataset(data), steps=1, return_dict=True, verbose=0
    )
    assert set(result) == {"loss", "l0", "hit_ratio"}
    assert 0 <= result["hit_ratio"] <= 1


def test_keras_file_keeps_weights_optimizer_and_alpha(tmp_path):
    data = batch(np.random.default_rng(5))
    finder = model(alpha=0.03)
    fit(finder, data, 3)
    finder.save(tmp_path / "m.keras")
    copy = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(finder(data["maps"]), copy(data["maps"]))
    assert copy.alpha == 0.03
    assert int(copy.optimizer.iterations) == 3
    first, second = fit(finder, data, 2), fit(copy, data, 2)
    np.testing.assert_allclose(first["loss"], second["loss"], rtol=1e-6)


SMALL_CONTEXT = {
    "filters": 4,
    "dilations": (1,),
    "second_dilations": (1,),
    "first_filters": 4,
    "first_dilations": (1,),
    "told_filters": 2,
    "decoder_filters": 8,
    "decoder_dilations": (1, 2),
    "attention_filters": 2,
    "embedding_units": 3,
}


def context_batch(rng):
    data = batch(rng)
    data["ring"] = rng.uniform(1, 2, data["maps"].shape[:2]).astype(np.float32)
    for maps, (place,) in zip(data["maps"], data["positions"], strict=True):
        row, col = place.astype(int)
        maps[:, row, col] += 8  # something to see
    return data


def test_context_learns_with_the_same_train_step():
    data = context_batch(np.random.default_rng(6))
    keras.utils.set_random_seed(0)
    finder = context(alpha=0.01, **SMALL_CONTEXT)
    finder.compile(optimizer=keras.optimizers.Adam(1e-2))
    history = fit(finder, data, 80)
    assert history["l0"][-1] < history["l0"][0] - 1
    assert history["lreg"][-1] >= 0
    result = finder.evaluate(
        dataset(data), steps=1, return_dict=True, verbose=0
    )
    assert 0 <= result["hit_ratio"] <= 1


def test_context_keras_file(tmp_path):
    data = context_batch(np.random.default_rng(7))
    finder = context(**SMALL_CONTEXT)
    finder.save(tmp_path / "m.keras")
    copy = keras.saving.load_model(tmp_path / "m.keras", safe_mode=True)
    np.testing.assert_array_equal(
        finder(data["maps"], data["ring"]), copy(data["maps"], data["ring"])
    )
