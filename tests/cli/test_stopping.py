"""Ctrl-C and SIGTERM: what is kept is said, and nothing else is left."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from stm_keras.detector import Detector
from stm_keras.training.log import TrainingLog

SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
_RUN = "from cli.main import main; main()"


def _hears():
    """As from a terminal: what a shell starts behind it ignores Ctrl-C."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _heard():
    before = signal.getsignal(signal.SIGINT)
    _hears()
    yield
    signal.signal(signal.SIGINT, before)


def test_what_is_ignored_stays_so(stmk, monkeypatch):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(
        "stm_keras.models.stored.find_models",
        lambda folder: os.kill(os.getpid(), signal.SIGINT) or [],
    )
    monkeypatch.setattr("stm_keras.models.stored.list_models", list)
    assert stmk("models")[0] == 0


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_prediction(
    stmk, model, virtual_scan, tmp_path, monkeypatch, number, code
):
    def stopped(self, *arguments, **options):
        os.kill(os.getpid(), number)
        time.sleep(5)

    before = [signal.getsignal(number) for number, _ in SIGNALS]
    monkeypatch.setattr(Detector, "predict", stopped)
    found, _, error = stmk(
        *("predict", virtual_scan, "--model", model, "--out", "found")
    )
    assert found == code
    (line,) = [t for t in error.splitlines() if t.startswith("stmk:")]
    assert line.startswith("stmk: stopped. ")
    assert not list(tmp_path.iterdir())
    assert [signal.getsignal(number) for number, _ in SIGNALS] == before


@pytest.mark.parametrize(
    ("number", "code"),
    [SIGNALS[0], pytest.param(*SIGNALS[1], marks=pytest.mark.slow)],
)
def test_a_training(stmk, friedel, tmp_path, monkeypatch, number, code):
    """After its first checkpoint; --resume goes on from there."""
    written = TrainingLog.on_epoch_end

    def stopped(self, *arguments):
        written(self, *arguments)
        os.kill(os.getpid(), number)
        time.sleep(5)

    monkeypatch.setattr(TrainingLog, "on_epoch_end", stopped)
    told = ("fit", "--data", friedel, "--out", "m", "--epochs", "2")
    small = ("--filters", "2", "--depth", "1", "--batch-size", "16")
    found, _, error = stmk(*told, *small)
    assert found == code
    assert "stmk: stopped. The checkpoint after epoch 1 is kept in" in error
    assert "--resume" in error
    assert "Traceback" not in error
    assert not list(tmp_path.rglob(".stmk-*"))
    monkeypatch.setattr(TrainingLog, "on_epoch_end", written)
    assert stmk(*told, *small, "--resume")[0] == 0
    log = (tmp_path / "m/training/log.csv").read_text().splitlines()
    assert len(log) == 3


@pytest.mark.slow
@pytest.mark.parametrize(("number", "code"), SIGNALS)
@pytest.mark.parametrize("to_all", [True, False])
def test_a_build_in_processes(tmp_path, number, code, to_all):
    """A terminal sends Ctrl-C to all processes, a supervisor to the first."""
    process = subprocess.Popen(
        [
            *(sys.executable, "-c", _RUN, "build-data", "scattering"),
            *("--config", "tiny", "--examples", "5000,5,5"),
            *("--processes", "2", "--out", str(tmp_path / "out")),
        ],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hears,
    )
    while not list(tmp_path.glob("out/.stmk-*.incomplete/*/*/*")):
        assert process.poll() is None
        time.sleep(0.1)
    time.sleep(1)
    send = os.killpg if to_all else os.kill
    send(process.pid, number)
    _, error = process.communicate(timeout=120)
    assert process.returncode == code, error
    assert "stmk: stopped. " in error
    for word in ("Traceback", "Warning", "leaked", "resource_tracker"):
        assert word not in error
    assert not list((tmp_path / "out").iterdir())
    # They end by themselves once they see that the first has ended.
    for _ in range(300):
        if not _members(process.pid):
            break
        time.sleep(0.1)
    assert not _members(process.pid)


def _members(group):
    """Processes that are left of a group."""
    left = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[2]) == group and fields[0] != "Z":
            left.append(stat)
    return left
