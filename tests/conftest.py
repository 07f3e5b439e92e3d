import numpy as np
import pytest
from hypothesis import settings

from data_builders.building import build, named_config
from data_builders.friedel.friedel_dataset_builder import Builder
from stm_keras.data.batch_config import BatchConfig
from stm_keras.fitting.fit_config import FitConfig
from stm_keras.fitting.training import fit
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)

# How long an example takes is the machine's affair, not the code's.
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")

SMALL_NETWORK = {
    "filters": 4,
    "attention_filters": 2,
    "kernel_size": 3,
    "depth": 1,
}


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
def model(friedel, tmp_path_factory):
    """A model directory of a network that has seen little."""
    out = tmp_path_factory.mktemp("models") / "little"
    fit(
        FitConfig(
            friedel,
            out,
            epochs=2,
            batches=BatchConfig(16, noise=0.2, voltages=(2, 8), seed=1),
            network=SMALL_NETWORK,
            command="stmk fit ...",
        )
    )
    return out
