"""A user's mistake: one clear line, exit code 2, nothing written."""

import sys
from pathlib import Path

import numpy as np
import pytest

from cli.main import main


@pytest.fixture
def stmk(monkeypatch, capfd, tmp_path):
    """Run `stmk` in an empty directory; give exit code and error lines."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["stmk", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        error = capfd.readouterr().err
        return stop.value.code, error, list(work.iterdir())

    return run


def refuses(result, *parts):
    code, error, left = result
    assert code == 2
    assert "Traceback" not in error
    lines = [line for line in error.splitlines() if line.startswith("stmk:")]
    assert len(lines) == 1, error
    for part in parts:
        assert part in lines[0]
    assert left == []


def npz(path, **changes):
    parts = {
        "maps": np.random.default_rng(0).normal(size=(2, 40, 40)),
        "bias_v": [-0.1, 0.0],
        "extent_nm": [20.0, 20.0],
        **changes,
    }
    np.savez(path, **parts)
    return path


def predict(stmk, path, *options):
    return stmk("predict", path, "--out", "out", *options)


def test_file_missing(stmk):
    refuses(predict(stmk, "no.sxm"), "no.sxm")


def test_not_an_image_file(stmk, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("hello")
    refuses(predict(stmk, path), "notes.txt", ".sxm")


def test_truncated_scan(stmk, tmp_path):
    path = tmp_path / "short.sxm"
    path.write_bytes(b":NANONIS_VERSION:\n2\n:SCAN_PIXELS:\n  64  64\n")
    refuses(predict(stmk, path), "short.sxm")


@pytest.mark.parametrize("value", [np.nan, 3.0])
def test_maps_without_content(stmk, tmp_path, value):
    path = npz(tmp_path / "empty.npz", maps=np.full((2, 40, 40), value))
    refuses(predict(stmk, path), "empty.npz", "map 0")


def test_pickled_objects(stmk, tmp_path):
    ragged = np.empty(2, object)
    ragged[:] = [np.zeros((3, 3)), np.zeros((4, 4))]
    path = npz(tmp_path / "ragged.npz", maps=ragged)
    refuses(predict(stmk, path), "ragged.npz")


def test_wrong_number_of_biases(stmk, tmp_path):
    path = npz(tmp_path / "b.npz", bias_v=[0.1, 0.2, 0.3])
    refuses(predict(stmk, path), "b.npz", "3")
    path = npz(tmp_path / "b.npz")
    refuses(predict(stmk, path, "--bias", "0.1"), "1")
    refuses(predict(stmk, path, "--bias", "low"), "--bias 'low'")


def test_array_without_units(stmk, tmp_path):
    np.save(tmp_path / "a.npy", np.random.default_rng(0).normal(size=(9, 9)))
    refuses(predict(stmk, tmp_path / "a.npy"), "--bias")


def test_unknown_surface(stmk, tmp_path, model):
    path = npz(tmp_path / "a.npz")
    result = predict(stmk, path, "--model", model, "--surface", "pt111")
    refuses(result, "'pt111'", "au111")


def test_unknown_and_damaged_model(stmk, tmp_path):
    path = npz(tmp_path / "a.npz")
    result = predict(stmk, path, "--model", tmp_path / "no")
    refuses(result, "No such model directory")
    (tmp_path / "m").mkdir()
    refuses(predict(stmk, path, "--model", tmp_path / "m"), "model_card.json")
    (tmp_path / "m" / "model_card.json").write_text("{")
    refuses(predict(stmk, path, "--model", tmp_path / "m"), "damaged")


def test_directory_that_cannot_be_written(stmk, tmp_path, model):
    (tmp_path / "file").touch()
    path = npz(tmp_path / "a.npz")
    result = stmk(
        *("predict", path, "--model", model, "--surface", "au111"),
        *("--out", tmp_path / "file" / "out"),
    )
    refuses(result, "Cannot write to the directory")
    result = stmk("build-data", "friedel", "--out", tmp_path / "file")
    refuses(result, "Cannot write to the directory")


def test_data_directory_without_data(stmk, tmp_path):
    fit = ("fit", "--out", "model", "--data")
    refuses(stmk(*fit, tmp_path / "no"), "No such data directory")
    refuses(stmk(*fit, tmp_path), "No data set in")


def test_alpha_without_experiment(stmk, friedel):
    result = stmk(
        *("fit", "--data", friedel, "--out", "model", "--alpha", "0.03")
    )
    refuses(result, "--experiment")


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--inner-product", "row", "inner_product"),
        ("--filters", "0", "filters=0"),
        ("--depth", "-1", "depth=-1"),
        ("--seed", "-1", "seed"),
        ("--alpha", "nan", "alpha"),
        ("--voltages", "99", "99"),
        ("--voltages", "1.5", "--voltages '1.5'"),
        ("--experiment", "no.sxm", "no.sxm"),
        ("--batch-size", "1000", "fewer than a batch"),
    ],
)
def test_training_that_cannot_be(stmk, friedel, option, value, part):
    result = stmk(*("fit", "--data", friedel, "--out", "model", option, value))
    refuses(result, part)


@pytest.mark.parametrize(
    ("option", "value", "part"),
    [
        ("--config", "silver", "Known: au111"),
        ("--size", "0", "size_px=0"),
        ("--impurities", "6,1", "n_impurities"),
        ("--amplitude", "nan,1", "amplitude"),
        ("--impurities", "1.7,3.9", "--impurities '1.7,3.9'"),
        ("--impurities", "many", "--impurities 'many'"),
        ("--examples", "10,10", "--examples"),
        ("--k0", "1.7", "alias"),
        ("--seed", "-1", "seed"),
    ],
)
def test_data_that_cannot_be_built(stmk, option, value, part):
    refuses(stmk("build-data", "friedel", "--out", "d", option, value), part)


def test_evaluate(stmk, tmp_path):
    refuses(stmk("evaluate"), "--model and --data")
    good = tmp_path / "good.csv"
    good.write_text("row,col\n1,2\n")
    bad = tmp_path / "bad.csv"
    bad.write_text("row,col\n1,two\n")
    refuses(stmk("evaluate", good, tmp_path / "no.csv"), "no.csv")
    refuses(stmk("evaluate", bad, good), "bad.csv")
    refuses(stmk("evaluate", good, good, "--tolerance-nm", "1"), "x_nm")


def test_two_files_of_one_name(stmk, tmp_path, model):
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(npz(tmp_path / folder / "scan.npz"))
    code, error, _ = stmk(
        *("predict", *paths, "--model", model, "--out", "out")
    )
    assert code == 2
    assert "scan.npz" in error
    assert not list(Path().rglob("positions.csv"))
