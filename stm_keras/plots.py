"""Pictures of what was found."""

import io
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from stm_keras.maps import ConductanceMaps

_DPI = 200
_MOST_ACROSS = 3
KIND_MARKS = (
    ("o", "#56b4e9"),
    ("^", "#e69f00"),
    ("D", "#009e73"),
    ("v", "#cc79a7"),
)
"""Marker and colour of the kinds of impurities."""

_FOUND_COLOUR = "#e63946"
_FALSE_COLOUR = "#ffb000"
_TRUTH_COLOUR = "#1d9bf0"
_WITHIN_95 = 2.448
"""Standard deviations to the edge of an ellipse that holds 95 % of a normal
distribution in the plane: sqrt(-2 ln 0.05)."""
_NICE_LENGTHS_NM = np.outer([1.0, 2.0, 5.0], 10.0 ** np.arange(-2, 5))
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


class ShownFigure(Figure):
    """A figure that a notebook shows, whether pyplot was imported or not.

    Args:
        **options: see `matplotlib.figure.Figure`.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        FigureCanvasAgg(self)

    def _repr_png_(self) -> bytes:
        """The picture, as IPython asks for it."""
        file = io.BytesIO()
        self.savefig(file, format="png", dpi=_SHOWN_DPI)
        return file.getvalue()


_SHOWN_DPI = 80


@dataclass(frozen=True, eq=False)
class Marks:
    """What is drawn on a map.

    Attributes:
        positions_nm: y and x of what was found [nm], [n, 2].
        deviations_nm: standard deviations of the two [nm], [n, 2], where they
            are known.
        truth_nm: y and x of the true positions [nm], [m, 2], where they are
            known.
        true: which of the found are true, bool [n], likewise.
        kinds: of what was found from 1, NaN where it is not determined [n],
            for a mark of its own each; None where nobody asked.
    """

    positions_nm: np.ndarray
    deviations_nm: np.ndarray | None = None
    truth_nm: np.ndarray | None = None
    true: np.ndarray | None = None
    kinds: np.ndarray | None = None

    @property
    def counts(self) -> str:
        """How many, in words."""
        if self.true is None or self.truth_nm is None:
            return f"{len(self.positions_nm)} impurities"
        right = int(self.true.sum())
        return (
            f"{right} true, {len(self.true) - right} false, "
            f"{len(self.truth_nm) - right} missed"
        )


def overview(
    maps: ConductanceMaps,
    score: np.ndarray,
    criterion: str,
    marks: Marks,
) -> Figure:
    """Draw a map, the score S and the positions side by side.

    Args:
        maps: levelled.
        score: S of the same frame, [H', W']; NaN where not measured.
        criterion: what counted as a detection, for the title.
        marks: what was found.
    """
    with mpl.rc_context(_STYLE):
        figure = ShownFigure(
            figsize=(10.2, 3.9), layout="constrained", dpi=_DPI
        )
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
        draw_marks(third, marks)
        third.set_title(f"{marks.counts}\n{criterion}")
        for axes in (first, second, third):
            scale_bar(axes, maps.extent_nm)
    return figure


def side_by_side(maps: ConductanceMaps, most: int) -> Figure:
    """Draw maps side by side, as they are.

    Args:
        maps: of any unit.
        most: so many at the most, evenly chosen.
    """
    n_maps = min(most, len(maps.data))
    chosen = np.rint(np.linspace(0, len(maps.data) - 1, n_maps)).astype(int)
    across = min(n_maps, _MOST_ACROSS)
    down = math.ceil(n_maps / across)
    with mpl.rc_context(_STYLE):
        size = (3.4 * across, 3.2 * down)
        figure = ShownFigure(figsize=size, layout="constrained", dpi=_DPI)
        grid = figure.subplots(down, across, squeeze=False).ravel()
        for axes, index in zip(grid, chosen, strict=False):
            image, label = _in_prefix(maps.data[index], maps.unit)
            _show(axes, image, label, _extent(maps), "gray")
            name = maps.channel or "map"
            axes.set_title(f"{name}, {maps.bias_v[index] * 1e3:.4g} mV")
            scale_bar(axes, maps.extent_nm)
        for axes in grid[n_maps:]:
            axes.set_visible(False)
    return figure


def detectors_side_by_side(
    maps: ConductanceMaps, found: Mapping[str, Marks]
) -> Figure:
    """Draw a map, and what several detectors found on it.

    Args:
        maps: levelled.
        found: what each found, by the name of the detector.
    """
    with mpl.rc_context(_STYLE):
        figure = ShownFigure(
            figsize=(10.2, 3.7), layout="constrained", dpi=_DPI
        )
        first, *others = figure.subplots(1, 1 + len(found))
        extent = _extent(maps)
        middle = len(maps.data) // 2
        image, label = _in_prefix(maps.data[middle], maps.unit)
        _show(first, image, label, extent, "gray")
        bias = f"{maps.bias_v[middle] * 1e3:.4g} mV"
        first.set_title(f"{maps.channel}, {bias}, 1 of {len(maps.data)} maps")
        scale_bar(first, maps.extent_nm)
        rms, label = _in_prefix(rms_map(maps.data), maps.unit)
        for axes, (name, marks) in zip(others, found.items(), strict=True):
            _show(axes, rms, f"RMS over bias {label}".strip(), extent, "gray")
            draw_marks(axes, marks)
            axes.set_title(f"{name}: {marks.counts}")
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


def draw_marks(axes: Axes, marks: Marks) -> None:
    """Draw what was found: squares, with ellipses that hold 95 %.

    Args:
        axes: with the frame from its top left corner, in nm.
        marks: false ones are of another colour, true positions dots.
    """
    found = marks.positions_nm
    if marks.truth_nm is not None:
        axes.scatter(
            *marks.truth_nm.T[::-1], s=9, c=_TRUTH_COLOUR, lw=0, label="truth"
        )
    for chosen, marker, colour, label in _groups(marks):
        axes.scatter(
            *found[chosen].T[::-1],
            s=60,
            marker=marker,
            facecolors="none",
            edgecolors=colour,
            lw=1.0,
            label=label,
        )
        if marks.deviations_nm is not None:
            down, right_ = 2 * _WITHIN_95 * marks.deviations_nm[chosen].T
            ellipses = EllipseCollection(
                right_,
                down,
                np.zeros(len(down)),
                units="xy",
                offsets=found[chosen][:, ::-1],
                offset_transform=axes.transData,
                facecolors="none",
                edgecolors=colour,
                linewidths=0.8,
            )
            axes.add_collection(ellipses, autolim=False)
    if axes.get_legend_handles_labels()[0]:
        # Below the frame: inside, it would hide impurities.
        axes.legend(
            loc="upper right",
            bbox_to_anchor=(1.0, 0.0),
            ncols=3,
            fontsize=7,
            frameon=False,
            borderaxespad=0.2,
            columnspacing=0.5,
            handletextpad=0.0,
        )


def _groups(marks: Marks) -> list[tuple[np.ndarray, str, str, str]]:
    """What is marked alike: which, marker, colour, words.

    Where the truth is known, true or false; else by kind, where these are.
    """
    kinds, number = marks.kinds, len(marks.positions_nm)
    if marks.true is not None or kinds is None:
        right = np.ones(number, bool) if marks.true is None else marks.true
        both = (
            (right, "s", _FOUND_COLOUR, "found"),
            (~right, "s", _FALSE_COLOUR, "false"),
        )
        return [group for group in both if group[0].any()]
    names = np.array([_name(kind) for kind in np.asarray(kinds).tolist()])
    shown = [
        (names == name, *KIND_MARKS[i % len(KIND_MARKS)], f"species {name}")
        for i, name in enumerate(np.unique(names[names != ""]).tolist())
    ]
    shown = [
        (own, marker, colour, f"{words}: {own.sum()}")
        for own, marker, colour, words in shown
    ]
    other = names == ""
    if other.any():
        words = f"species not determined: {other.sum()}"
        shown.append((other, "s", _FOUND_COLOUR, words))
    return shown


def _name(kind: float | str) -> str:
    """Of a kind, by number or word; empty where it is not determined."""
    if isinstance(kind, str):
        return kind
    return f"{kind:.0f}" if math.isfinite(kind) else ""


def scale_bar(axes: Axes, extent_nm: tuple[float, float]) -> None:
    """Draw a bar of a round length, about a fifth of the frame's width.

    It stands below the frame, where it hides nothing.

    Args:
        axes: with the frame from its top left corner, in nm.
        extent_nm: height and width of the frame [nm].
    """
    _, width = extent_nm
    lengths = _NICE_LENGTHS_NM.ravel()
    length = lengths[np.argmin(np.abs(np.log(lengths / (width / 5))))]
    below = axes.get_xaxis_transform()  # x in nm, y in heights of the frame
    axes.add_patch(
        Rectangle(
            (0.0, -0.045),
            length,
            0.014,
            transform=below,
            clip_on=False,
            color="black",
            lw=0,
        )
    )
    axes.text(
        length + 0.02 * width,
        -0.038,
        f"{length:g} nm",
        transform=below,
        ha="left",
        va="center",
        fontsize=8,
    )


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
