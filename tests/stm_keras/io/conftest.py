"""Test files that are written here, byte by byte, without the readers."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.io.reader import open_recording


@pytest.fixture
def sxm_bytes(tiny):
    """What writes a Nanonis scan."""
    return tiny("nanonis_sxm").sxm_bytes


@pytest.fixture
def two_channels():
    """Z and a lock-in X that carries a signal, each in two directions."""
    rng = np.random.default_rng(5)
    signal = rng.normal(size=(6, 8)).astype(np.float32)
    return [
        ("Z", "m", {"forward": signal, "backward": signal + 1}),
        (
            "LI_Demod_1_X",
            "A",
            {"forward": 3 + signal, "backward": 4 + signal},
        ),
    ]


@pytest.fixture
def mutated(fuzz_seed):
    """Damaged copies of a file's bytes: few, but others every day."""

    def generate(content, n, seed, damaged_part=None):
        rng = np.random.default_rng([fuzz_seed, seed])
        end = damaged_part or len(content)
        for _ in range(n):
            copy = bytearray(content)
            kind = rng.integers(4)
            place = int(rng.integers(end))
            if kind == 0:  # cut short
                del copy[int(rng.integers(len(copy))) :]
            elif kind == 1:  # some bytes changed
                for _ in range(rng.integers(1, 4)):
                    copy[int(rng.integers(end))] = int(rng.integers(256))
            elif kind == 2:  # a piece repeated elsewhere or left out
                length = int(rng.integers(1, 40))
                piece = copy[place : place + length]
                other = int(rng.integers(end))
                copy[other : other + int(rng.integers(2)) * length] = piece
            else:  # digits, where numbers are
                digits = [i for i in range(end) if 48 <= copy[i] <= 57]
                for i in rng.choice(digits, size=2) if digits else ():
                    copy[i] = int(rng.choice(list(b"0123456789-+.eEn")))
            yield bytes(copy)

    return generate


@pytest.fixture
def refusal():
    """Reads all that a file holds; the message where it is refused."""

    def read(path):
        message = None
        try:
            recording = open_recording(path)
            assert recording.channels
            for channel in recording.channels:
                shape = (len(channel.bias_v), *recording.shape)
                assert channel.load().shape == shape
        except InputError as error:
            message = str(error)
        assert "\n" not in (message or "")
        return message

    return read


@pytest.fixture
def refusals(refusal):
    """Reads damaged copies in one place; messages of those refused."""

    def read(path, copies):
        messages = []
        for copy in copies:
            path.write_bytes(copy)
            messages.append(refusal(path))
        return [message for message in messages if message is not None]

    return read


@pytest.fixture
def tiny():
    """A module of `benchmarks/readers` that writes tiny files of a format."""

    def load(name):
        path = Path(__file__).resolve().parents[3]
        path = path / "benchmarks" / "readers" / f"tiny_{name}.py"
        spec = importlib.util.spec_from_file_location(path.stem, path)
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture
def write_grid(tmp_path, tiny):
    """Writes a Nanonis grid; gives its path and the maps in it."""
    module = tiny("nanonis_3ds")

    def write(
        names=("Current (A)", "LI Demod 1 X (A)", "Current [bwd] (A)"),
        shape=(7, 3, 4),
        **options,
    ):
        sweeps = module.sample_sweeps(names, shape)
        path = tmp_path / "grid.3ds"
        path.write_bytes(module.grid_bytes(sweeps, **options))
        return path, sweeps

    return write
