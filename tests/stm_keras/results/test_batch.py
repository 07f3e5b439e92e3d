"""Files in, folders out; a stand-in for the network, see below."""

import csv
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from scipy.ndimage import gaussian_filter

from stm_keras.detector import Wang2020Detector
from stm_keras.errors import InputError
from stm_keras.io.recording import ReadOptions
from stm_keras.maps import Region
from stm_keras.models.card import ModelCard, ScoreSelection
from stm_keras.preprocessing.cleaning import CleaningOptions
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.results import batch
from stm_keras.results.batch import FileOptions, predict_files
from stm_keras.results.folder import FILES, OutputOptions
from stm_keras.surfaces import paper_wave_numbers

CARD = ModelCard(
    name="mean",
    network={"class": "Wang2020"},
    command="",
    data={},
    training={},
    tile_px=20,
    reach_px=3,
    ring_rad_px=tuple(2 * paper_wave_numbers()[[0, -1]]),
    selection=ScoreSelection({1: 4.0, 2: 4.0}, {1: 0.0}),
    scores={},
    made={},
    versions={},
)
SPOTS_NM = np.array([[5.0, 7.0], [20.3, 30.1], [33.3, 12.25]])
RAW = CleaningOptions.at_level("none")
OPTIONS = FileOptions(predict=PredictOptions("au111", RAW))


@pytest.fixture(autouse=True)
def finder(monkeypatch):
    """Scores the mean over the maps: its maxima are where spots are."""

    def signature(maps):
        measured = tf.where(tf.math.is_nan(maps), 0.0, maps)
        return {"score": tf.reduce_mean(measured, axis=1)}

    signatures = {
        "serving_default": signature,
        "score_tiles": signature,
        "standardize": lambda maps: {"maps": maps},
    }
    loaded = Wang2020Detector(CARD, signatures)
    monkeypatch.setattr(batch, "load_detector", lambda path, **_: loaded)


def write_spots(path, spots=SPOTS_NM, *, bias=(-0.1, 0.0), **changes):
    y, x = (np.indices((160, 160)) + 0.5) * 37.5 / 160
    image = sum(
        np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 0.7**2)) for a, b in spots
    )
    parts = {
        "maps": np.stack([image] * len(bias)),
        "bias_v": list(bias),
        "extent_nm": [37.5, 37.5],
    }
    np.savez(path, **(parts | changes))
    return path


def run(paths, out, options=OPTIONS):
    """All lines, and the error that came after them."""
    lines = []
    try:
        for line in predict_files(paths, "model", out, options):
            lines.append(line)
    except InputError as error:
        return lines, str(error)
    return lines, None


