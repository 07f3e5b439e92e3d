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
    with pytest.raises(ValueError, match="Missing: `experiment`"):
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


def _numbers(data, *names):
    return {name: data[name] for name in names}


def _small_context():
    keras.utils.set_random_seed(0)
    finder = context(**SMALL_CONTEXT)
    finder.compile(optimizer=keras.optimizers.Adam(1e-3))
    return finder


def test_predict_takes_maps_and_q():
    data = context_batch(np.random.default_rng(8))
    finder = _small_context()
    given = {"maps": data["maps"], "q": data["ring"]}
    answer = finder.predict(given, batch_size=3, verbose=0)
    expected = finder(data["maps"], data["ring"])
    np.testing.assert_allclose(answer, expected, atol=1e-5)
    blind = finder.predict({"maps": data["maps"]}, verbose=0)
    np.testing.assert_allclose(blind, finder(data["maps"]), atol=1e-5)
    assert np.abs(blind - answer).max() > 1e-4
    exact = {k: v.astype(np.float64) for k, v in given.items()}
    np.testing.assert_array_equal(finder(exact), expected)
    np.testing.assert_allclose(
        model().predict(data["maps"], verbose=0).shape, (4, 8, 8)
    )


@pytest.mark.slow
def test_tuples_train_as_dictionaries_do():
    data = context_batch(np.random.default_rng(9))
    x, y = _numbers(data, "maps", "ring"), data["positions"]
    ways = (
        {"x": {"maps": x["maps"], "q": x["ring"]}, "y": y},
        {"x": x, "y": {"positions": y}},
        {"x": {**x, "positions": y}},
    )
    losses = []
    for way in ways:
        finder = _small_context()
        history = finder.fit(**way, batch_size=2, shuffle=False, verbose=0)
        losses.append(history.history["loss"][0])
        assert {"l0", "hit_ratio"} <= set(
            finder.evaluate(**way, verbose=0, return_dict=True)
        )
    assert losses[0] == losses[1] == losses[2]
    finder = model()
    history = finder.fit(data["maps"], data["label"], verbose=0)
    assert np.isfinite(history.history["l0"][0])
    result = finder.evaluate(
        data["maps"], data["label"], verbose=0, return_dict=True
    )
    assert set(result) == {"loss", "l0"}


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (("maps",), None, "Missing: `positions`. Received: `maps`"),
        (("ring",), "positions", "Missing: `maps`. Received: `positions`, "),
        (("maps",), "label", r"`positions` must be \[B, n, 2\].*\(\w+, 8, 8\)"),
    ],
)
def test_a_batch_that_lacks_something_is_told_what(x, y, message):
    data = context_batch(np.random.default_rng(10))
    with pytest.raises(ValueError, match=message):
        _small_context().fit(
            _numbers(data, *x), None if y is None else data[y], verbose=0
        )


def test_maps_without_a_batch_and_weights_are_refused():
    data = context_batch(np.random.default_rng(11))
    finder = _small_context()
    with pytest.raises(ValueError, match=r"`maps` must be \[B, V, H, W\]"):
        finder(data["maps"][0])
    with pytest.raises(ValueError, match=r"`q` must be \[B, V\]"):
        finder({"maps": data["maps"], "q": data["ring"][0]})
    with pytest.raises(ValueError, match="no sample weights"):
        finder.fit(
            data["maps"], data["positions"], sample_weight=np.ones(4), verbose=0
        )


@pytest.mark.parametrize("make", [wang2020, context])
def test_every_layer_is_built_and_shows_its_size(make):
    finder = make()
    unbuilt = [x.name for x in finder._flatten_layers() if not x.built]
    assert not unbuilt
    lines = []
    finder.summary(print_fn=lines.append)
    table = "".join(lines)
    assert "?" not in table
    rows = {layer.name: layer.count_params() for layer in finder.parts()}
    assert all(name in table for name in rows)
    assert sum(rows.values()) == finder.count_params() > 0
    assert [layer.name for layer in finder.layers] == [make.__name__]


def test_layers_can_be_frozen():
    finder = _small_context()
    for layer in finder.parts():
        layer.trainable = layer.name == "decoder"
    before = [v.numpy() for v in finder.network.encoder.variables]
    data = context_batch(np.random.default_rng(12))
    fit(finder, data, 1, drop=("experiment",))
    after = [v.numpy() for v in finder.network.encoder.variables]
    for one, other in zip(before, after, strict=True):
        np.testing.assert_array_equal(one, other)


def test_xla_is_left_out_where_it_costs_minutes(monkeypatch):
    finder = context(**SMALL_CONTEXT)
    with pytest.warns(UserWarning, match="Proceeding with `jit_compile=False`"):
        finder.compile(optimizer="adam", jit_compile=True)
    assert finder.jit_compile is False
    paper = wang2020(**SMALL)
    paper.compile(optimizer="adam", jit_compile=True)
    assert paper.jit_compile is True
    monkeypatch.setattr(
        tf.config, "list_physical_devices", lambda *kind: ["one"]
    )
    assert context(**SMALL_CONTEXT).supports_jit
