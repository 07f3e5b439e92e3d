"""The picture of a sweep: scores at the last epoch against one setting."""

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from stm_keras.reproduction.arms import ARMS
from stm_keras.reproduction.drawing import STYLE, band, letter, new_figure, save
from stm_keras.reproduction.tables import Row, where

_PANELS = (
    ("a", "hit_ratio_em", "paper's hit ratio, EM"),
    ("b", "jaccard_truth", "Jaccard, truth"),
    ("c", "precision_truth", "precision, truth"),
    ("d", "entropy", "entropy [nat]"),
)
_NAMES = {
    "difficulty": "noise and short range",
    "alpha": "alpha",
    "eta": "eta",
    "core": "short-range core",
    "density": "impurities in the frame",
    "voltages": "voltages",
}


def draw_sweep(path: str | Path, rows: Sequence[Row]) -> None:
    """Draw scores at the last epoch against the setting that was swept.

    Args:
        path: PNG to write.
        rows: see `stm_keras.reproduction.sweeps`.
    """
    shown = where(rows, set="shown")
    last = max(row["epoch"] for row in shown)
    shown = where(shown, epoch=last)
    with mpl.rc_context(STYLE):
        figure = new_figure(10.4, 2.6)
        panels = figure.subplots(1, len(_PANELS))
        for axes, (key, metric, title) in zip(panels, _PANELS, strict=True):
            _panel(axes, shown, metric)
            letter(axes, key, title)
        panels[0].legend(loc="best")
    save(figure, path)


def _panel(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    values = list(dict.fromkeys(row["value"] for row in rows))
    places = np.arange(len(values))
    for arm in dict.fromkeys(row["arm"] for row in rows):
        scores = np.array(
            [
                [row[metric] for row in where(rows, arm=arm, value=value)]
                for value in values
            ]
        ).T
        colour = ARMS[arm].colour
        band(axes, places, scores, colour, arm, marker="o", ms=3)
        for run in scores:
            axes.plot(places, run, ".", color=colour, ms=2.5, alpha=0.6)
    axes.set_xticks(places, [str(value) for value in values])
    axes.set_xlabel(_NAMES[rows[0]["over"]])
    axes.grid(axis="y", lw=0.3, color="#cccccc")
    if metric != "entropy":
        axes.set_ylim(0, 1)
