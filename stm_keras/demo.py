"""The whole job at a small scale: train, find, compare with the truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stm_keras.detections import write_positions
from stm_keras.detector import load_detector
from stm_keras.errors import InputError
from stm_keras.io.arrays import write_npz
from stm_keras.io.reader import read_maps
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.results.folder import write_result
from stm_keras.scoring import evaluate_files, format_table
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_EXTENT_NM
from stm_keras.system import writable_directory
from stm_keras.training import fit
from stm_keras.training.config import Wang2020Config
from stm_keras.training.datasets import BatchConfig
from stm_keras.training.evaluation import keep_maps
from stm_keras.training.trainer import Verbosity

NOISE = 0.2
N_VOLTAGES = 8
SEED = 20_200_630
"""Of the held-out experiment; the training set has seed 0."""


def run_demo(
    data: Path, out: Path, *, verbosity: Verbosity = "lines"
) -> Iterator[str]:
    """Train on a data set and find the impurities of a virtual experiment.

    Args:
        data: prepared `scattering/demo` set.
        out: directory for the model and the results. A training that was
            stopped there is continued; a finished one is used as it is.
        verbosity: of the training.

    Yields:
        Lines for the user.
    """
    model = out / "model"
    yield "training the paper's network on them ..."
    config = Wang2020Config(
        data,
        model,
        epochs=4,
        learning_rate=3e-3,
        batches=BatchConfig(noise=NOISE),
        network={"filters": 16, "attention_filters": 4},
        command="stmk demo",
    )
    try:
        fit(config, resume=True, verbosity=verbosity)
    except InputError:  # what another version's demo has left there
        fit(config, overwrite=True, verbosity=verbosity)
    yield "measuring a virtual Au(111) surface that is not in its training ..."
    stack, truth = held_out_experiment()
    found = writable_directory(out / "found")
    write_npz(stack, found / "held_out.npz")
    write_positions(
        found / "truth.csv",
        truth,
        np.ones(len(truth)),
        pixel_nm=stack.pixel_nm,
        notes=["the positions that the maps were simulated with"],
    )
    detections = load_detector(model).predict(
        read_maps(found / "held_out.npz"), PredictOptions(surface="au111")
    )
    write_result(detections, found, truth_px=truth)
    score = evaluate_files(found / "positions.csv", found / "truth.csv")
    yield format_table({"found": score})
    yield f"report:    {found / 'report.html'}"
    yield f"picture:   {found / 'overview.png'}"
    yield f"positions: {found / 'positions.csv'}"


def held_out_experiment() -> tuple[ConductanceMaps, np.ndarray]:
    """A typical virtual experiment in the paper's frame, and its impurities.

    Returns:
        `N_VOLTAGES` of the paper's 126 maps, and the row and column [px] of
        the impurities, float64 [n, 2].
    """
    config = named_virtual("medium", "typical")
    experiment = simulate_virtual(config, np.random.default_rng(SEED))
    maps = ConductanceMaps(
        data=experiment.maps,
        bias_v=experiment.bias_v,
        extent_nm=(PAPER_EXTENT_NM, PAPER_EXTENT_NM),
        channel="simulated dI/dV",
        source="virtual Au(111) experiment",
        provenance=(f"multiple scattering, typical noise, seed {SEED}",),
    )
    return keep_maps(maps, N_VOLTAGES), experiment.positions
