"""A user's mistake: one clear line, exit code 2, nothing written."""

import importlib.util
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
    refuses(result, "No such model")
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


def test_folder_without_maps(stmk, tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    refuses(predict(stmk, folder), "night", "It is empty")
    (folder / "notes.txt").write_text("tip changed")
    refuses(predict(stmk, folder), "no file of a known format", "notes.txt")


@pytest.mark.parametrize(
    ("options", "parts"),
    [
        (("--rows", "0:41"), ("--rows 0:41 reaches beyond", "<= 40")),
        (("--cols=-1:5",), ("--cols -1:5", "<= 40")),
        (("--rows", "7:7"), ("--rows 7:7 is empty",)),
        (("--rows", "7"), ("--rows '7'", "FIRST:END")),
        (("--rows", "1.5:9"), ("--rows '1.5:9'", "FIRST:END")),
        (("--roi", "0,0,20.6,5"), ("--roi 0,0,20.6,5 sticks out", "20 nm")),
        (("--roi", "0,0,5"), ("--roi '0,0,5'", "TOP,LEFT,HEIGHT,WIDTH")),
        (("--roi", "0,0,5,0"), ("--roi needs",)),
        (("--roi", "0,0,5,5", "--cols", "0:9"), ("not both",)),
        (("--level", "curve"), ("'curve'", "plane, quadratic")),
        (("--normalise", "max"), ("'max'", "feenstra")),
        (("--normalise", "feenstra"), ("a.npz", "needs the current")),
        (("--bias-range", "0.3,0.5"), ("no map lies in", "-0.1 to 0 V")),
        (("--bias-range", "0.3"), ("--bias-range '0.3'", "two numbers")),
        (("--mask-radius-nm", "-0.5"), ("--mask-radius-nm", "-0.5")),
        (("--mask-radius-nm", "nan"), ("--mask-radius-nm", "nan")),
        (("--export", "imagej,excel"), ("'excel'", "imagej, napari, gwyd")),
    ],
)
def test_parts_and_outputs_that_cannot_be(
    stmk, tmp_path, model, options, parts
):
    path = npz(tmp_path / "a.npz")
    more = ("--model", model, "--surface", "au111")
    refuses(predict(stmk, path, *more, *options), *parts)


def test_part_without_a_measured_pixel(stmk, tmp_path, model):
    maps = np.random.default_rng(0).normal(size=(2, 40, 40))
    maps[1, :20] = np.nan
    path = npz(tmp_path / "half.npz", maps=maps)
    result = predict(stmk, path, "--model", model, "--rows", "0:20")
    refuses(result, "half.npz", "nothing is measured in rows 0:20", "map 1")


def test_a_missing_package_is_told_before_any_work(stmk, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "roifile", None)
    monkeypatch.delitem(sys.modules, "stm_keras.results.exports", raising=False)
    result = predict(stmk, npz(tmp_path / "a.npz"), "--export", "imagej")
    refuses(result, "roifile", "pip install 'stm-keras[imagej]'")


def test_stacks_that_are_none(stmk, tmp_path):
    one = npz(tmp_path / "one.npz")
    same = npz(tmp_path / "same.npz", bias_v=[0.0, 0.1])
    result = stmk("predict", one, same, "--stack", "--out", "out")
    refuses(result, "one.npz", "same.npz", "0 V")
    small = npz(tmp_path / "small.npz", bias_v=[0.3, 0.4])
    maps = np.random.default_rng(0).normal(size=(2, 30, 40))
    npz(small, maps=maps, bias_v=[0.3, 0.4])
    result = stmk("predict", one, small, "--stack", "--out", "out")
    refuses(result, "small.npz", "30 x 40 px")


@pytest.fixture
def scan(tmp_path):
    """Write a Nanonis scan: Z and a lock-in, which may be off."""
    path = Path(__file__).parents[2] / "benchmarks/readers"
    spec = importlib.util.spec_from_file_location(
        "tiny_nanonis_sxm", path / "tiny_nanonis_sxm.py"
    )
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)

    def write(name, bias_v, *, lock_in="ON", names=("Z", "LI_Demod_1_X")):
        image = 3 + np.random.default_rng(5).normal(size=(24, 24))
        channels = [
            (channel, "m", {"forward": image, "backward": image})
            for channel in names
        ]
        content = tiny.sxm_bytes(
            channels, bias_v=f"{bias_v:.3E}", lock_in=lock_in
        )
        (tmp_path / name).write_bytes(content)
        return tmp_path / name

    return write


def test_a_bias_without_didv(stmk, scan):
    on = scan("on.sxm", 0.1)
    off = scan("off.sxm", 0.2, lock_in="OFF")
    result = stmk("predict", on, off, "--stack", "--out", "out")
    refuses(result, "off.sxm", "LI_Demod_1_X holds no dI/dV", "lock-in off")
    no_map = scan("no_map.sxm", 0.1, names=("Phase",))
    refuses(predict(stmk, no_map), "no usable dI/dV", "--channel", "Phase")


def test_a_broken_file_among_good_ones(stmk, tmp_path, model):
    good, other = npz(tmp_path / "good.npz"), npz(tmp_path / "other.npz")
    broken = tmp_path / "broken.npz"
    broken.write_bytes(good.read_bytes()[:-300])
    code, error, left = stmk(
        *("predict", good, broken, other, "--model", model),
        *("--surface", "au111", "--out", "found"),
    )
    assert code == 2
    (line,) = (s for s in error.splitlines() if s.startswith("stmk:"))
    assert "1 of 3 file(s) refused" in line
    assert "found/summary.csv" in line
    assert "Traceback" not in error
    (found,) = left
    assert {path.name for path in found.iterdir()} == {
        "good",
        "other",
        "summary.csv",
    }
    rows = (found / "summary.csv").read_text().splitlines()
    assert [",refused," in row for row in rows[1:]] == [False, True, False]
    assert "broken.npz" in rows[2]


@pytest.mark.parametrize("option", ["--noise=0.5", "--voltages=4"])
def test_what_goes_with_a_model_is_refused_of_two_files(stmk, option):
    result = stmk("evaluate", "found.csv", "truth.csv", option)
    refuses(result, "--noise and --voltages")


@pytest.mark.parametrize("option", ["--tolerance=1", "--tolerance-nm=0.3"])
def test_what_goes_with_two_files_is_refused_of_a_model(stmk, option):
    result = stmk("evaluate", "--model", "m", "--data", "d", option)
    refuses(result, "--tolerance", "two files")
