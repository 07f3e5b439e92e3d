"""The whole job at a small scale: train, find, compare with the truth."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stm_keras.analysis.positions_file import write_positions
from stm_keras.data.pipeline import BatchConfig
from stm_keras.evaluation import evaluate_files, format_table
from stm_keras.file_prediction import write_prediction
from stm_keras.files import writable_directory
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.numpy_files import write_npz
from stm_keras.io.reader import read_maps
from stm_keras.prediction import PredictOptions, predict_maps
from stm_keras.saved_finder import load_finder
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel
from stm_keras.surfaces import (
    PAPER_BIAS_V,
    PAPER_EXTENT_NM,
    PAPER_PIXEL_NM,
    PAPER_SIZE_PX,
    SURFACES,
)
from stm_keras.training import FitConfig, Verbosity, fit

NOISE = 0.3
N_VOLTAGES = 8
N_IMPURITIES = 40
SEED = 20_200_630
"""Of the held-out stack; the training set has seed 0."""


def run_demo(
    data: Path, out: Path, *, verbosity: Verbosity = "lines"
) -> Iterator[str]:
    """Train on a data set and find the impurities of a stack of its own.

    Args:
        data: prepared `friedel/demo` set.
        out: directory for the model and the results. A training that was
            stopped there is continued; a finished one is used as it is.
        verbosity: of the training.

    Yields:
        Lines for the user.
    """
    model = out / "model"
    yield "training the paper's network on simulated maps ..."
    fit(
        FitConfig(
            data,
            model,
            epochs=6,
            batches=BatchConfig(noise=NOISE),
            network={"filters": 16, "attention_filters": 4},
            command="stmk demo",
        ),
        resume=True,
        verbosity=verbosity,
    )
    stack, truth = held_out_stack()
    found = writable_directory(out / "found")
    write_npz(stack, found / "held_out.npz")
    write_positions(
        found / "truth.csv",
        truth,
        np.ones(len(truth)),
        pixel_nm=stack.pixel_nm,
        header_notes=["the positions that the stack was simulated with"],
    )
    yield "finding the impurities of a stack that it has never seen ..."
    prediction = predict_maps(
        read_maps(found / "held_out.npz"),
        load_finder(model),
        PredictOptions(surface="au111", levelling="none"),
    )
    write_prediction(prediction, found, truth_px=truth)
    score = evaluate_files(found / "positions.csv", found / "truth.csv")
    yield format_table({f"{PAPER_SIZE_PX} x {PAPER_SIZE_PX} px": score})
    yield f"picture:   {found / 'overview.png'}"
    yield f"positions: {found / 'positions.csv'}"


def held_out_stack() -> tuple[ConductanceMaps, np.ndarray]:
    """A noisy stack of the paper's frame, and its impurities.

    Returns:
        Maps of `N_VOLTAGES` of the paper's biases, and the row and column
        [px] of the impurities, float32 [n, 2].
    """
    rng = np.random.default_rng(SEED)
    chosen = np.linspace(0, len(PAPER_BIAS_V) - 1, N_VOLTAGES).round()
    bias_v = np.asarray(PAPER_BIAS_V)[chosen.astype(int)]
    config = FriedelConfig(
        size_px=PAPER_SIZE_PX,
        n_voltages=N_VOLTAGES,
        n_impurities=(N_IMPURITIES, N_IMPURITIES),
        on_grid=False,
    )
    k = SURFACES["au111"].wave_number(bias_v) * PAPER_PIXEL_NM
    fields = simulate_friedel(config, rng, 1, wave_numbers=k)
    maps = fields.maps[0]
    maps += NOISE * rng.standard_normal(maps.shape, np.float32)
    stack = ConductanceMaps(
        data=maps,
        bias_v=bias_v,
        extent_nm=(PAPER_EXTENT_NM, PAPER_EXTENT_NM),
        channel="simulated dI/dV",
        source="held-out stack",
        provenance=(f"Eq. 3 with white noise {NOISE:g}, seed {SEED}",),
    )
    return stack, fields.positions[0]
