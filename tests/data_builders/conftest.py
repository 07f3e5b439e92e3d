import inspect
import json
import subprocess
import sys
from typing import Any

import pytest

from data_builders.building import build, named_config
from data_builders.scattering.scattering_dataset_builder import Builder


def digests_of(directory):
    """A digest of every example, split by split, in the stored order."""
    import hashlib

    import tensorflow_datasets as tfds

    def digest(example):
        parts = hashlib.sha256()
        for name in sorted(example):
            parts.update(name.encode() + example[name].tobytes())
        return parts.hexdigest()

    builder: Any = tfds.builder_from_directory(directory)
    order = tfds.ReadConfig(interleave_cycle_length=1, try_autocache=False)
    return {
        split: [
            digest(example)
            for example in tfds.as_numpy(
                builder.as_dataset(split=split, read_config=order)
            )
        ]
        for split in builder.info.splits
    }


@pytest.fixture
def digests():
    return digests_of


def run_python(code, *arguments, cwd):
    done = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


READ_WITHOUT_US = f"""
import json, sys
from typing import Any

class NotInstalled:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("stm_keras", "data_builders", "cli"):
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, NotInstalled())
try:
    import data_builders
except ModuleNotFoundError:
    pass
else:
    raise SystemExit("the package is to be found")

{inspect.getsource(digests_of)}

print(json.dumps([digests_of(path) for path in sys.argv[1:]]))
"""


@pytest.fixture
def python(tmp_path):
    """Run code in a fresh process; gives what it printed."""
    return lambda code, *arguments: run_python(code, *arguments, cwd=tmp_path)


@pytest.fixture
def read_without_us(python):
    """Digests as a process finds them where our package is not installed."""
    return lambda *paths: json.loads(
        python(READ_WITHOUT_US, *paths).splitlines()[-1]
    )


@pytest.fixture(scope="session")
def tiny_config():
    """A small scattering set: 4 maps of 24 x 24 px."""
    return named_config(Builder, "tiny").changed(n_examples=(70, 3, 2))


@pytest.fixture(scope="session")
def tiny(tiny_config, tmp_path_factory):
    return build(Builder, tiny_config, tmp_path_factory.mktemp("data"))
