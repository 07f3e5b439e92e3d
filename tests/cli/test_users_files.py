"""What `stmk` has not written, it neither removes nor mixes with its own."""

import shutil

import numpy as np
import pytest

from stm_keras.models.card import verify_checksums

SURFACE = ("--surface", "au111")


def everything(folder):
    return {
        path.relative_to(folder): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def refused(result, *parts):
    code, _, error = result
    assert code == 2
    assert "Traceback" not in error
    for part in parts:
        assert part in error


@pytest.mark.parametrize("below", ["", "found", "training"])
@pytest.mark.parametrize("command", ["predict", "prepare"])
def test_results_do_not_go_into_a_model(
    stmk, model, virtual_scan, tmp_path, command, below
):
    """They used to make it a damaged one."""
    mine = tmp_path / "mine"
    shutil.copytree(model, mine)
    refused(
        stmk(command, virtual_scan, "--model", mine, "--out", mine / below),
        "is in the model directory",
    )
    assert not verify_checksums(mine)


def test_an_export_does_not_go_into_another_model(stmk, model, tmp_path):
    mine = tmp_path / "mine"
    shutil.copytree(model, mine)
    refused(
        stmk("export", "--model", model, "--out", mine),
        "is in the model directory",
    )
    assert not verify_checksums(mine)


@pytest.mark.parametrize(
    "theirs", ["saved_model/mine.txt", "saved_model/saved_model.pb"]
)
def test_an_export_keeps_a_saved_model_of_the_user(
    stmk, model, tmp_path, theirs
):
    """It used to be deleted."""
    (tmp_path / "u/saved_model").mkdir(parents=True)
    (tmp_path / "u" / theirs).write_text("of the user")
    before = everything(tmp_path / "u")
    refused(stmk("export", "--model", model, "--out", "u"), "no export of stmk")
    assert everything(tmp_path / "u") == before


def test_an_export_keeps_a_tflite_file_of_the_user(stmk, model, tmp_path):
    (tmp_path / "u").mkdir()
    (tmp_path / "u/little-int8.tflite").write_text("of the user")
    refused(
        stmk("export", "--model", model, "--out", "u"), "little-int8.tflite"
    )
    assert [p.name for p in (tmp_path / "u").iterdir()] == [
        "little-int8.tflite"
    ]


@pytest.mark.parametrize("name", ["positions.csv", "mask.tif", "S.npy"])
def test_a_result_keeps_a_file_of_the_user(
    stmk, model, virtual_scan, tmp_path, name
):
    (tmp_path / "u").mkdir()
    (tmp_path / "u" / name).write_text("of the user")
    refused(
        stmk("predict", virtual_scan, "--model", model, *SURFACE, "--out", "u"),
        f"{name} is there already",
    )
    assert (tmp_path / "u" / name).read_text() == "of the user"


def test_a_result_takes_the_place_of_a_result(
    stmk, model, virtual_scan, tmp_path
):
    told = (virtual_scan, "--model", model, *SURFACE, "--out", "u")
    assert stmk("predict", *told)[0] == 0
    (tmp_path / "u/thesis.txt").write_text("mine")
    (tmp_path / "u/overview.png").write_text("of an older version")
    assert stmk("predict", *told)[0] == 0
    assert (tmp_path / "u/thesis.txt").read_text() == "mine"
    assert (tmp_path / "u/overview.png").read_bytes()[1:4] == b"PNG"
    assert not list((tmp_path / "u").glob(".*"))


def test_tensors_keep_a_file_of_the_user(stmk, model, virtual_scan, tmp_path):
    (tmp_path / "u").mkdir()
    np.save(tmp_path / "u/maps.npy", np.arange(3))
    refused(
        stmk("prepare", virtual_scan, "--model", model, *SURFACE, "--out", "u"),
        "maps.npy is there already",
    )
    np.testing.assert_array_equal(np.load(tmp_path / "u/maps.npy"), [0, 1, 2])


def test_a_training_keeps_a_folder_of_the_user(stmk, friedel, tmp_path):
    (tmp_path / "u/training").mkdir(parents=True)
    (tmp_path / "u/training/marathon.csv").write_text("42 km")
    refused(
        stmk("fit", "--data", friedel, "--out", "u", "--overwrite"),
        "no `stmk fit` has written",
    )
    assert (tmp_path / "u/training/marathon.csv").read_text() == "42 km"


def test_a_data_set_keeps_a_folder_of_the_user(stmk, friedel, tmp_path):
    target = tmp_path / "u" / friedel.relative_to(friedel.parents[2])
    target.mkdir(parents=True)
    (target / "mine.txt").write_text("mine")
    refused(
        stmk(
            *("build-data", "friedel", "--config", "demo", "--out", "u"),
            *("--overwrite", "--examples", "70,9,10"),
        ),
        "no data set",
    )
    assert (target / "mine.txt").read_text() == "mine"
