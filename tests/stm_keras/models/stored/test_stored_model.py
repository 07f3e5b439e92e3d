from pathlib import Path

import pytest

from stm_keras.errors import InputError
from stm_keras.models.card import OtherVersionError
from stm_keras.models.stored import find_models, named_model

ROOT = Path(__file__).parents[4]


def test_models_are_found_at_any_depth_and_sorted(store, folder):
    store("z")
    store("au/old/a", form=2)
    # What a publication that was cut off may leave behind is no model.
    left = folder / "cut/training/export"
    left.mkdir(parents=True)
    (left / "saved_model.pb").touch()
    models = find_models(folder)
    assert [model.name for model in models] == ["au/old/a", "z"]
    assert models[0].card.name == "certain"
    assert models[1].card.name == "older"
    assert [model.checksums for model in models] == ["ok", "ok"]
    assert 200_000 < models[1].size_bytes < 220_000  # not the checkpoint


def test_a_folder_that_is_a_model(store):
    (model,) = find_models(store("mine"))
    assert model.name == "mine"


def test_links(store, folder, tmp_path):
    store("a")
    elsewhere = tmp_path / "elsewhere"
    (folder / "a").rename(elsewhere)
    (folder / "linked").symlink_to(elsewhere)
    (folder / "round").symlink_to(folder)
    assert [model.name for model in find_models(folder)] == ["linked"]


def test_a_model_is_found_by_name_and_by_directory(store, folder):
    path = store("au/mine")
    for name in ("au/mine", str(path), f"{path}/"):
        model = named_model(name, folder)
        assert model.name in ("au/mine", "mine")
        assert model.directory == path


def test_bad_names(store, folder, tmp_path):
    store("b")
    store("a")
    with pytest.raises(InputError, match=r"No model 'c' in .*are: a, b\."):
        named_model("c", folder)
    with pytest.raises(InputError, match="is not a model directory"):
        named_model(str(tmp_path), folder)


def test_bad_folders(tmp_path):
    with pytest.raises(InputError, match="does not exist: give --folder"):
        find_models(tmp_path / "no")
    with pytest.raises(InputError, match="No model in "):
        find_models(tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(InputError, match="is not a folder"):
        find_models(tmp_path / "file")


def test_states_of_the_checksums(store, folder):
    whole, none = store("whole"), store("none", sums=False)
    assert [m.checksums for m in find_models(folder)] == ["none stored", "ok"]
    (whole / "saved_model.pb").write_bytes(b"\x01" + bytes(199_999))
    (none / "notes.txt").touch()
    states = {model.name: model for model in find_models(folder)}
    assert states["none"].damages == ()
    assert states["whole"].damages == ("changed saved_model.pb",)
    assert states["whole"].complaint == (
        f"The model whole in {whole} is damaged: changed saved_model.pb. "
        "Restore it, or train it again."
    )


def test_a_damaged_card(store, folder):
    for sums in (True, False):
        path = store(f"sums {sums}", sums=sums)
        (path / "model_card.json").write_text("{")
    bare, summed = find_models(folder)
    assert bare.card is summed.card is None
    assert bare.checksums == summed.checksums == "damaged"
    assert "model_card.json is damaged" in bare.damages[0]
    assert summed.damages == ("changed model_card.json",)


def test_a_model_without_its_card(store, folder):
    for sums in (True, False):
        (store(f"sums {sums}", sums=sums) / "model_card.json").unlink()
    bare, summed = find_models(folder)
    assert "has no model_card.json" in bare.damages[0]
    assert summed.damages == ("missing model_card.json",)


def test_checksums_that_are_none(store, folder):
    (store("a") / "SHA256SUMS").write_text("")
    (model,) = find_models(folder)
    assert "SHA256SUMS is damaged" in model.damages[0]
    assert model.card is not None


def test_another_version_is_no_damage(store, folder):
    store("new", format=99, versions={"stm-keras": "9.0"})
    (model,) = find_models(folder)
    assert model.damages == ()
    assert model.checksums == "ok"
    assert isinstance(model.refusal, OtherVersionError)


def test_what_ships_is_whole():
    models = {m.name: m for m in find_models(ROOT / "saved_models")}
    assert set(models) == {"context", "wang2020"}
    assert models["wang2020"].checksums == "ok"
    assert models["context"].damages == ()
