"""A build that is killed, and started again."""

import os
import signal
import subprocess
import sys
import time
from fnmatch import fnmatch
from pathlib import Path

import numpy as np
import pytest


@pytest.mark.slow
def test_killed_and_started_again(tmp_path, digests):
    options = ["--config", "tiny", "--examples", "200,5,5", "--processes", "2"]
    stmk = [str(Path(sys.executable).with_name("stmk")), "build-data"]

    def command(out):
        return [*stmk, "scattering", *options, "--out", str(out)]

    killed, whole = tmp_path / "killed", tmp_path / "whole"
    process = subprocess.Popen(command(killed))
    while not _begun(killed):
        assert process.poll() is None
        time.sleep(0.01)
    helpers = _children(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    (left,) = killed.iterdir()
    assert left.name.endswith(".incomplete")
    for out in (killed, whole):
        subprocess.run(command(out), check=True)
    assert [p.name for p in killed.iterdir()] == ["scattering"]
    (first,), (second,) = (
        o.glob("scattering/*/1.1.0") for o in (killed, whole)
    )
    assert digests(first) == digests(second)
    assert np.size(digests(first)["train"]) == 200
    assert not any(Path(f"/proc/{pid}").exists() for pid in helpers)


def _begun(out):
    # Folders come and go meanwhile; `Path.rglob` stumbles over one that went.
    folders = (folder for _, names, _ in os.walk(out) for folder in names)
    return any(fnmatch(folder, "incomplete.*_1.1.0") for folder in folders)


def _children(pid):
    tasks = Path(f"/proc/{pid}/task").glob("*/children")
    return [child for task in tasks for child in task.read_text().split()]
