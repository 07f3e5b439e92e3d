import datetime
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings

from data_builders.building import build, named_config
from data_builders.friedel.friedel_dataset_builder import Builder
from stm_keras.models.export import export_in_place
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)

# How long an example takes is the machine's affair, not the code's.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

MODELS = Path(__file__).parent / "models"
FUZZ_SEED = "STMK_FUZZ_SEED"


def pytest_configure():
    """Once for all processes, that of the day unless one is given."""
    os.environ.setdefault(FUZZ_SEED, f"{datetime.date.today():%Y%m%d}")


def pytest_report_header():
    return f"damaged files: {FUZZ_SEED}={os.environ[FUZZ_SEED]} repeats them"


@pytest.fixture(scope="session")
def fuzz_seed():
    """Of what damages files; another one every day."""
    return int(os.environ[FUZZ_SEED])


@pytest.fixture(scope="session")
def friedel(tmp_path_factory):
    """A small prepared set: 8 maps of 20 x 20 px."""
    config = named_config(Builder, "demo").changed(n_examples=(70, 9, 10))
    return build(Builder, config, tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="session")
def virtual_scan(tmp_path_factory):
    """A file of eight maps of a virtual experiment of Au(111)."""
    whole = simulate_virtual(
        named_virtual("medium", "typical"), np.random.default_rng(5)
    )
    path = tmp_path_factory.mktemp("scan") / "scan.npz"
    np.savez(
        path,
        maps=whole.maps[::16],
        bias_v=whole.bias_v[::16],
        extent_nm=[37.5, 37.5],
    )
    return path


@pytest.fixture(scope="session")
def model(tmp_path_factory):
    """A model directory of a `Wang2020` that has seen little."""
    out = tmp_path_factory.mktemp("models") / "little"
    shutil.copytree(MODELS / "wang2020", out)
    export_in_place(out)
    return out


@pytest.fixture(scope="session")
def little_context():
    """Weights, card and ground of a `Context` that has seen little."""
    return MODELS / "context"
