"""Pictures of what was found."""

import math
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

from stm_keras.maps import ConductanceMaps

_DPI = 200
KIND_MARKS = (
    ("o", "#56b4e9"),
    ("^", "#e69f00"),
    ("D", "#009e73"),
    ("v", "#cc79a7"),
)
"""Marker and colour of the kinds of impurities."""

_FOUND_COLOUR = "#e63946"
_NICE_LENGTHS_NM = np.outer([1.0, 2.0, 5.0], 10.0 ** np.arange(-2, 5))
_OUTLINE: list[Any] = [withStroke(linewidth=1.5, foreground="black")]
_PREFIXES = {
    -5: "f",
    -4: "p",
    -3: "n",
    -2: "µ",
    -1: "m",
    0: "",
    1: "k",
    2: "M",
}
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.titlesize": 9,
    "axes.linewidth": 0.6,
    "image.interpolation": "nearest",
}


def overview(
    maps: ConductanceMaps,
    score: np.ndarray,
    criterion: str,
    positions_nm: np.ndarray,
    truth_nm: np.ndarray | None = None,
    *,
    kinds: np.ndarray | None = None,
) -> Figure:
    """Draw a map, the score S and the positions side by side.

    Args:
        maps: levelled.
        score: S of the same frame, [H', W']; NaN where not measured.
        criterion: what counted as a detection, for the title.
        positions_nm: y and x of what was found [nm], [n, 2].
        truth_nm: y and x of the true positions [nm], where they are known.
        kinds: of what was found from 1, NaN where it is not determined [n],
            for a mark of its own each; None where nobody asked.
    """
    with mpl.rc_context(_STYLE):
        figure = Figure(figsize=(10.2, 3.9), layout="constrained", dpi=_DPI)
        FigureCanvasAgg(figure)
        first, second, third = figure.subplots(1, 3)
        middle = maps.data[len(maps.data) // 2]
        extent = _extent(maps)
        _show(first, *_in_prefix(middle, maps.unit), extent, "gray")
        bias = maps.bias_v[len(maps.bias_v) // 2] * 1e3
        first.set_title(f"{maps.channel or 'map'}, {bias:.4g} mV")
        _show(second, score, "S", extent, "magma")
        second.set_title(f"score S of {len(maps.data)} map(s)")
        if len(maps.data) > 1:
            rms, label = _in_prefix(rms_map(maps.data), maps.unit)
            _show(third, rms, f"RMS over bias {label}", extent, "gray")
        else:
            _show(third, *_in_prefix(middle, maps.unit), extent, "gray")
        _mark(third, positions_nm, truth_nm, kinds)
        third.set_title(f"{len(positions_nm)} impurities, {criterion}")
        for axes in (first, second, third):
            scale_bar(axes, maps.extent_nm)
    return figure


def rms_map(maps: np.ndarray) -> np.ndarray:
    """Root mean square over the voltages of mean-free maps.

    Args:
        maps: [V, H, W], float; NaN = not measured.

    Returns:
        float64 [H, W], in the unit of `maps`; NaN where no map has a value.
    """
    measured = np.isfinite(maps)
    about = maps - np.nanmean(maps, axis=(1, 2), keepdims=True)
    squares = np.where(measured, about, 0.0).astype(np.float64) ** 2
    count = measured.sum(axis=0)
    mean = squares.sum(axis=0) / np.maximum(count, 1)
    return np.where(count > 0, np.sqrt(mean), np.nan)


def _show(
    axes: Axes,
    image: np.ndarray,
    label: str,
    extent: tuple[float, float, float, float],
    colours: str,
) -> None:
    # A few extreme pixels must not take the contrast from all the others.
    low, high = np.nanpercentile(image, (0.5, 99.5))
    shown = axes.imshow(image, cmap=colours, extent=extent, vmin=low, vmax=high)
    axes.set_facecolor("#7f9c9c")  # not measured
    axes.set_xticks([])
    axes.set_yticks([])
    bar = axes.figure.colorbar(shown, ax=axes, shrink=0.82, pad=0.02)
    bar.ax.tick_params(labelsize=7, width=0.5)
    bar.set_label(label, fontsize=8)


def _mark(
    axes: Axes,
    positions_nm: np.ndarray,
    truth_nm: np.ndarray | None,
    kinds: np.ndarray | None,
) -> None:
    if truth_nm is not None:
        axes.scatter(*truth_nm.T[::-1], s=9, c="#1d9bf0", lw=0, label="truth")
    groups = _groups(len(positions_nm), kinds)
    for own, marker, colour, label in groups:
        axes.scatter(
            *positions_nm[own].T[::-1],
            s=60,
            marker=marker,
            facecolors="none",
            edgecolors=colour,
            lw=1.0,
            label=label,
        )
    if groups and (truth_nm is not None or kinds is not None):
        # Below the frame: inside, it would hide impurities.
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, 0.0),
            ncols=2,
            fontsize=7,
            frameon=False,
        )


def _groups(
    n: int, kinds: np.ndarray | None
) -> list[tuple[np.ndarray, str, str, str]]:
    """What is marked alike: which, marker, colour, words."""
    if kinds is None:
        return [(np.ones(n, bool), "s", _FOUND_COLOUR, "found")]
    groups = [
        (kinds == kind, *KIND_MARKS[(int(kind) - 1) % len(KIND_MARKS)], kind)
        for kind in np.unique(kinds[np.isfinite(kinds)])
    ]
    shown = [
        (own, marker, colour, f"species {kind:.0f}: {own.sum()}")
        for own, marker, colour, kind in groups
    ]
    other = ~np.isfinite(kinds)
    if other.any():
        words = f"species not determined: {other.sum()}"
        shown.append((other, "s", _FOUND_COLOUR, words))
    return shown


def scale_bar(axes: Axes, extent_nm: tuple[float, float]) -> None:
    """Draw a bar of a round length, about a fifth of the frame's width.

    Args:
        axes: with the frame from its top left corner, in nm.
        extent_nm: height and width of the frame [nm].
    """
    height, width = extent_nm
    lengths = _NICE_LENGTHS_NM.ravel()
    length = lengths[np.argmin(np.abs(np.log(lengths / (width / 5))))]
    left, bottom = 0.05 * width, 0.94 * height
    thick = 0.012 * height
    axes.add_patch(
        Rectangle(
            (left, bottom), length, thick, color="white", ec="black", lw=0.4
        )
    )
    axes.text(
        left + length / 2,
        bottom - 0.4 * thick,
        f"{length:g} nm",
        ha="center",
        va="bottom",
        fontsize=8,
        color="white",
    ).set_path_effects(_OUTLINE)


def _extent(maps: ConductanceMaps) -> tuple[float, float, float, float]:
    height, width = maps.extent_nm
    return 0.0, width, height, 0.0


def _in_prefix(image: np.ndarray, unit: str) -> tuple[np.ndarray, str]:
    """An image in the SI prefix that suits it, and its unit with that."""
    if not unit:
        return image, ""
    largest = float(np.nanmax(np.abs(image)))
    power = math.floor(math.log10(largest) / 3) if largest > 0 else 0
    power = min(max(power, min(_PREFIXES)), max(_PREFIXES))
    return image / 1000.0**power, f"[{_PREFIXES[power]}{unit}]"
