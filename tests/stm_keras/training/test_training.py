import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from stm_keras.detector import load_detector
from stm_keras.errors import InputError
from stm_keras.models.card import (
    read_card,
    verify_checksums,
)
from stm_keras.nn.model import ImpurityFinder
from stm_keras.training import fit
from stm_keras.training.config import Wang2020Config
from stm_keras.training.datasets import BatchConfig
from stm_keras.training.experiment import experiment_tiles
from stm_keras.training.log import TrainingLog
from stm_keras.training.publication import report

NETWORK = {"filters": 4, "attention_filters": 2, "kernel_size": 3, "depth": 1}


def config(data, out, **changes):
    return Wang2020Config(
        data,
        out,
        **{
            "epochs": 2,
            "batches": BatchConfig(16, noise=0.2, voltages=(2, 8), seed=1),
            "network": NETWORK,
            "command": "stmk fit ...",
            **changes,
        },
    )


@pytest.fixture(scope="module")
def trained(friedel, tmp_path_factory):
    """A model directory of a short training."""
    out = tmp_path_factory.mktemp("models") / "little"
    fit(config(friedel, out))
    return out


def test_a_model_directory_is_complete(trained):
    names = {path.name for path in trained.iterdir()}
    assert names >= {"saved_model.pb", "variables", "model_card.json"}
    assert "export" not in names
    # Written after all the rest, they cover all the rest.
    differences = verify_checksums(trained)
    assert differences is not None
    assert not differences
    card = read_card(trained)
    assert card.name == "little"
    assert card.command == "stmk fit ..."
    assert card.data["seed"] == 0
    assert card.training["batches"]["seed"] == 1
    assert card.versions["tensorflow"] == tf.__version__
    assert set(card.selection.thresholds) == {2, 8}
    assert "LoG of RMS map" in card.scores["8 maps, noise 0.2"]
    assert card.ring_rad_px == pytest.approx((1.32, 1.80), abs=0.01)
    assert "LoG of RMS map" in report(card, trained)


def test_log_has_a_line_an_epoch(trained):
    with (trained / "training/log.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert float(rows[1]["loss"]) < float(rows[0]["loss"])
    assert {"l0", "val_l0", "val_hit_ratio"} <= set(rows[0])
    assert list((trained / "training/tensorboard").rglob("events*"))


def test_saved_model_scores_as_the_network(trained):
    import keras

    from stm_keras.training.log import BEST

    best = keras.saving.load_model(trained / "training" / BEST)
    maps = np.random.default_rng(0).normal(size=(2, 5, 13, 17))
    maps = maps.astype(np.float32)
    np.testing.assert_allclose(
        load_detector(trained).score(maps), best(maps), rtol=1e-4, atol=1e-5
    )


@pytest.mark.slow
def test_a_stopped_training_goes_on_where_it_was(friedel, trained, tmp_path):
    """Two epochs at once and one after the other give the same weights."""

    class Stop(Exception):
        pass

    out = tmp_path / "stopped"
    original = TrainingLog.on_epoch_end

    def stop_after_one(self, epoch, logs=None):
        original(self, epoch, logs)
        if epoch == 0:
            raise Stop

    with pytest.MonkeyPatch.context() as patch, pytest.raises(Stop):
        patch.setattr(TrainingLog, "on_epoch_end", stop_after_one)
        fit(config(friedel, out))
    assert not (out / "saved_model.pb").exists()
    fit(config(friedel, out), resume=True)
    maps = np.random.default_rng(1).normal(size=(1, 8, 20, 20))
    np.testing.assert_allclose(
        load_detector(out).score(maps),
        load_detector(trained).score(maps),
        rtol=1e-3,
        atol=1e-4,
    )


def test_other_options_do_not_resume(friedel, trained):
    with pytest.raises(InputError, match=r"other options \(learning_rate\)"):
        fit(config(friedel, trained, learning_rate=0.5), resume=True)


def test_a_directory_in_use_is_not_overwritten_unasked(friedel, trained):
    before = (trained / "model_card.json").read_bytes()
    with pytest.raises(InputError, match=r"not empty.*--resume.*--overwrite"):
        fit(config(friedel, trained))
    assert (trained / "model_card.json").read_bytes() == before


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"alpha": 0.03}, "alpha = 0.03 .* --experiment"),
        ({"alpha": -1.0}, "alpha"),
        ({"experiment": (Path("a.sxm"),)}, "counts for nothing"),
        ({"epochs": 0}, "epochs"),
        ({"learning_rate": 0.0}, "learning_rate"),
    ],
)
def test_bad_options(tmp_path, wrong, message):
    with pytest.raises(InputError, match=message):
        config(tmp_path, tmp_path / "out", **wrong)


