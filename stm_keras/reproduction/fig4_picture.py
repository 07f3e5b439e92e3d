"""The picture of Fig. 4: curves, horizontal lines, paired differences."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from stm_keras.reproduction.arms import ARMS
from stm_keras.reproduction.drawing import STYLE, band, letter, new_figure, save
from stm_keras.reproduction.fig4_tables import PAIRS, paired
from stm_keras.reproduction.tables import Row, where
from stm_keras.reproduction.without_network import LOG, RINGS

GRID = "every second pixel of S"
_LINES = {
    LOG: ("#555555", (0, (1, 1.2)), "LoG, RMS map"),
    RINGS: ("#111111", (0, (5, 2)), "matched filter"),
    GRID: ("#c0392b", (0, (3, 1.5, 1, 1.5)), "grid, knows nothing"),
}
_CURVES = (
    ("a", "hit_ratio_em", "paper's hit ratio, EM reference"),
    ("b", "hit_ratio_truth", "paper's hit ratio, true positions"),
    ("d", "jaccard_em", "Jaccard index, EM reference"),
    ("e", "jaccard_truth", "Jaccard index, true positions"),
)
_COMPARED = (
    ("hit_ratio_em", "hit ratio, EM", "o"),
    ("jaccard_truth", "Jaccard, truth", "D"),
)


def draw_fig4(
    path: str | Path, points: Sequence[Row], lines: Sequence[Row]
) -> None:
    """Draw Fig. 4 with statistics.

    Args:
        path: PNG to write.
        points: every run's rows, see `stm_keras.reproduction.fig4`.
        lines: rows of the methods without a network.
    """
    with mpl.rc_context(STYLE):
        figure = new_figure(10.4, 5.8)
        panels = figure.subplot_mosaic([list("abc"), list("def")])
        shown = where(points, set="shown")
        for key, metric, title in _CURVES:
            _curves(panels[key], shown, metric)
            _horizontal(panels[key], where(lines, set="shown"), metric)
            _limit(panels[key])
            letter(panels[key], key, title)
        _entropies(panels["c"], shown)
        letter(panels["c"], "c", "entropy of the prediction [nat]")
        _differences(panels["f"], points)
        letter(panels["f"], "f", "differences at the last epoch, 95 % CI")
        handles, labels = panels["a"].get_legend_handles_labels()
        figure.legend(
            handles,
            labels,
            loc="outside upper center",
            ncols=len(labels),
            fontsize=8,
        )
    save(figure, path)


def curve(rows: Sequence[Row], arm: str, metric: str) -> np.ndarray:
    """A metric of an arm, [runs, epochs]."""
    mine = where(rows, arm=arm)
    runs = sorted({row["run"] for row in mine})
    return np.array(
        [[row[metric] for row in where(mine, run=run)] for run in runs],
        np.float64,
    )


def _epochs(rows: Sequence[Row]) -> np.ndarray:
    return np.array(sorted({row["epoch"] for row in rows}))


def _curves(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    epochs = _epochs(rows)
    for arm in ARMS.values():
        band(
            axes,
            epochs,
            curve(rows, arm.name, metric),
            arm.colour,
            arm.name,
        )
    axes.set_xlabel("epoch")
    axes.set_xlim(0, len(epochs) + 0.5)
    axes.grid(axis="y", lw=0.3, color="#cccccc")


def _horizontal(axes: Axes, lines: Sequence[Row], metric: str) -> None:
    for method, (colour, style, label) in _LINES.items():
        (row,) = where(lines, method=method)
        axes.axhline(row[metric], color=colour, ls=style, lw=1, label=label)


def _limit(axes: Axes) -> None:
    """Leave out a tenth at an end that holds nothing, as often as may be."""
    drawn = np.concatenate([line.get_ydata() for line in axes.get_lines()])
    low = np.floor(10 * (drawn.min() - 0.05)) / 10
    high = np.ceil(10 * (drawn.max() + 0.05)) / 10
    axes.set_ylim(max(low, 0.0), min(high, 1.0))


def _entropies(axes: Axes, rows: Sequence[Row]) -> None:
    epochs = _epochs(rows)
    for arm in ARMS.values():
        values = curve(rows, arm.name, "entropy")
        fake = curve(rows, arm.name, "entropy_surrogate")
        band(axes, epochs, values, arm.colour)
        axes.plot(epochs, fake.mean(axis=0), color=arm.colour, ls=":", lw=1.2)
    axes.plot([], [], color="#444444", label="experiment")
    axes.plot([], [], color="#444444", ls=":", lw=1.2, label="its surrogates")
    axes.legend(loc="upper right")
    axes.set_xlabel("epoch")
    axes.set_xlim(0, len(epochs) + 0.5)
    axes.set_ylim(0, 6.2)
    axes.axhline(np.log(400), color="#999999", lw=0.6)
    axes.annotate(
        "ln 400: uniform",
        (0.4, np.log(400)),
        textcoords="offset points",
        xytext=(0, 2),
        fontsize=6.5,
        color="#666666",
    )


def _differences(axes: Axes, points: Sequence[Row]) -> None:
    for i, (more, less) in enumerate(PAIRS):
        for j, (metric, label, marker) in enumerate(_COMPARED):
            estimate = paired(points, more, less, metric)
            y = i + 0.28 * (j - 0.5)
            axes.plot(
                [estimate.low, estimate.high], [y, y], color="#333333", lw=1.2
            )
            axes.plot(
                [estimate.mean],
                [y],
                marker,
                ms=4.5,
                mfc="#333333" if j == 0 else "white",
                mec="#333333",
                label=label if i == 0 else None,
            )
    axes.axvline(0, color="#999999", lw=0.8)
    axes.set_yticks(
        range(len(PAIRS)), [f"{more}\n− {less}" for more, less in PAIRS]
    )
    axes.invert_yaxis()
    axes.set_xlabel("difference, paired by seed")
    axes.grid(axis="x", lw=0.3, color="#cccccc")
    axes.legend(loc="best")
