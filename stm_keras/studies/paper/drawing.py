"""What the pictures of a study have in common."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stm_keras.files import atomic_file
from stm_keras.studies.paper.criteria import curve_band

DPI = 200
STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.linewidth": 0.6,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "legend.fontsize": 7,
    "lines.linewidth": 1.5,
    "image.interpolation": "nearest",
}


def new_figure(width_in: float, height_in: float) -> Figure:
    """An empty figure, to be drawn within `mpl.rc_context(STYLE)`."""
    figure = Figure(figsize=(width_in, height_in), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: str | Path) -> None:
    """Write a figure, whole or not at all."""
    # Neither date nor version in the file: the same picture, the same bytes.
    metadata = {"Software": None}
    with mpl.rc_context(STYLE), atomic_file(path) as temporary:
        figure.savefig(temporary, dpi=DPI, metadata=metadata)


def letter(axes: Axes, text: str, title: str) -> None:
    """Title of a panel with its letter."""
    axes.set_title(f"$\\bf{{{text}}}$  {title}", loc="left")


def band(
    axes: Axes,
    x: Sequence[float] | np.ndarray,
    values: np.ndarray,
    colour: str,
    label: str | None = None,
    **line: Any,
) -> None:
    """A mean curve over runs with its 95 % bootstrap band.

    Args:
        axes: to draw in.
        x: of the points, [n].
        values: [runs, n].
        colour: of both.
        label: for the legend.
        **line: for `Axes.plot`.
    """
    mean, low, high = curve_band(values)
    axes.fill_between(x, low, high, color=colour, alpha=0.18, lw=0)
    axes.plot(x, mean, color=colour, label=label, **line)
