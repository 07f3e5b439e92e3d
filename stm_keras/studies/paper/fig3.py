"""Fig. 3 of arXiv:2006.15898: maxima of S on the map of bound states."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
import tensorflow as tf
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from stm_keras.baselines import find_peaks
from stm_keras.errors import InputError
from stm_keras.files import writable_directory
from stm_keras.nn.model import wang2020
from stm_keras.scoring import standardised
from stm_keras.studies.paper.criteria import Choice, choose
from stm_keras.studies.paper.drawing import STYLE, letter, new_figure, save
from stm_keras.studies.paper.experiments import (
    PAPER_TILING,
    Draw,
    load_experiments,
)
from stm_keras.studies.paper.run import (
    EXPERIMENTS,
    RUNS,
    Report,
    run_all,
)
from stm_keras.studies.paper.scores import pooled, score_in_paper_tiles
from stm_keras.studies.paper.settings import (
    TILE_PX,
    RunSettings,
    Study,
    parse_run,
)
from stm_keras.studies.tables import Row, read_rows, where


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
        out: folder of the study, see `stm_keras.studies.paper.fig4`.
        run: ARM:RUN.
        number: which of the shown experiments, from 0.
        region: which of the sixteen tiles, by rows, for the attention.
        epoch: from 1; None takes the one that the rule keeps, which knows no
            truth.
        processes: trainings at once.
        report: given what is done.

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


def _corner(region: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """First row and column [px] of a tile of a frame."""
    return list(PAPER_TILING.corners(shape[0], shape[1]))[region]


_SQUARE = "#d62828"


def draw_fig3(
    path: str | Path,
    draw: Draw,
    prediction: Prediction,
    *,
    region: int,
    title: str,
) -> None:
    """Draw a prediction over the map of bound states.

    Args:
        path: PNG to write.
        draw: the experiment.
        prediction: see `Prediction`.
        region: tile whose attention is shown.
        title: of the whole.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(10.4, 6.6)
        top, bottom = np.ravel(
            np.asarray(figure.subfigures(2, 1, height_ratios=(1.4, 1.0)))
        )
        _predictions(top, draw, prediction, region)
        top.suptitle(title, fontsize=8.5)
        _attention(bottom, draw, prediction, region)
    save(figure, path)


def _predictions(
    figure: Any, draw: Draw, prediction: Prediction, region: int
) -> None:
    """Every maximum, the detections, and S."""
    every = find_peaks(prediction.score, refine=False).positions
    peaks = find_peaks(standardised(prediction.score))
    found = peaks.positions[peaks.scores > prediction.threshold]
    left, middle, right = figure.subplots(1, 3)
    scores = [pooled([p], [draw.reference]) for p in (every, found)]
    _over_bound_state(left, draw, every)
    letter(left, "a", f"every maximum: hit ratio {scores[0].hit_ratio:.2f}")
    _over_bound_state(middle, draw, found)
    letter(
        middle,
        "b",
        f"detections: {scores[1].true_positives} of "
        f"{scores[1].n_reference} points, {scores[1].n_predicted} squares",
    )
    _score(right, prediction.score, draw, region)
    letter(right, "c", "score S and the region below")
    handles, labels = middle.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside upper left", ncols=3)


def _over_bound_state(axes: Axes, draw: Draw, found: np.ndarray) -> None:
    image = draw.bound_state
    low, high = np.percentile(image, (1, 99.5))
    axes.imshow(image, cmap="YlGnBu_r", vmin=low, vmax=high)
    axes.scatter(
        *found.T[::-1],
        s=20,
        marker="s",
        facecolors="none",
        edgecolors=_SQUARE,
        lw=0.9,
        label="maxima of S",
    )
    axes.scatter(
        *draw.reference.T[::-1],
        s=9,
        c="black",
        lw=0.4,
        edgecolors="white",
        label="reference: EM on the bound states",
    )
    axes.scatter(
        *draw.decoys.T[::-1],
        s=22,
        marker="x",
        c="#f4a261",
        lw=1.0,
        label="decoys",
    )
    _bare(axes)


def _bare(axes: Axes) -> None:
    axes.set_xticks([])
    axes.set_yticks([])
    axes.spines[["top", "right"]].set_visible(True)


def _score(axes: Axes, score: np.ndarray, draw: Draw, region: int) -> None:
    low, high = np.percentile(score, (1, 99.8))
    shown = axes.imshow(score, cmap="magma", vmin=low, vmax=high)
    axes.figure.colorbar(shown, ax=axes, shrink=0.7, pad=0.02).set_label("S")
    row, col = _corner(region, score.shape)
    axes.add_patch(
        Rectangle(
            (col - 0.5, row - 0.5), TILE_PX, TILE_PX, fill=False, ec="white"
        )
    )
    axes.scatter(*draw.positions.T[::-1], s=5, c="#4cc9f0", lw=0)
    _bare(axes)


def _attention(
    figure: Any, draw: Draw, prediction: Prediction, region: int
) -> None:
    """Maps of the region above, their attention weights below."""
    row, col = _corner(region, prediction.score.shape)
    tile = draw.maps[:, row : row + TILE_PX, col : col + TILE_PX]
    weights = prediction.weights
    panels = figure.subplots(2, len(tile), squeeze=False)
    low, high = np.percentile(weights, (1, 99))
    inside = draw.positions - (row, col)
    inside = inside[np.all((inside > -0.5) & (inside < TILE_PX - 0.5), axis=1)]
    for i, (upper, lower) in enumerate(panels.T):
        upper.imshow(tile[i], cmap="gray")
        upper.set_title(f"{draw.bias_v[i] * 1e3:.0f} mV", fontsize=7.5)
        lower.imshow(weights[i], cmap="viridis", vmin=low, vmax=high)
        lower.set_xlabel(f"mean {weights[i].mean():.2f}", fontsize=7)
        for axes in (upper, lower):
            axes.scatter(*inside.T[::-1], s=6, c="#4cc9f0", lw=0)
            _bare(axes)
    panels[0, 0].set_ylabel("dI/dV")
    panels[1, 0].set_ylabel("weight")
    bar = figure.colorbar(
        panels[1, 0].images[0], ax=panels, shrink=0.5, pad=0.01
    )
    bar.set_label("attention")
    figure.suptitle(
        "$\\bf{d}$  the region: maps, and the attention weights c of Eq. 1",
        x=0.01,
        ha="left",
        fontsize=8.5,
    )
