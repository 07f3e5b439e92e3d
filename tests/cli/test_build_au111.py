"""`stmk build-data au111`: a mistake is one line, and nothing is written."""

import sys

import numpy as np
import pytest

from cli.main import main
from stm_keras.io.arrays import write_npz
from stm_keras.io.maps import ConductanceMaps


@pytest.fixture
def stmk(monkeypatch, capfd):
    """Run `stmk build-data au111`; its exit code and what it says."""

    def run(*words):
        command = ["stmk", "build-data", "au111", *map(str, words)]
        monkeypatch.setattr(sys, "argv", command)
        with pytest.raises(SystemExit) as stopped:
            main()
        said = capfd.readouterr()
        return stopped.value.code, said.out, said.err

    return run


@pytest.fixture
def frames(tmp_path):
    """Maps of one frame, and of a wider one."""
    noise = np.random.default_rng(0).standard_normal((1, 50, 50), np.float32)
    paths = []
    for name, extent in (("a", 12.0), ("wide", 14.0), ("coarse", 60.0)):
        maps = ConductanceMaps(noise, np.array([0.0]), (extent, extent))
        paths.append(tmp_path / f"{name}.npz")
        write_npz(maps, paths[-1])
    return paths


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--bias", "-0.6:0.02:0.1"], "band edge"),
        (["--surface", "ag111"], "band edge"),
        (["--extent-nm", "100"], "nm wide"),
        (["--impurities", "5000"], "cannot be placed"),
        (["--min-distance", "0.2"], "closer than their cores"),
        (["--config", "virtual_odd"], "virtual_dense_hard"),
        (["--config", "measured"], "--source"),
        (["--bound-state", "b.npz"], "--source"),
        (["--source", "a.npz", "--seed", "1"], "leave them out"),
        (["--source", "a.npz", "--config", "virtual"], "leave one out"),
        (["--source", "nowhere.npz"], "No such file: nowhere.npz"),
        (["--examples", "1,2"], "--examples"),
    ],
)
def test_a_mistake_is_one_line_and_exit_2(stmk, tmp_path, words, message):
    out = tmp_path / "data"
    code, told, error = stmk(*words, "--out", out)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not told
    assert not out.exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--source", 0, "--source", 1), "one frame"),
        (("--source", 0, "--bound-state", 1), "one frame"),
        (("--source", 2), "too coarse"),
    ],
)
def test_files_that_do_not_fit(stmk, frames, tmp_path, options, message):
    words = [frames[w] if isinstance(w, int) else w for w in options]
    out = tmp_path / "data"
    code, _, error = stmk(*words, "--surface", "au111", "--out", out)
    assert code == 2
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_a_file_becomes_a_data_set(stmk, frames, tmp_path):
    out = tmp_path / "data"
    words = ("--source", frames[0], "--surface", "au111", "--out", out)
    code, told, _ = stmk(*words)
    assert code in (0, None)
    assert told.splitlines()[-1].startswith(f"data set: {out}/au111/measured-")
    (info,) = out.rglob("dataset_info.json")
    assert not any("incomplete" in part for part in info.parts)