def test_nothing_is_written_for_bad_data(friedel, tmp_path):
    out = tmp_path / "out"
    for data in (tmp_path / "missing", tmp_path):
        with pytest.raises(InputError, match="No"):
            fit(config(data, out))
    with pytest.raises(InputError, match=r"Cannot read|No such"):
        fit(config(friedel, out, alpha=0.1, experiment=(tmp_path / "no.sxm",)))
    assert not out.exists()


@pytest.mark.parametrize(
    "name",
    [
        "saved_model.pb",
        "variables/variables.index",
        "variables/variables.data-00000-of-00001",
        "model_card.json",
    ],
)
def test_damaged_model_directory(model, tmp_path, name):
    copy = tmp_path / "copy"
    shutil.copytree(model, copy, ignore=shutil.ignore_patterns("training"))
    (copy / name).write_bytes(b"\x00damaged")
    with pytest.raises(InputError, match="damaged"):
        load_detector(copy)
    (copy / name).unlink()
    with pytest.raises(InputError, match=r"damaged|not a model directory"):
        load_detector(copy)


@pytest.mark.parametrize(
    "wrong",
    [{"thresholds": {}}, {"floors": {0: 1.0}}, {"ring_rad_px": [0, -1]}],
)
def test_card_that_makes_no_sense(model, tmp_path, wrong):
    card = dataclasses.asdict(read_card(model)) | wrong
    (tmp_path / "model_card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match=r"model_card\.json is damaged"):
        read_card(tmp_path)


def test_a_finished_training_is_used_as_it_is(friedel, trained):
    before = (trained / "saved_model.pb").stat().st_mtime_ns
    card = fit(config(friedel, trained), resume=True)
    assert card == read_card(trained)
    assert (trained / "saved_model.pb").stat().st_mtime_ns == before


def test_card_of_another_form(model, tmp_path):
    card = dataclasses.asdict(read_card(model)) | {"format": 99}
    (tmp_path / "model_card.json").write_text(json.dumps(card))
    with pytest.raises(InputError, match="the form 99"):
        read_card(tmp_path)


def test_experiment_joins_the_training(friedel, tmp_path, monkeypatch):
    step, traced = ImpurityFinder.train_step, []

    def counted(self, data):
        traced.append(data)
        return step(self, data)

    monkeypatch.setattr(ImpurityFinder, "train_step", counted)
    rng = np.random.default_rng(0)
    np.savez(
        tmp_path / "e.npz",
        maps=rng.normal(size=(4, 60, 60)),
        bias_v=np.linspace(-0.2, 0, 4),
        extent_nm=[20.0, 20.0],
    )
    card = fit(
        config(
            friedel,
            tmp_path / "m",
            alpha=0.03,
            experiment=(tmp_path / "e.npz",),
            surface="au111",
            epochs=1,
        )
    )
    assert card.training["alpha"] == 0.03
    assert card.training["best"]["lreg"] > 0
    assert len(traced) == 1  # it takes seconds, with `context` many


def test_an_experiment_of_another_scale_is_refused(friedel, tmp_path):
    """The set's own rings lie at 1.3 to 1.8 rad/px, the training's below 1."""
    with pytest.raises(InputError, match=r"rings of 1\.\d+ rad/px"):
        experiment_tiles(
            [friedel], size_px=10, n_voltages=4, q_range_rad_px=(0.5, 0.9)
        )
    tiles = experiment_tiles(
        [friedel], size_px=10, n_voltages=4, q_range_rad_px=(1.3, 1.8)
    )
    assert tiles[0].shape == (4, 10, 10)