def summary(out):
    with (out / "summary.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def test_one_file_is_one_result(tmp_path):
    path = write_spots(tmp_path / "a.npz")
    out = tmp_path / "out"
    lines, error = run([path], out)
    assert error is None
    assert "3 impurities" in lines[0]
    assert lines[-len(FILES) :] == [f"  {out / name}" for name in FILES]
    assert {p.name for p in out.iterdir()} == set(FILES)


def test_a_broken_file_does_not_stop_the_others(tmp_path):
    good = write_spots(tmp_path / "a.npz")
    broken = tmp_path / "b.npz"
    broken.write_bytes(good.read_bytes()[:500])
    last = write_spots(tmp_path / "c.npz", SPOTS_NM[:2])
    out = tmp_path / "out"
    lines, error = run([good, broken, last], out)
    assert error is not None
    assert "1 of 3" in error
    assert "summary.csv" in error
    assert {p.name for p in out.iterdir()} == {"a", "c", "summary.csv"}
    for name in ("a", "c"):
        assert {p.name for p in (out / name).iterdir()} == set(FILES)
    first, second, third = summary(out)
    assert (first["found"], third["found"]) == ("3", "2")
    assert first["result"] == str(out / "a")
    assert second["status"] == "refused"
    assert "b.npz" in second["reason"]
    assert any(line.startswith("refused: ") for line in lines)
    assert any("b.npz" in line and "refused" in line for line in lines)


def test_a_folder_of_files(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    write_spots(folder / "a.npz")
    write_spots(folder / "b.npz", SPOTS_NM[:1])
    (folder / "notes.txt").write_text("tip changed at 3 am")
    out = tmp_path / "out"
    lines, error = run([folder], out)
    assert error is None, error
    assert [row["found"] for row in summary(out)] == ["3", "1"]
    assert any("skipped notes.txt" in line for line in lines)


def test_a_folder_of_one_file_is_a_folder_all_the_same(tmp_path):
    folder = tmp_path / "night"
    folder.mkdir()
    write_spots(folder / "a.npz")
    _, error = run([folder], tmp_path / "out")
    assert error is None
    assert len(summary(tmp_path / "out")) == 1
    assert (tmp_path / "out" / "a" / "positions.csv").exists()


def test_refused_after_reading(tmp_path):
    """No surface given, and no ring in white noise."""
    rng = np.random.default_rng(0)
    noise = write_spots(
        tmp_path / "noise.npz", maps=rng.normal(size=(2, 64, 64))
    )
    good = write_spots(tmp_path / "good.npz")
    options = FileOptions(predict=PredictOptions("au111", CleaningOptions()))
    flat = write_spots(
        tmp_path / "flat.npz", maps=np.indices((2, 64, 64))[2].astype(float)
    )
    _, error = run([noise, flat, good], tmp_path / "out", options)
    assert error is not None
    assert "1 of 3" in error
    row = summary(tmp_path / "out")[1]
    assert "flat once levelled" in row["reason"]
    assert (row["maps"], row["rows"]) == ("2", "64")
    assert not (tmp_path / "out" / "flat").exists()


def test_files_of_one_name(tmp_path):
    paths = []
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        paths.append(write_spots(tmp_path / folder / "scan.npz"))
    lines, error = run(paths, tmp_path / "out")
    assert error is not None
    assert "Two files are named scan.npz" in error
    assert not lines
    assert not (tmp_path / "out").exists()


def test_files_that_differ_in_the_suffix_alone(tmp_path):
    """Or in what a disk may not tell apart."""
    paths = [write_spots(tmp_path / "scan.npz")]
    np.save(tmp_path / "Scan.npy", np.load(paths[0])["maps"])
    paths.append(tmp_path / "Scan.npy")
    read = ReadOptions(bias_v=(-0.1, 0.0), extent_nm=(37.5, 37.5))
    options = FileOptions(read, OPTIONS.predict)
    _, error = run(paths, tmp_path / "out", options)
    assert error is None
    assert [row["found"] for row in summary(tmp_path / "out")] == ["3", "3"]
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "scan.npz",
        "Scan.npy",
        "summary.csv",
    }


def test_a_stack_of_files(tmp_path):
    paths = [
        write_spots(tmp_path / f"{name}.npz", bias=(bias,))
        for name, bias in (("b", 0.02), ("a", -0.1))
    ]
    options = FileOptions(predict=OPTIONS.predict, stack=True)
    lines, error = run(paths, tmp_path / "out", options)
    assert error is None, error
    assert "3 impurities" in "".join(lines)
    written = json.loads((tmp_path / "out/positions.json").read_text())
    assert written["source"]["bias_v"] == [-0.1, 0.02]
    assert not (tmp_path / "out" / "summary.csv").exists()


def test_two_files_of_one_bias_in_a_stack(tmp_path):
    paths = [
        write_spots(tmp_path / f"{name}.npz", bias=(0.02,)) for name in "ab"
    ]
    options = FileOptions(predict=OPTIONS.predict, stack=True)
    _, error = run(paths, tmp_path / "out", options)
    assert error is not None
    assert "b.npz" in error
    assert "0.02" in error
    assert not (tmp_path / "out").exists()


def test_region_and_exports_reach_the_files(tmp_path):
    path = write_spots(tmp_path / "a.npz")
    options = FileOptions(
        predict=PredictOptions("au111", RAW, region=Region((64, 160))),
        output=OutputOptions(("napari", "gwyddion"), 1.0),
    )
    lines, error = run([path], tmp_path / "out", options)
    assert error is None
    assert "2 impurities" in lines[0]
    assert (tmp_path / "out" / "napari_points.csv").exists()
    assert (tmp_path / "out" / "result.gwy").exists()
    mask = np.load(tmp_path / "out" / "mask.npy")
    assert mask.shape == (160, 160)
    area = mask.sum() * (37.5 / 160) ** 2
    assert area == pytest.approx(2 * np.pi, rel=0.1)


def test_a_region_outside_one_of_two_frames(tmp_path):
    large = write_spots(tmp_path / "large.npz")
    small = write_spots(
        tmp_path / "small.npz",
        maps=np.random.default_rng(0).normal(size=(2, 90, 90)),
    )
    options = FileOptions(
        predict=PredictOptions("au111", RAW, region=Region((0, 128)))
    )
    _, error = run([large, small], tmp_path / "out", options)
    assert error is not None
    assert "1 of 2" in error
    assert "--rows 0:128" in summary(tmp_path / "out")[1]["reason"]


def test_out_is_a_file(tmp_path):
    path = write_spots(tmp_path / "a.npz")
    (tmp_path / "file").touch()
    for out in (tmp_path / "file", tmp_path / "file" / "out"):
        lines, error = run([path], out)
        assert error is not None
        assert "Cannot write to the directory" in error
        assert not lines


def test_warnings_are_told(tmp_path):
    maps = np.random.default_rng(0).normal(size=(3, 160, 160))
    maps[1, :40] = np.nan
    path = write_spots(tmp_path / "a.npz", bias=(-0.1, 0, 0.1), maps=maps)
    lines, error = run([path], tmp_path / "out")
    assert error is None
    told = [line for line in lines if line.startswith("  warning: ")]
    assert any("chosen for stacks of 1, 2 maps" in line for line in told)
    assert any("of the frame is not measured in every" in line for line in told)


@pytest.fixture
def scans(tmp_path):
    """Scans of one frame with Z, current and lock-in, drifting by 3 px."""
    path = Path(__file__).parents[3] / "benchmarks/readers/tiny_nanonis_sxm.py"
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    tiny = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tiny)
    rng = np.random.default_rng(1)
    surface = gaussian_filter(rng.normal(size=(70, 70)), 1.5)
    paths = []
    for n, bias in enumerate((0.1, 0.2, 0.3)):
        height = surface[:64, 3 * n : 64 + 3 * n].astype("f4")
        noise = rng.normal(size=(2, 64, 64)).astype("f4")
        channels = [
            ("Z", "m", {"forward": height}),
            ("Current", "A", {"forward": 2 + 0.1 * noise[0]}),
            ("LI_Demod_1_X", "A", {"forward": 5 + noise[1]}),
        ]
        content = tiny.sxm_bytes(
            channels, bias_v=f"{bias:.3E}", size_nm=(30.0, 30.0)
        )
        paths.append(tmp_path / f"scan{n}.sxm")
        paths[-1].write_bytes(content)
    return paths


def provenance(out):
    text = (out / "positions.json").read_text(encoding="utf-8")
    return json.loads(text)["provenance"]


def test_the_current_of_a_file_normalises_its_didv(scans, tmp_path):
    cleaning = CleaningOptions(normalise="feenstra")
    options = FileOptions(predict=PredictOptions("au111", cleaning))
    _, error = run(scans[:1], tmp_path / "out", options)
    assert error is None, error
    notes = provenance(tmp_path / "out")
    assert any("divided by I/V (current: Current)" in n for n in notes)


def test_topographs_tell_the_drift_of_a_stack(scans, tmp_path):
    """The dI/dV maps are noise and tell none."""
    cleaning = CleaningOptions(register=True)
    predict = PredictOptions("au111", cleaning)
    options = FileOptions(predict=predict, stack=True)
    _, error = run(scans, tmp_path / "out", options)
    assert error is None, error
    measured = np.load(tmp_path / "out" / "measured.npy")
    # What drifted out of a frame is not measured in every map.
    lost = 64 - measured.any(axis=0).sum()
    assert lost == pytest.approx(6, abs=1)
