"""A picture of an inspected file: maps, their transforms, and k(V)."""

import math
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.gridspec import GridSpec
from matplotlib.patches import Arc
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from stm_keras.inspection.inspect import FileReport, MapReport, evenly
from stm_keras.maps import ConductanceMaps
from stm_keras.plots import scale_bar
from stm_keras.qpi.ring import MIN_SIDE_PX
from stm_keras.surfaces import SURFACES

_MOST_MAPS = 12
_COLUMNS = 4
_SIDE_INCH = 2.1
_CURVE_INCH = 4.0
_DPI = 150
_FLAT = 0.15  # a frame so low has no room for a scale bar
_FOUND_COLOUR = "#e63946"
_RING_COLOUR = "#35f0ff"
_COLOURS = {"au111": "#c9a227", "cu111": "#b5541c", "ag111": "#7a8b99"}
_STYLE: dict[Any, Any] = {
    "font.size": 8,
    "axes.titlesize": 8,
    "axes.linewidth": 0.6,
    "image.interpolation": "nearest",
}


def plot_report(path: str | Path, report: FileReport) -> bool:
    """Draw what `inspect_file` found.

    Args:
        path: PNG, PDF or SVG to write.
        report: of one file; at most 12 of its maps are drawn, evenly chosen.

    Returns:
        Whether there was anything to draw; nothing is written otherwise.
    """
    maps = evenly(
        [m for m in report.maps if m.levelled is not None], _MOST_MAPS
    )
    if not maps:
        return False
    columns = min(_COLUMNS, len(maps))
    groups = math.ceil(len(maps) / columns)
    with mpl.rc_context(_STYLE):
        high = max(2 * groups * _SIDE_INCH, _CURVE_INCH)
        figure = Figure(
            figsize=(columns * _SIDE_INCH + _CURVE_INCH, high),
            layout="constrained",
        )
        FigureCanvasAgg(figure)
        grid = GridSpec(
            2 * groups,
            columns + 1,
            figure,
            width_ratios=[_SIDE_INCH] * columns + [_CURVE_INCH],
        )
        for place, one in enumerate(maps):
            row, column = 2 * (place // columns), place % columns
            _draw_map(figure.add_subplot(grid[row, column]), one, report)
            _draw_transform(figure.add_subplot(grid[row + 1, column]), one)
        # Over two groups at most, or it would be a tower.
        side = figure.add_subplot(grid[: min(4, 2 * groups), columns])
        _draw_dispersion(side, report)
        figure.savefig(path, dpi=_DPI)
    return True


def _draw_map(axes: Axes, one: MapReport, report: FileReport) -> None:
    maps = one.levelled
    assert maps is not None
    image = maps.data[0]
    low, high = np.nanpercentile(image, (0.5, 99.5))
    tall, wide = maps.extent_nm
    axes.imshow(
        image, cmap="gray", extent=(0, wide, tall, 0), vmin=low, vmax=high
    )
    axes.set_facecolor("#7f9c9c")  # not measured
    if report.extent_nm is not None and tall > _FLAT * wide:
        scale_bar(axes, maps.extent_nm)
    known = np.isfinite(one.bias_v)
    axes.set_title(f"{round(one.bias_v, 9):.4g} V" if known else "bias unknown")
    axes.set(xticks=[], yticks=[])


def _draw_transform(axes: Axes, one: MapReport) -> None:
    maps, ring = one.levelled, one.ring
    assert maps is not None
    if min(maps.shape[1:]) < MIN_SIDE_PX:
        axes.text(0.5, 0.5, "too few px", ha="center", transform=axes.transAxes)
        axes.set_axis_off()
        return
    power, edges = _transform(maps)
    shown = min(edges[1], edges[2])
    if ring is not None:
        shown = min(shown, 2.2 * ring.q_per_nm)
    rows = np.linspace(edges[3], edges[2], len(power))
    cols = np.linspace(edges[0], edges[1], power.shape[1])
    inside = np.hypot(rows[:, np.newaxis], cols) < shown
    low, high = np.percentile(power[inside], (5, 99.7))
    axes.imshow(power, cmap="magma", extent=edges, vmin=low, vmax=high)
    text = "no ring"
    if ring is not None:
        # Half of it: the other half shows what is there.
        axes.add_patch(
            Arc(
                (0, 0),
                2 * ring.q_per_nm,
                2 * ring.q_per_nm,
                theta1=90,
                theta2=270,
                ec=_RING_COLOUR,
                ls="--",
                lw=1,
            )
        )
        text = f"q = {ring.q_per_nm:.2f} ± {ring.q_sigma:.2f}"
    axes.set(xlim=(-shown, shown), ylim=(shown, -shown), yticks=[])
    axes.xaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    axes.tick_params(labelsize=6, width=0.5, length=2, pad=1)
    axes.set_xlabel(f"$q_x$ [rad/nm]; {text}", fontsize=7, labelpad=1)


def _transform(
    maps: ConductanceMaps,
) -> tuple[NDArray[np.float64], tuple[float, float, float, float]]:
    """Log power of a map, and its edges [rad/nm] as `imshow` takes them."""
    image = maps.data[0].astype(np.float64)
    height, width = image.shape
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    image = np.nan_to_num(image - np.nanmean(image)) * window
    image /= np.abs(image).max() or 1.0
    power = np.abs(np.fft.fftshift(np.fft.fft2(image))) ** 2
    q_rows, q_cols = (
        2 * np.pi * np.fft.fftshift(np.fft.fftfreq(n, side))
        for n, side in zip(image.shape, maps.pixel_nm, strict=True)
    )
    down, right = (2 * np.pi / side for side in maps.extent_nm)
    edges = (
        float(q_cols[0] - right / 2),
        float(q_cols[-1] + right / 2),
        float(q_rows[-1] + down / 2),
        float(q_rows[0] - down / 2),
    )
    return np.log10(power + 1e-12), edges


def _draw_dispersion(axes: Axes, report: FileReport) -> None:
    """Rings against bias, the fit, and the known surfaces."""
    about = report.surfaces
    known = [m.bias_v for m in report.maps if np.isfinite(m.bias_v)]
    low, high = min(known, default=0.0), max(known, default=0.0)
    margin = max(0.15, 0.3 * (high - low))
    bias = np.linspace(low - margin, high + margin, 300)
    for name, surface in SURFACES.items():
        above = bias[bias > surface.band_edge_ev]
        axes.plot(
            above,
            2 * surface.wave_number(above),
            color=_COLOURS.get(name),
            lw=1,
            label=surface.name,
        )
    if about is not None:
        axes.errorbar(
            about.rings.bias_v,
            about.rings.q_per_nm,
            about.rings.sigma,
            fmt="o",
            ms=3,
            lw=0.8,
            color=_FOUND_COLOUR,
            label="measured",
        )
        fit = about.dispersion
        if fit is not None:
            axes.plot(
                bias,
                fit.q_per_nm(bias),
                "k--",
                lw=1,
                label=f"fit: m* = {fit.effective_mass:.3f}, "
                f"E0 = {1e3 * fit.band_edge_ev:.0f} meV",
            )
    axes.set(xlabel="bias [V]", ylabel="q = 2k [rad/nm]")
    axes.set_ylim(bottom=0)
    axes.set_title("q against bias" if about else "no FFT ring visible")
    axes.legend(frameon=False, fontsize=7)
