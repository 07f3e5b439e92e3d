import os
import subprocess
import sys

import pytest

from stm_keras.system import ONE_THREAD, single_threaded

ORPHAN = """
import multiprocessing, os, time
from stm_keras.system import end_with_parent
pool = multiprocessing.get_context("spawn").Pool(1, end_with_parent)
pool.apply(os.getpid)
pool.apply_async(time.sleep, (600,))
print("started", flush=True)
os._exit(0)
"""


def test_the_environment_is_as_before_afterwards(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("MKL_NUM_THREADS", raising=False)
    with pytest.raises(KeyError), single_threaded():
        assert {os.environ[name] for name in ONE_THREAD} == {"1"}
        raise KeyError
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "MKL_NUM_THREADS" not in os.environ


def test_a_helper_ends_with_the_process_that_started_it():
    # The helper holds the pipe: it must be gone for this to come back.
    done = subprocess.run(
        [sys.executable, "-c", ORPHAN],
        stdout=subprocess.PIPE,
        timeout=120,
        check=True,
        text=True,
    )
    assert done.stdout == "started\n"
