"""Odd surroundings: `stmk` works as ever, or says what is wrong.

Each is a process of its own. An audit hook ends it where it asks the network.
"""

import functools
import json
import os
import shutil
import subprocess
import sys

import pytest

pytestmark = pytest.mark.slow

# urllib3 binds a socket of this machine to see what it may; that asks nobody.
_NO_NETWORK = """
import os, sys

def hook(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname",
                 "socket.sendto", "socket.sendmsg", "urllib.Request"):
        with open("network.log", "a") as log:
            print(event, arguments, file=log)
        os._exit(99)

sys.addaudithook(hook)
from cli.main import main
main()
"""


@pytest.fixture
def run(tmp_path):
    """Runs `stmk` in a process: exit code, output, error."""
    return functools.partial(started, tmp_path)


def started(folder, *arguments, flags=(), environment=None):
    done = subprocess.run(
        [sys.executable, *flags, "-c", _NO_NETWORK, *map(str, arguments)],
        cwd=folder,
        env={**os.environ, **(environment or {})},
        capture_output=True,
        check=False,
    )
    error = done.stderr.decode("utf-8", "replace")
    assert not (folder / "network.log").exists()
    assert "Traceback" not in error
    return done.returncode, done.stdout.decode("utf-8", "replace"), error


@pytest.fixture(scope="module")
def usual(model, virtual_scan, tmp_path_factory):
    """Positions of a prediction in usual surroundings."""
    folder = tmp_path_factory.mktemp("usual")
    told = (virtual_scan, "--model", model, "--surface", "au111")
    assert started(folder, "predict", *told, "--out", "found")[0] == 0
    return json.loads((folder / "found/positions.json").read_text())


@pytest.fixture
def told(model, virtual_scan):
    """What to predict, and how."""
    return (virtual_scan, "--model", model, "--surface", "au111", "--out")


def test_no_command_asks_the_network(run, told, model, friedel, tmp_path):
    """Every command once."""
    scan = told[0]
    for arguments in (
        ("--help",),
        ("--version",),
        ("inspect", scan, "--surface", "au111"),
        ("predict", *told, "found"),
        ("waves", scan, "--positions", "found/positions.csv")
        + ("--surface", "au111", "--out", "physics"),
        ("evaluate", "found/positions.csv", "found/positions.csv"),
        ("evaluate", "--model", model, "--data", friedel),
        ("build-data", "friedel", "--config", "demo", "--out", "data")
        + ("--examples", "70,9,10"),
        ("fit", "--data", "data", "--out", "m", "--epochs", "1")
        + ("--filters", "2", "--depth", "1", "--batch-size", "16"),
        ("models", "--folder", "m"),
        ("models", "m"),
        ("prepare", scan, "--model", model, "--surface", "au111")
        + ("--out", "tensors"),
        ("export", "--model", "m", "--out", "exported"),
        ("export", "--model", "m", "--in-place"),
    ):
        code, _, error = run(*arguments)
        few = "positions" in error or "impurit" in error  # of a little model
        assert code == 0 or few, (arguments, error)


@pytest.mark.parametrize(
    ("flags", "environment"),
    [
        (("-O",), {}),
        (("-OO",), {}),
        ((), {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}),
        ((), {"HOME": "/nonexistent", "XDG_CACHE_HOME": "/nonexistent"}),
        ((), {"HOME": "", "MPLCONFIGDIR": "/nonexistent"}),
        ((), {"TERM": "dumb", "COLUMNS": "1"}),
    ],
    ids=["-O", "-OO", "LC_ALL=C", "no HOME", "no settings", "no terminal"],
)
def test_a_prediction_is_the_same(
    run, told, usual, tmp_path, flags, environment
):
    code, _, error = run(
        "predict", *told, "odd", flags=flags, environment=environment
    )
    assert code == 0, error
    odd = json.loads((tmp_path / "odd/positions.json").read_text())
    assert usual["positions"] == odd["positions"]


@pytest.mark.parametrize("flags", [("-O",), ()], ids=["-O", "usual"])
def test_a_mistake_is_told_the_same(run, tmp_path, flags):
    code, _, error = run(
        "predict",
        "nö.sxm",
        "--out",
        "o",
        flags=flags,
        environment={"LC_ALL": "C", "PYTHONUTF8": "0"},
    )
    assert code == 2
    assert error.count("stmk: ") == 1


def test_without_standard_files(run, told, tmp_path):
    """As under cron: nothing to read from, and nowhere to write to."""
    done = subprocess.run(
        [
            *("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"),
            *(sys.executable, "-c", _NO_NETWORK, "predict"),
            *map(str, told),
            "found",
        ],
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "found/positions.csv").exists()


def test_two_processes_into_one_folder(told, tmp_path):
    """Each result is whole, and the last one stays."""
    pair = [
        subprocess.Popen(
            [sys.executable, "-c", _NO_NETWORK, "predict", *map(str, told)]
            + ["found", "--mask-radius-nm", radius],
            cwd=tmp_path,
            stdout=subprocess.DEVNULL,
        )
        for radius in ("0.5", "2.5")
    ]
    assert [process.wait() for process in pair] == [0, 0]
    whole = json.loads((tmp_path / "found/positions.json").read_text())
    assert whole["mask"]["radius_nm"] in (0.5, 2.5)
    assert not list((tmp_path / "found").glob(".*"))
    assert not (tmp_path / "found/INCOMPLETE.json").exists()


def test_two_trainings_in_one_folder(friedel, tmp_path):
    """The second one is refused; the first one ends as ever."""
    command = [
        *(sys.executable, "-c", _NO_NETWORK, "fit", "--data", str(friedel)),
        *("--out", "m", "--epochs", "2", "--filters", "2", "--depth", "1"),
        *("--batch-size", "16", "--resume"),
    ]
    pair = [
        subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    errors = [process.communicate()[1].decode() for process in pair]
    codes = sorted(process.returncode for process in pair)
    assert codes in ([0, 2], [0, 0]), errors
    if codes == [0, 2]:
        assert "Another `stmk fit` trains" in "".join(errors)
    assert (tmp_path / "m/SHA256SUMS").exists()
    assert not list(tmp_path.rglob(".stmk-*"))


def test_two_builds_in_one_folder(tmp_path):
    command = [
        *(sys.executable, "-c", _NO_NETWORK, "build-data", "friedel"),
        *("--config", "demo", "--examples", "70,9,10", "--out", "data"),
    ]
    pair = [subprocess.Popen(command, cwd=tmp_path) for _ in range(2)]
    assert [process.wait() for process in pair] == [0, 0]
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["friedel"]
    shutil.rmtree(tmp_path / "data")
