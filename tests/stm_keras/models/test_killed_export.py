"""An export that is killed anywhere leaves the old model or the new one."""

import importlib.util
import shutil
from pathlib import Path

import pytest

from stm_keras.files import JOURNAL, PREFIX, finish, scratch_directory
from stm_keras.models.card import verify_checksums, write_checksums
from stm_keras.models.export import export_in_place, export_model
from stm_keras.training.publication import write_model

_SPEC = importlib.util.spec_from_file_location(
    "kills", Path(__file__).parents[2] / "kills.py"
)
kills = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(kills)


@pytest.fixture
def older(model, tmp_path):
    """A model of an earlier export, with a training's log and a note."""
    folder = tmp_path / "there"
    old = folder / "model"
    shutil.copytree(model, old)
    for name in ("saved_model.pb", "variables/variables.index"):
        (old / name).write_bytes((old / name).read_bytes() + b"\0")
    write_checksums(old)
    (old / "training").mkdir()
    (old / "training/log.csv").write_text("epoch\n1\n")
    return old


def leftovers(folder):
    return [p for p in folder.rglob("*") if p.name.startswith(PREFIX)]


def test_in_place(older, tmp_path):
    """Eight of thirteen kills used to lose the card, and so the model."""
    before = kills.digests(older)
    states = kills.states_of(
        older.parent, lambda: export_in_place(older), tmp_path / "states"
    )
    after = kills.digests(older)
    assert before != after
    assert before["training/log.csv"] == after["training/log.csv"]
    assert len(states) > 20
    for state in states:
        assert kills.digests(state / "model") in (before, after)
        assert not verify_checksums(state / "model")
        for folder in (state, state / "model"):  # the next run
            with scratch_directory(folder):
                pass
        assert not leftovers(state)
    assert kills.digests(states[0] / "model") == before
    assert not leftovers(older.parent)


def test_in_place_where_the_user_stands(older, tmp_path, monkeypatch):
    """Nothing is exchanged there: a journal, which the next run finishes."""
    monkeypatch.chdir(older)
    before = kills.digests(older)
    states = kills.states_of(
        older, lambda: export_in_place("."), tmp_path / "states"
    )
    after = kills.digests(older)
    for state in states:
        mixed = kills.digests(state) not in (before, after)
        assert not mixed or (state / JOURNAL).exists()
        finish(state)
        with scratch_directory(state):
            pass
        assert kills.digests(state) in (before, after)
        assert not verify_checksums(state)
        assert not leftovers(state)


def test_a_training_that_is_published(older, tmp_path):
    """Card and checksums are there together, or neither."""
    from stm_keras.models.card import read_card
    from stm_keras.models.export import load_weights

    card, network = read_card(older), load_weights(older)
    before = kills.digests(older)
    states = kills.states_of(
        older.parent,
        lambda: write_model(network, card, older),
        tmp_path / "states",
    )
    after = kills.digests(older)
    assert before["training/log.csv"] == after["training/log.csv"]
    for state in states:
        assert kills.digests(state / "model") in (before, after)
        assert not verify_checksums(state / "model")
    assert not leftovers(older.parent)


@pytest.mark.slow
def test_for_other_programs(older, tmp_path):
    """Of SavedModel and TFLite files: all old, all new, or a journal."""
    out = tmp_path / "out"
    export_model(older, out)
    for path in out.rglob("*"):
        if path.is_file() and path.suffix in (".tflite", ".pb"):
            path.write_bytes(path.read_bytes() + b"\0")
    (out / "thesis.txt").write_text("mine")
    (out / "saved_model/notes.txt").write_text("mine")
    before = kills.digests(out)
    states = kills.states_of(
        out, lambda: export_model(older, out), tmp_path / "states"
    )
    after = kills.digests(out)
    assert {"thesis.txt", "saved_model/notes.txt"} < after.keys()
    for state in states:
        assert (state / "saved_model/saved_model.pb").exists()
        mixed = kills.digests(state) not in (before, after)
        assert not mixed or (state / JOURNAL).exists()
        finish(state)
        with scratch_directory(state):
            pass
        assert kills.digests(state) in (before, after)
        assert not leftovers(state)
