"""Trainings in processes of their own; the real ones are marked slow."""

import json
from dataclasses import replace

import pytest

from stm_keras.errors import InputError
from stm_keras.studies.paper.run import DONE, RUNS, collect, is_done, run_all
from stm_keras.studies.paper.settings import ExperimentSettings, RunSettings

SETTINGS = RunSettings(
    noise=0.8,
    alpha=0.03,
    seed=3,
    epochs=2,
    steps=2,
    batch_size=4,
    experiment_batch=2,
    network={
        "filters": 4,
        "depth": 1,
        "kernel_size": 3,
        "attention_filters": 2,
    },
    experiment=ExperimentSettings(
        n_voltages=2, n_shown=1, n_unseen=1, n_tuning=0
    ),
)


def finish(out, name, settings):
    folder = out / RUNS / name
    folder.mkdir(parents=True)
    (folder / DONE).write_text(json.dumps({"settings": settings.as_dict()}))


def test_settings_come_back_from_their_file():
    stored = json.loads(json.dumps(SETTINGS.as_dict()))
    assert RunSettings.from_dict(stored) == SETTINGS


@pytest.mark.parametrize(
    "wrong", [{"epochs": 0}, {"steps": 0}, {"alpha": -0.1}, {"seed": -1}]
)
def test_wrong_settings_are_refused(wrong):
    with pytest.raises(InputError):
        replace(SETTINGS, **wrong)


def test_a_finished_run_is_not_done_again(tmp_path):
    finish(tmp_path, "both-3", SETTINGS)
    said = []
    run_all({"both-3": SETTINGS}, tmp_path, report=said.append)
    assert said == ["1 of 1 runs are there"]


def test_a_run_that_was_stopped_half_way_is_not_done(tmp_path):
    (tmp_path / RUNS / "both-3").mkdir(parents=True)
    (tmp_path / RUNS / "both-3" / "points.csv").write_text("epoch\n1\n")
    assert not is_done(tmp_path, "both-3", SETTINGS)


def test_a_run_with_other_settings_is_not_passed_off_as_this_one(tmp_path):
    finish(tmp_path, "both-3", SETTINGS)
    with pytest.raises(InputError, match="other settings"):
        is_done(tmp_path, "both-3", replace(SETTINGS, epochs=9))


def test_a_damaged_run_is_named(tmp_path):
    finish(tmp_path, "both-3", SETTINGS)
    (tmp_path / RUNS / "both-3" / DONE).write_text("{")
    with pytest.raises(InputError, match=r"run\.json is damaged"):
        is_done(tmp_path, "both-3", SETTINGS)


def test_no_process_at_all_is_refused(tmp_path):
    with pytest.raises(InputError, match="--jobs"):
        run_all({"both-3": SETTINGS}, tmp_path, processes=0)


def test_a_failed_run_names_its_log(tmp_path):
    broken = replace(SETTINGS, network={"filters": 0})
    with pytest.raises(InputError, match=r"log\.txt"):
        run_all({"both-3": broken}, tmp_path)


@pytest.mark.slow
def test_a_run_repeats_bit_for_bit_in_another_process(tmp_path):
    tables = []
    for name, epochs in (("one", 2), ("two", 2), ("short", 1)):
        out = tmp_path / name
        settings = replace(SETTINGS, epochs=epochs)
        run_all({"both-3": settings}, out, processes=2)
        tables.append((out / RUNS / "both-3" / "points.csv").read_text())
    assert tables[0] == tables[1]
    assert tables[0].startswith(tables[2])
    assert len(collect(tmp_path / "one", {"both-3": {}}, "points")) == 4
    assert len(collect(tmp_path / "one", {"both-3": {}}, "frames")) == 2
