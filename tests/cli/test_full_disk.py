"""A disk that fails: one line, exit code 2, nothing half-written."""

import json
import shutil
import subprocess
import sys

import pytest

from stm_keras.files import PREFIX

# In one process for all, as pytest's own files would be cut short too.
_RUNS = """
import contextlib, io, json, resource, sys
from cli.main import main

results = []
for size, arguments in json.loads(sys.argv[1]):
    error, code = io.StringIO(), 0
    sys.argv = ["stmk", *arguments]
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, unlimited[1]))
    with contextlib.redirect_stderr(error), contextlib.redirect_stdout(error):
        try:
            main()
        except SystemExit as stop:
            code = stop.code
        except BaseException as fault:
            code = repr(fault)
    resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    results.append([code, error.getvalue()])
print("results", json.dumps(results))
"""
LITTLE = ("--filters", "2", "--depth", "1", "--batch-size", "16")


def refused(result):
    code, _, error = result
    assert code == 2, error
    assert "Traceback" not in error
    (line,) = [t for t in error.splitlines() if t.startswith("stmk:")]
    return line


def everything(folder):
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


# Of each command what is written first, in the midst, and last.
SIZES = {
    ("export", "--model", "mine", "--in-place"): (0, 3_000, 30_000),
    ("export", "--model", "mine", "--out", "exported"): (0, 3_000, 30_000),
    ("fit", "--data", "{data}", "--out", "m{size}", "--epochs", "1") + LITTLE: (
        0,
        2_000,
        30_000,
    ),
    ("predict", "{scan}", "--model", "mine", "--surface", "au111")
    + ("--out", "found"): (0, 3_000),
    ("build-data", "friedel", "--config", "demo", "--out", "data")
    + ("--examples", "70,9,10"): (3_000,),
}


@pytest.mark.parametrize(
    "every", [False, pytest.param(True, marks=pytest.mark.slow)]
)
def test_no_file_can_grow(every, model, friedel, virtual_scan, tmp_path):
    """Beyond a size, as on a full disk; whatever writes it gets EFBIG."""
    shutil.copytree(model, tmp_path / "mine")
    before = everything(tmp_path / "mine")
    named = {"data": friedel, "scan": virtual_scan}
    runs = [
        (size, [part.format(size=size, **named) for part in command])
        for command, sizes in SIZES.items()
        for size in (sizes if every else sizes[-1:])
    ]
    done = subprocess.run(
        [sys.executable, "-c", _RUNS, json.dumps(runs)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    told = [t for t in done.stdout.splitlines() if t.startswith("results ")]
    assert told, done.stderr
    results = json.loads(told[0].removeprefix("results "))
    for (size, arguments), (code, error) in zip(runs, results, strict=True):
        where = f"{size} {arguments}: {code} {error}"
        assert code == 2, where
        assert "Traceback" not in error, where
        (line,) = [t for t in error.splitlines() if t.startswith("stmk:")]
        told = ("File too large", "No usable temporary", "written whole")
        assert any(words in line for words in told), where
    assert everything(tmp_path / "mine") == before
    assert not list(tmp_path.rglob(f"{PREFIX}*"))
    assert not list(tmp_path.rglob("m*/model_card.json"))[1:]
    for name in ("exported", "found", "data"):
        assert not everything(tmp_path / name)


@pytest.mark.parametrize(
    "command",
    [
        ("predict", "{scan}", "--model", "{model}", "--out", "loop/found"),
        ("predict", "loop", "--model", "{model}", "--out", "found"),
        ("predict", "{scan}", "--model", "loop", "--out", "found"),
        ("export", "--model", "{model}", "--out", "loop"),
        ("export", "--model", "loop", "--in-place"),
        ("fit", "--data", "{data}", "--out", "loop"),
        ("fit", "--data", "loop", "--out", "m"),
        ("build-data", "friedel", "--config", "demo", "--out", "loop"),
        ("inspect", "loop"),
    ],
)
def test_a_link_to_itself(
    stmk, model, friedel, virtual_scan, tmp_path, command
):
    (tmp_path / "loop").symlink_to("loop")
    named = {"scan": virtual_scan, "model": model, "data": friedel}
    refused(stmk(*(part.format(**named) for part in command)))
    assert [path.name for path in tmp_path.iterdir()] == ["loop"]


def test_a_folder_that_goes_midway(
    stmk, model, virtual_scan, tmp_path, monkeypatch
):
    from stm_keras.results import folder

    def gone(*arguments):
        shutil.rmtree(tmp_path / "found")

    monkeypatch.setattr(folder, "_draw", gone)
    result = stmk(
        *("predict", virtual_scan, "--model", model, "--out", "found"),
        *("--surface", "au111"),
    )
    assert "found" in refused(result)
    assert not list(tmp_path.iterdir())
