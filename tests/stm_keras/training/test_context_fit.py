import json
import shutil

import keras
import numpy as np
import pytest
import tensorflow as tf

from stm_keras import __version__
from stm_keras.detector import ContextDetector, load_detector
from stm_keras.errors import InputError
from stm_keras.models.card import (
    ProbabilitySelection,
    read_card,
    verify_checksums,
    write_checksums,
)
from stm_keras.nn.calibration import fit_distribution
from stm_keras.nn.model import context
from stm_keras.nn.output import UNCALIBRATED
from stm_keras.training import fit
from stm_keras.training.adaptation import held_out_loss, read_start
from stm_keras.training.context import (
    CHECKPOINT_STEPS,
    ContextRecipe,
    validation_batches,
)
from stm_keras.training.context_batches import ContextBatchConfig
from stm_keras.training.evaluation import evaluate_model
from stm_keras.training.held_out import Look, held_out
from stm_keras.training.log import TrainingLog, is_finished, training_directory
from stm_keras.training.publication import report
from stm_keras.training.trainer import train


@pytest.fixture(scope="module")
def context_model(context_config, tmp_path_factory):
    """A model directory of a short training."""
    out = tmp_path_factory.mktemp("models") / "little"
    fit(context_config(out))
    return out


def test_a_model_directory_is_complete(context_model):
    names = {path.name for path in context_model.iterdir()}
    assert names >= {
        "saved_model.pb",
        "variables",
        "model_card.json",
        "model.keras",
        "ground.npz",
    }
    differences = verify_checksums(context_model)
    assert differences is not None
    assert not differences
    card = read_card(context_model)
    assert card.command == "stmk fit --network context ..."
    assert card.data["0"]["seed"] == 0
    assert card.training["steps"] == 200
    assert card.network["parameters"] < 50_000
    assert isinstance(card.selection, ProbabilitySelection)
    assert 0 < card.selection.threshold <= 1
    assert set(card.scores) == {"1 maps", "4 maps"}
    counts = card.selection.measured["reliability"]["counts"]
    assert sum(counts) > 50
    assert "4 maps" in report(card, context_model)


def test_the_saved_model_answers_as_keras_does(context_model):
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(1, 3, 30, 26)).astype(np.float32)
    maps[0, 1, 4:6] = np.nan
    ring = np.array([[1.2, 0.0, 1.5]], np.float32)
    model = keras.saving.load_model(context_model / "model.keras")
    finder = load_detector(context_model)
    assert isinstance(finder, ContextDetector)
    whole = model(maps, ring).numpy()[0]
    np.testing.assert_allclose(
        finder.answer(maps[0], ring[0]), whole, rtol=1e-3, atol=1e-4
    )
    served = finder.signatures["serving_default"](
        maps=tf.constant(maps),
        ring_per_nm=tf.constant(ring / np.float32(0.25)),
        pixel_nm=tf.constant([0.25]),
    )
    np.testing.assert_allclose(
        served["probability"][0], tf.sigmoid(whole[..., 0]), atol=1e-5
    )
    score = finder.ood_score(maps[0], ring[0])
    assert score is not None
    assert score > 0


