"""Many files on Beam's workers: the same as without, and gone on with."""

import csv
import json
import os

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.preprocessing.cleaning import CleaningOptions
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.results import batch, night
from stm_keras.results.batch import FileOptions, predict_files
from stm_keras.results.folder import OutputOptions
from stm_keras.results.night import UNFINISHED, predict_with_beam

pytest.importorskip(
    "apache_beam", reason="Apache Beam, an extra, is not installed"
)

HERE = "--runner=DirectRunner --direct_running_mode=in_memory"
TWO_PROCESSES = (
    "--runner=DirectRunner --direct_num_workers=2 "
    "--direct_running_mode=multi_processing"
)
OPTIONS = FileOptions(
    predict=PredictOptions("au111", CleaningOptions.at_level("none")),
    output=OutputOptions(report=False),
)


@pytest.fixture
def folder(tmp_path):
    """Three files, one of them broken."""
    path = tmp_path / "files"
    path.mkdir()
    rng = np.random.default_rng(0)
    y, x = (np.indices((160, 160)) + 0.5) * 37.5 / 160
    for name, count in (("a", 3), ("b", 1)):
        spots = rng.uniform(5, 32, (count, 2))
        image = sum(
            np.exp(-((y - a) ** 2 + (x - b) ** 2) / (2 * 0.7**2))
            for a, b in spots
        )
        np.savez(
            path / f"{name}.npz",
            maps=np.stack([image, image]),
            bias_v=[-0.1, 0.0],
            extent_nm=[37.5, 37.5],
        )
    whole = (path / "a.npz").read_bytes()
    (path / "c.npz").write_bytes(whole[:500])
    return path


@pytest.fixture(autouse=True)
def fresh():
    night._detector.cache_clear()
    yield
    night._detector.cache_clear()


def _lines(work):
    """All lines, and the error that came after them."""
    lines = []
    try:
        lines.extend(work)
    except InputError as error:
        return lines, str(error)
    return lines, None


def _table(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def _same(plain, beamed):
    """The same files, tables and numbers but for the directory's name."""
    ours, theirs = (
        [
            {k: v.replace(str(out), "OUT") for k, v in row.items()}
            for row in _table(out / "summary.csv")
        ]
        for out in (plain, beamed)
    )
    assert ours == theirs
    assert {p.name for p in plain.iterdir()} == {
        p.name for p in beamed.iterdir()
    }
    for name in ("a", "b"):
        one, other = (np.load(out / name / "S.npy") for out in (plain, beamed))
        assert np.nanmax(one) > np.nanmin(one)
        # Sums on another number of threads round in another way.
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)
        tables = [
            len(_table(out / name / "positions.csv")) for out in (plain, beamed)
        ]
        assert tables[0] == tables[1]


def test_the_same_as_without_beam(folder, model, tmp_path):
    plain, beamed = tmp_path / "plain", tmp_path / "beamed"
    told = []
    lines, error = _lines(predict_files([folder], model, plain, OPTIONS))
    others, problem = _lines(
        predict_with_beam(
            [folder], model, beamed, OPTIONS, HERE, report=told.append
        )
    )
    assert error is not None
    assert "1 of 3" in error
    assert problem == error.replace(str(plain), str(beamed))
    assert others == [line.replace(str(plain), str(beamed)) for line in lines]
    assert [bool(result.reason) for result in told] == [False, False, True]
    assert [len(result.records) for result in told[:2]] == [
        result.found for result in told[:2]
    ]
    json.dumps([result.as_fields() for result in told])
    _same(plain, beamed)


@pytest.mark.slow
def test_the_same_in_two_processes(folder, model, tmp_path):
    plain, beamed = tmp_path / "plain", tmp_path / "beamed"
    _lines(predict_files([folder], model, plain, OPTIONS))
    _lines(predict_with_beam([folder], model, beamed, OPTIONS, TWO_PROCESSES))
    _same(plain, beamed)


def test_a_run_that_was_stopped_goes_on(folder, model, tmp_path, monkeypatch):
    out = tmp_path / "out"
    whole = batch.find_in_file

    def dies(file, *rest, **more):
        if file.name == "b.npz":
            raise RuntimeError("out of memory")
        return whole(file, *rest, **more)

    monkeypatch.setattr(batch, "find_in_file", dies)
    _, error = _lines(predict_with_beam([folder], model, out, OPTIONS, HERE))
    assert error is not None
    assert "out of memory" in error
    assert "run the same command again" in error
    before = {p.name for p in (out / UNFINISHED).iterdir()}
    # A file that changed meanwhile is done anew.
    if "a.json" in before:
        os.utime(folder / "a.npz", (1, 1))
        before.remove("a.json")

    done = []

    def counts(file, *rest, **more):
        done.append(file.name)
        return whole(file, *rest, **more)

    monkeypatch.setattr(batch, "find_in_file", counts)
    lines, error = _lines(
        predict_with_beam([folder], model, out, OPTIONS, HERE)
    )
    assert error is not None
    assert "1 of 3" in error  # the broken one
    expected = {"a.npz", "b.npz", "c.npz"}
    assert set(done) == expected - {
        name.replace(".json", ".npz") for name in before
    }
    assert len(done) == len(set(done))
    assert not (out / UNFINISHED).exists()
    assert [row["status"] for row in _table(out / "summary.csv")] == [
        "ok",
        "ok",
        "refused",
    ]
    assert lines


def test_files_that_a_runner_lost_are_named(
    folder, model, tmp_path, monkeypatch
):
    out = tmp_path / "out"
    monkeypatch.setattr(night, "_run", lambda *_: None)
    _, error = _lines(predict_with_beam([folder], model, out, OPTIONS, HERE))
    assert error is not None
    assert "lost 3 of 3 file(s)" in error


def test_refuses_a_single_file(folder, model, tmp_path):
    with pytest.raises(InputError, match="for a folder or several files"):
        list(
            predict_with_beam(
                [folder / "a.npz"], model, tmp_path / "out", OPTIONS, HERE
            )
        )
    assert not (tmp_path / "out").exists()
