"""The picture of Fig. 3: squares, dots, and attention over the voltages."""

from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from stm_keras.analysis.peaks import find_peaks
from stm_keras.reproduction.drawing import STYLE, letter, new_figure, save
from stm_keras.reproduction.epoch_scores import pooled
from stm_keras.reproduction.experiments import PAPER_TILING, Draw
from stm_keras.reproduction.settings import TILE_PX
from stm_keras.scoring import standardised

_SQUARE = "#d62828"


def draw_fig3(
    path: str | Path,
    draw: Draw,
    prediction: Any,
    *,
    region: int,
    title: str,
) -> None:
    """Draw a prediction over the map of bound states.

    Args:
        path: PNG to write.
        draw: the experiment.
        prediction: see `stm_keras.reproduction.fig3.Prediction`.
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


def _predictions(figure: Any, draw: Draw, prediction: Any, region: int) -> None:
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
    row, col = list(PAPER_TILING.corners(*score.shape))[region]
    axes.add_patch(
        Rectangle(
            (col - 0.5, row - 0.5), TILE_PX, TILE_PX, fill=False, ec="white"
        )
    )
    axes.scatter(*draw.positions.T[::-1], s=5, c="#4cc9f0", lw=0)
    _bare(axes)


def _attention(figure: Any, draw: Draw, prediction: Any, region: int) -> None:
    """Maps of the region above, their attention weights below."""
    row, col = list(PAPER_TILING.corners(*prediction.score.shape))[region]
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