def test_the_calibration_is_of_inference_alone(context_model):
    model = keras.saving.load_model(context_model / "model.keras")
    assert model.network.rotations == 4
    model.network.rotations = 1  # as in training
    above, below, offset, factor = model.network.calibration[:4]
    maps = np.random.default_rng(1).normal(size=(1, 1, 20, 20))
    raw = model(maps.astype(np.float32), training=True).numpy()[..., :5]
    true = model(maps.astype(np.float32), training=False).numpy()
    logit = raw[..., 0].astype(np.float64)
    expected = above * np.logaddexp(0, logit) + offset
    expected -= below * np.logaddexp(0, -logit)
    np.testing.assert_allclose(true[..., 0], expected, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(true[..., 3:], factor * raw[..., 3:], rtol=1e-4)


def test_the_stored_loss_is_that_of_the_held_out_batches(
    context_config, context_model
):
    start = read_start(context_model)
    assert start.ready.model.network.calibration != UNCALIBRATED
    batches = validation_batches(context_config(context_model))
    stored = start.card.training["best"]["val_l0"]
    loss = held_out_loss(start.ready.model, batches)
    assert loss == pytest.approx(stored, rel=1e-4)


@pytest.mark.slow
def test_a_stopped_training_goes_on(context_config, context_model, tmp_path):
    out = tmp_path / "stopped"
    shutil.copytree(context_model / "training", out / "training")
    state = out / "training/state.json"
    stored = json.loads(state.read_text())
    stored["history"] = stored["history"][:1]
    state.write_text(json.dumps(stored))
    # As many steps as the checkpoint has are done already.
    card = fit(context_config(out), resume=True)
    # What is whole is not made again.
    before = (out / "saved_model.pb").stat().st_mtime_ns
    assert fit(context_config(out), resume=True) == read_card(out)
    assert (out / "saved_model.pb").stat().st_mtime_ns == before
    # As text: no number is no number, and yet the same.
    same = read_card(context_model)
    for name in ("scores", "selection"):
        assert repr(getattr(card, name)) == repr(getattr(same, name))


def test_the_last_checkpoint_can_be_kept(
    context_config, context_model, tmp_path
):
    training = tmp_path / "training"
    shutil.copytree(context_model / "training", training)
    (training / "best.keras").unlink()
    config = context_config(tmp_path, keep="last")
    log = TrainingLog(training, config.course(), CHECKPOINT_STEPS)
    kept = train(ContextRecipe(config), log, resume=True).get_weights()
    assert log.kept("last")["epoch"] == 2
    last = keras.saving.load_model(training / "last.keras").get_weights()
    assert len(kept) == len(last)
    for mine, its in zip(kept, last, strict=True):
        np.testing.assert_array_equal(mine, its)
    with pytest.raises(InputError, match="Unknown checkpoint to keep: 'all'"):
        context_config(tmp_path, keep="all")


def test_what_another_checkpoint_gave_is_not_the_answer(
    context_config, context_model
):
    course = context_config(context_model).course()
    assert is_finished(context_model, {**course, "keep": "best"})
    assert not is_finished(context_model, {**course, "keep": "last"})


def test_small_batches_are_enough_for_a_training_distribution(
    context_config, tmp_path
):
    small = ContextBatchConfig(2, voltages=(4,), sizes_px=(18,))
    config = context_config(tmp_path, held_out_batches=1, batches=small)
    model = context(0.0, **config.network)
    seen = held_out(Look(model), config, "validation", 5)
    assert len(seen.features) >= 4 * seen.features.shape[1]
    assert fit_distribution(seen.features)


def test_another_seed_is_not_resumed(context_config, context_model, tmp_path):
    out = tmp_path / "model"
    shutil.copytree(context_model, out)
    other = context_config(out, learning_rate=1e-3)
    with pytest.raises(InputError, match="begun with other options"):
        fit(other, resume=True)
    with pytest.raises(InputError, match="is not empty"):
        fit(other)


@pytest.mark.slow
def test_it_starts_from_another_model(context_config, context_model, tmp_path):
    start = read_start(context_model)
    config = context_config(
        tmp_path,
        init=context_model,
        steps=100,
        learning_rate=1e-9,
        network={},
    )
    folder = training_directory(tmp_path, resume=False, overwrite=False)
    log = TrainingLog(folder, config.course(), CHECKPOINT_STEPS)
    kept = train(ContextRecipe(config), log).get_weights()
    before = start.ready.model.get_weights()
    for old, new in zip(before, kept, strict=True):
        np.testing.assert_allclose(new, old, atol=1e-5)


@pytest.mark.slow
def test_without_a_step_only_the_calibration_is_new(
    context_config, context_model, tmp_path
):
    before = keras.saving.load_model(context_model / "model.keras")
    # As models were before they answered for four rotations.
    old = tmp_path / "old"
    shutil.copytree(context_model, old)
    before.network.rotations = 1
    before.save(old / "model.keras")
    write_checksums(old)
    changes = {"init": old, "steps": 0, "network": {}}
    card = fit(context_config(tmp_path / "anew", **changes))
    assert card.network["rotations"] == 4
    assert card.training["steps"] == 0
    weights = card.training["weights"]
    assert weights["command"] == "stmk fit --network context ..."
    assert weights["training"] == read_card(old).training
    after = keras.saving.load_model(tmp_path / "anew/model.keras")
    for one, other in zip(
        before.get_weights(), after.get_weights(), strict=True
    ):
        np.testing.assert_array_equal(one, other)
    finder = load_detector(tmp_path / "anew")
    assert isinstance(finder, ContextDetector)
    with pytest.raises(InputError, match="is not empty"):
        fit(context_config(tmp_path / "anew", **changes))


def test_it_scores_the_held_out_fields(context_model, friedel):
    scores = evaluate_model(context_model, friedel, noise=0.2, n_voltages=4)
    (score,) = scores.values()
    assert score.n_reference > 10


def test_bad_starts(context_config, model, tmp_path):
    out = tmp_path / "out"
    with pytest.raises(InputError, match=r"holds no model\.keras"):
        fit(context_config(out, init=tmp_path, network={}))
    with pytest.raises(InputError, match="is a model of Wang2020"):
        fit(context_config(out, init=model, network={}))
    (tmp_path / "model.keras").write_bytes(b"nonsense")
    with pytest.raises(InputError, match=r"is damaged.*an unknown stm-keras"):
        fit(context_config(out, init=tmp_path, network={}))
    shutil.copy(model / "model_card.json", tmp_path)
    with pytest.raises(InputError, match=rf"stm-keras {__version__} made it"):
        fit(context_config(out, init=tmp_path, network={}))
    assert not out.exists()


def test_bad_experiments(context_config, tmp_path):
    (tmp_path / "scan.npz").write_bytes(b"nonsense")
    config = context_config(
        tmp_path / "out", alpha=0.03, experiment=(tmp_path / "scan.npz",)
    )
    with pytest.raises(InputError, match=r"scan\.npz"):
        fit(config)
    assert not (tmp_path / "out").exists()


def test_fields_too_small_or_few(context_config, friedel, tmp_path):
    from dataclasses import replace

    config = context_config(tmp_path / "out")
    large = replace(config.batches, sizes_px=(48,))
    with pytest.raises(InputError, match="fields of 20 px"):
        fit(replace(config, batches=large))
    many = replace(config.batches, voltages=(16,))
    with pytest.raises(InputError, match="cannot train with 16"):
        fit(replace(config, batches=many))
