import platform
import subprocess
import sys

import pytest

_GROWS = """
import resource
import numpy as np
{call}
def touch():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    np.ones(2**24)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
touch()
print(touch())
"""
_CALL = "from stm_keras.system import keep_freed_memory; keep_freed_memory()"


def faults(call):
    """Pages that had to be mapped for a second array of 128 MB."""
    done = subprocess.run(
        [sys.executable, "-c", _GROWS.format(call=call)],
        check=True,
        capture_output=True,
        text=True,
    )
    return int(done.stdout)


@pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="a matter of glibc"
)
def test_a_second_large_array_takes_the_memory_of_the_first():
    assert faults(_CALL) < 0.1 * faults("")


def test_elsewhere_nothing_is_done(monkeypatch):
    from stm_keras import system

    monkeypatch.setattr(platform, "libc_ver", lambda: ("", ""))
    assert system.keep_freed_memory() is False
