"""The whole chain, from a data set to positions and their score."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from stm_keras.detections import read_positions, write_positions
from stm_keras.results.folder import EXPORTS, FILES
from stm_keras.scoring import score_positions

STMK = Path(sys.executable).with_name("stmk")
ROOT = Path(__file__).parents[2]
COPPER = ROOT.parent / "shared" / "data" / "cu111_co"


@pytest.fixture
def done(stmk):
    """Runs `stmk`, which must succeed; what it printed."""

    def run(*arguments):
        code, out, error = stmk(*arguments)
        assert code == 0, error
        return out

    return run


def installed(*arguments, cwd):
    """What the installed program prints, in a process of its own."""
    result = subprocess.run(
        [STMK, *map(str, arguments)], cwd=cwd, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_build_fit_predict_evaluate(done, tmp_path):
    done(
        *("build-data", "friedel", "--voltages", 2, "--out", "data"),
        *("--examples", "64,8,8", "--seed", 1),
    )
    out = done(
        *("fit", "--data", "data", "--out", "models/m", "--epochs", 1),
        *("--filters", 4, "--noise", 0.1),
    )
    assert "LoG of RMS map" in out
    card = json.loads((tmp_path / "models/m/model_card.json").read_text())
    assert card["command"].startswith("stmk fit --data data --out models/m")
    maps = np.random.default_rng(0).normal(size=(2, 60, 70))
    np.save(tmp_path / "a.npy", maps)
    out = done(
        *("predict", "a.npy", "--model", "models/m", "--surface", "au111"),
        *("--bias", "-0.1:0.0:0.1", "--extent-nm", "28,33", "--out", "found"),
        *("--threshold", 1.5),
    )
    assert "found/positions.csv" in out
    table = read_positions(tmp_path / "found/positions.csv")
    write_positions(
        tmp_path / "truth.csv",
        table.positions_px[:1],
        [1.0],
        pixel_nm=(28 / 60, 33 / 70),
    )
    out = done(
        *("evaluate", "found/positions.csv", "truth.csv", "--json", "s.json"),
    )
    assert "Jaccard" in out
    (score,) = json.loads((tmp_path / "s.json").read_text()).values()
    assert score["recall"] == 1
    assert score["n_predicted"] == len(table.positions_px)


def test_two_files_and_a_shipped_model(tmp_path):
    """The installed program, in a process of its own."""
    rng = np.random.default_rng(0)
    for name in ("a", "b"):
        np.savez(
            tmp_path / f"{name}.npz",
            maps=rng.normal(size=(1, 60, 60)),
            bias_v=[0.0],
            extent_nm=[28.0, 28.0],
        )
    out = installed(
        *("predict", "a.npz", "b.npz", "--out", "found"),
        *("--model", ROOT / "saved_models/wang2020", "--surface", "au111"),
        *("--threshold", 2, "--export", "all"),
        cwd=tmp_path,
    )
    assert "summary: found/summary.csv" in out
    files = [*FILES, *(export.file for export in EXPORTS.values())]
    for name in ("a", "b"):
        assert f"{name}.npz" in out
        for file in files:
            assert (tmp_path / "found" / name / file).stat().st_size > 0
    with (tmp_path / "found" / "summary.csv").open() as table:
        rows = list(csv.DictReader(table))
    for row in rows:
        folder = tmp_path / row["result"]
        found = read_positions(folder / "positions.csv").positions_px
        assert int(row["found"]) == len(found) > 0
        assert (row["rows"], row["width_nm"]) == ("60", "28")


def test_a_surface_that_nobody_listed(done, tmp_path, virtual_scan):
    """By its numbers as by its name; without any, most is found, too."""
    found, given = [], []
    for options in (
        ("--surface", "au111"),
        ("--surface", "0.26,-0.52"),
        ("--no-give-q",),
    ):
        out = tmp_path / str(len(found))
        done(
            *("predict", virtual_scan, "--out", out, *options),
            *("--rows", "0:56", "--cols", "0:56"),
            *("--model", ROOT / "saved_models/context", "--surrogates", 0),
            "--no-report",
        )
        assert not (out / "report.html").exists()
        found.append(read_positions(out / "positions.csv").positions_px)
        written = json.loads((out / "positions.json").read_text())
        notes = written["provenance"]
        given.append(not any("is not given q" in n for n in notes))
    assert given == [True, True, False]
    np.testing.assert_array_equal(found[1], found[0])
    score = score_positions(found[2], found[0], tolerance=1.0)
    assert score.jaccard > 0.7


def test_a_part_of_a_stack_in_a_folder(done, tmp_path):
    rng = np.random.default_rng(0)
    (tmp_path / "night").mkdir()
    for name, bias in (("a", 0.1), ("b", -0.1)):
        np.savez(
            tmp_path / "night" / f"{name}.npz",
            maps=rng.normal(size=(1, 80, 90)),
            bias_v=[bias],
            extent_nm=[37.5, 42.1875],
        )
    out = done(
        *("predict", "night", "--stack", "--out", "found"),
        *("--roi", "4.6875,0,28.125,32.8125", "--threshold", 2),
        *("--model", ROOT / "saved_models/wang2020", "--surface", "au111"),
    )
    assert "(2 map(s), 37.5 x 42.188 nm (height x width))" in out
    written = json.loads((tmp_path / "found/positions.json").read_text())
    assert written["source"]["bias_v"] == [-0.1, 0.1]
    assert written["region"]["rows"] == [10, 70]
    assert written["region"]["cols"] == [0, 70]
    rows = [position["row"] for position in written["positions"]]
    assert len(rows) > 0
    assert 9.5 <= min(rows) <= max(rows) <= 69.5
    assert np.load(tmp_path / "found/mask.npy").shape == (80, 90)


@pytest.mark.skipif(
    not COPPER.is_dir(), reason="needs ../shared/data, real files"
)
@pytest.mark.parametrize(
    ("name", "n_reference", "recall", "precision"),
    [("Topo102", 18, 0.66, 0.85), ("Topo015", 43, 0.51, 0.73)],
)
def test_real_copper_file(done, tmp_path, name, n_reference, recall, precision):
    done(
        *("predict", COPPER / f"{name}.sxm", "--surface", "cu111"),
        *("--model", ROOT / "saved_models/wang2020", "--out", "out"),
    )
    out = done(
        *("evaluate", "out/positions.csv"),
        *(COPPER / f"{name}_core_positions.csv", "--tolerance-nm", 0.3),
        *("--json", "s.json"),
    )
    (score,) = json.loads((tmp_path / "s.json").read_text()).values()
    assert score["n_reference"] == n_reference
    assert score["recall"] > recall, out
    assert score["precision"] > precision, out


@pytest.mark.slow
def test_a_killed_training_resumes(tmp_path):
    installed(
        *("build-data", "friedel", "--voltages", 2, "--out", "data"),
        *("--examples", "640,8,8"),
        cwd=tmp_path,
    )
    fit = ("fit", "--data", "data", "--out", "m", "--epochs", 4)
    fit += ("--filters", 4, "--noise", 0.1)
    whole = installed(*fit, cwd=tmp_path)
    shutil.rmtree(tmp_path / "m")
    with subprocess.Popen(
        [STMK, *map(str, fit)],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        checkpoint = tmp_path / "m/training/last.keras"
        deadline = time.monotonic() + 300
        while not checkpoint.exists() and time.monotonic() < deadline:
            time.sleep(0.1)
        os.kill(process.pid, signal.SIGKILL)
    assert checkpoint.exists()
    assert not (tmp_path / "m/saved_model.pb").exists()
    resumed = installed(*fit, "--resume", cwd=tmp_path)
    table = [line for line in whole.splitlines() if "maps, noise" in line]
    assert table == [
        line for line in resumed.splitlines() if "maps, noise" in line
    ]
