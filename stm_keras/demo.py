"""The whole job at a small scale: train, find, compare with the truth."""

import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from stm_keras.detections import write_positions
from stm_keras.detector import load_detector
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.io.arrays import write_npz
from stm_keras.io.reader import read_maps
from stm_keras.maps import ConductanceMaps
from stm_keras.models.shipped import DEFAULT
from stm_keras.plots import detectors_side_by_side
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.results.folder import REPORT, write_result
from stm_keras.scoring import evaluate_files, format_table
from stm_keras.simulation.virtual_experiment import (
    named_virtual,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_EXTENT_NM
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
    """Train on a data set; find the impurities of a virtual experiment.

    The paper's network, trained here, and the model that ships are asked for
    the same file, whose truth is known.

    Args:
        data: prepared `scattering/demo` set.
        out: directory for the model and the results. A training that was
            stopped there is continued; a finished one is used as it is.
        verbosity: of the training.

    Yields:
        Lines for the user.
    """
    timed = _Steps()
    model = out / "model"
    yield "training the paper's network on them ..."
    _train(data, model, verbosity)
    yield timed.took("training")
    yield "measuring a virtual Au(111) surface that is not in its training ..."
    stack, truth = held_out_experiment()
    folder = writable_directory(out / "found")
    file = folder / "held_out.npz"
    write_npz(stack, file)
    write_positions(
        folder / "truth.csv",
        truth,
        np.ones(len(truth)),
        pixel_nm=stack.pixel_nm,
        notes=["the positions that the maps were simulated with"],
    )
    yield timed.took("measuring")
    yield "finding its impurities ..."
    maps, scores, marks = read_maps(file), {}, {}
    levelled = maps
    for name, directory in ((TRAINED, model), (SHIPPED, DEFAULT)):
        found = load_detector(directory).predict(
            maps, PredictOptions(surface="au111")
        )
        result = folder / name.split()[0]
        write_result(found, result, truth_px=truth)
        scores[name] = evaluate_files(
            result / "positions.csv", folder / "truth.csv"
        )
        marks[name.split()[0]] = found.marks(truth)
        levelled = found.search.levelled
        yield timed.took(f"finding, {name}")
    picture = folder / "side_by_side.png"
    with atomic_file(picture) as temporary:
        detectors_side_by_side(levelled, marks).savefig(temporary)
    yield format_table(scores)
    yield f"picture: {picture}"
    yield f"results: {', '.join(str(folder / n) for n in marks)}"
    pages = (str(folder / name / REPORT) for name in marks)
    yield f"pages, for a browser: {', '.join(pages)}"
    yield from NEXT


TRAINED = "wang2020 (the paper's, trained here)"
SHIPPED = f"{DEFAULT} (ships)"
NEXT = (
    "next, with a file of your own:",
    "  stmk inspect scan.sxm                             what is in it",
    "  stmk predict scan.sxm --surface au111 --out mine  its impurities",
)


class _Steps:
    """How long each step took."""

    def __init__(self) -> None:
        self.last = time.perf_counter()

    def took(self, what: str) -> str:
        """A line on the step that has just ended."""
        now = time.perf_counter()
        seconds, self.last = now - self.last, now
        return f"  {what}: {seconds:.0f} s"


def _train(data: Path, model: Path, verbosity: Verbosity) -> None:
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
