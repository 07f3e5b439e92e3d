"""Fig. 3 of arXiv:2006.15898: maxima of S on the map of bound states."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.nn.model import wang2020
from stm_keras.reproduction.experiments import (
    PAPER_TILING,
    Draw,
    load_experiments,
)
from stm_keras.reproduction.fig3_picture import draw_fig3
from stm_keras.reproduction.fig4 import Study, parse_run
from stm_keras.reproduction.jobs import (
    EXPERIMENTS,
    RUNS,
    Report,
    run_all,
)
from stm_keras.reproduction.settings import RunSettings
from stm_keras.reproduction.signs import score_in_paper_tiles
from stm_keras.reproduction.stopping import Choice, choose
from stm_keras.reproduction.tables import Row, read_rows, where
from stm_keras.system import writable_directory


class Prediction(NamedTuple):
    """A trained network on one experiment.

    Attributes:
        score: S of the frame, float32 [H, W], in the paper's tiles.
        weights: attention weights of the chosen region, float32 [V, L, L];
            at each pixel they sum to V.
        threshold: least S of a detection, in its standard deviations.
    """

    score: np.ndarray
    weights: np.ndarray
    threshold: float


def run_fig3(
    study: Study,
    out: str | Path,
    *,
    run: str = "both:0",
    number: int = 0,
    region: int = 5,
    epoch: int | None = None,
    processes: int = 1,
    report: Report = lambda line: None,
) -> Path:
    """Draw Fig. 3 for one run of the study, training it where it is missing.

    Args:
        study: the size of which `out` is.
        out: folder of the study, see `stm_keras.reproduction.fig4`.
        run: ARM:RUN.
        number: which of the shown experiments, from 0.
        region: which of the sixteen tiles, by rows, for the attention.
        epoch: from 1; None takes the one that the rule keeps, which knows no
            truth.
        processes: trainings at once.
        report: told what is done.

    Returns:
        The picture.

    Raises:
        InputError: for a run, experiment, region or epoch that is not there.
    """
    name = parse_run(run, study.runs, "--run")
    settings = study.jobs()[name]
    _check("--experiment", number, 0, study.experiment.n_shown - 1)
    _check("--region", region, 0, 15)
    _check("--epoch", 1 if epoch is None else epoch, 1, study.epochs)
    out = writable_directory(out)
    draw = load_experiments(study.experiment, out / EXPERIMENTS).shown[number]
    run_all({name: settings}, out, processes=processes, report=report)
    return _draw(out, settings, name, draw, region, epoch)


def _draw(
    out: Path,
    settings: RunSettings,
    name: str,
    draw: Draw,
    region: int,
    epoch: int | None,
) -> Path:
    """Draw a run that is there; see `run_fig3`."""
    points = where(read_rows(out / RUNS / name / "points.csv"), set="shown")
    kept = choose(points) if epoch is None else _at(points, epoch)
    weights = read_weights(out / RUNS / name / "weights.npz", kept.epoch)
    prediction = predict(settings, weights, draw, region, kept.row["threshold"])
    picture = out / "fig3.png"
    title = f"run {name}, epoch {kept.epoch}"
    draw_fig3(picture, draw, prediction, region=region, title=title)
    return picture


def _check(option: str, value: int, least: int, most: int) -> None:
    if not least <= value <= most:
        raise InputError(
            f"{option} must lie from {least} to {most}. Received: {value}."
        )


def _at(points: Sequence[Row], epoch: int) -> Choice:
    (row,) = where(points, epoch=epoch)
    return Choice(epoch, row, nonsense=False)


def read_weights(path: Path, epoch: int) -> list[np.ndarray]:
    """Weights of an epoch, in the network's order.

    Raises:
        InputError: where the file lacks them.
    """
    front = f"epoch{epoch}_"
    with np.load(path) as stored:
        names = [name for name in stored.files if name.startswith(front)]
        if not names:
            raise InputError(f"{path} holds no epoch {epoch}.")
        return [stored[f"{front}{i}"] for i in range(len(names))]


def predict(
    settings: RunSettings,
    weights: Sequence[np.ndarray],
    draw: Draw,
    region: int,
    threshold: float,
) -> Prediction:
    """Apply a network of a run to an experiment.

    Args:
        settings: of the run.
        weights: of the network.
        draw: the experiment.
        region: tile whose attention weights are wanted, by rows from 0.
        threshold: kept with the result.
    """
    network = wang2020(settings.alpha, **settings.network).network
    network.set_weights(weights)

    def score(tiles: np.ndarray) -> np.ndarray:
        return network(tf.constant(tiles), training=False).numpy()

    tile = tf.constant(draw.tiles[region : region + 1])
    _, attention = network(tile, return_weights=True)
    return Prediction(
        score_in_paper_tiles(draw.maps, score),
        attention.numpy()[0],
        threshold,
    )


def corner(region: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """First row and column [px] of a tile of a frame."""
    return list(PAPER_TILING.corners(shape[0], shape[1]))[region]
