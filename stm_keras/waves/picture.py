"""Phases against the bias, q against the bias, and a map with its residual."""

from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from stm_keras.files import atomic_file
from stm_keras.maps import ConductanceMaps
from stm_keras.plots import KIND_MARKS
from stm_keras.qpi.dispersion import Dispersion
from stm_keras.waves.fit import WaveFit
from stm_keras.waves.species import Species

_COLOURS = tuple(colour for _, colour in KIND_MARKS)
_DPI = 160


def plot_waves(
    path: str | Path,
    maps: ConductanceMaps,
    fit: WaveFit,
    species: Species,
    dispersion: Dispersion | None,
) -> None:
    """Draw what the waves tell.

    Args:
        path: PNG, PDF or SVG to write.
        maps: what was fitted, for its unit and name.
        fit: of it.
        species: of the impurities, the colours.
        dispersion: drawn through q; None for none.
    """
    with mpl.rc_context({"font.size": 9, "axes.linewidth": 0.6}):
        figure = Figure(figsize=(10, 7.4), layout="constrained")
        FigureCanvasAgg(figure)
        (phase, q), (image, left) = figure.subplots(2, 2)
        _draw_phases(phase, fit, species)
        _draw_q(q, fit, dispersion)
        _draw_maps(image, left, maps, fit)
        with atomic_file(path) as temporary:
            figure.savefig(temporary, dpi=_DPI)


def _draw_phases(axes: Axes, fit: WaveFit, species: Species) -> None:
    order = np.argsort(fit.bias_v)
    bias = 1000 * fit.bias_v[order]
    one_map = len(bias) == 1
    # The turn at which phases begin anew is put where few of them are.
    known = np.isfinite(fit.phase_rad)
    middle = np.angle(np.exp(1j * fit.phase_rad[known]).sum())
    phases = middle + np.angle(np.exp(1j * (fit.phase_rad - middle)))
    for j, kind in enumerate(species.member):
        colour = _COLOURS[kind % len(_COLOURS)]
        value = phases[j, order]
        std = fit.std_phase_rad[j, order]
        known = np.isfinite(value)
        value[known] = np.unwrap(value[known])
        if known.sum() > 1:
            axes.plot(bias[known], value[known], color=colour, lw=0.8)
            axes.fill_between(
                bias[known],
                (value - std)[known],
                (value + std)[known],
                color=colour,
                alpha=0.15,
                lw=0,
            )
        else:
            # Of one map, one impurity beside the other.
            place = np.full(known.sum(), j + 1) if one_map else bias[known]
            axes.errorbar(
                place,
                value[known],
                std[known],
                fmt=".",
                color=colour,
            )
    names = [f"kind {k + 1}: {n}" for k, n in enumerate(species.counts)]
    axes.set_title(
        "phases with deviations\n" + ", ".join(names), fontsize="medium"
    )
    axes.set_xlabel("impurity (line of the table)" if one_map else "bias (mV)")
    axes.set_ylabel(r"arg c $-$ $\pi$/2 (rad)")


def _draw_q(axes: Axes, fit: WaveFit, dispersion: Dispersion | None) -> None:
    axes.errorbar(
        1000 * fit.bias_v,
        fit.q_per_nm,
        fit.std_q_per_nm,
        fmt="o",
        ms=3,
        color="black",
    )
    title = "scattering vector of each map"
    if dispersion is not None:
        low, high = fit.bias_v.min(), fit.bias_v.max()
        line = np.linspace(low, high, 200)
        axes.plot(1000 * line, dispersion.q_per_nm(line), color=_COLOURS[1])
        title = (
            f"m* = {dispersion.effective_mass:.4f} "
            f"± {dispersion.effective_mass_sigma:.4f} m_e, E0 = "
            f"{1000 * dispersion.band_edge_ev:.1f} "
            f"± {1000 * dispersion.band_edge_sigma_ev:.1f} meV"
        )
    axes.set_title(title)
    axes.set_xlabel("bias (mV)")
    axes.set_ylabel("q = 2k (rad/nm)")


def _draw_maps(
    image: Axes, left: Axes, maps: ConductanceMaps, fit: WaveFit
) -> None:
    used = np.flatnonzero(np.isfinite(fit.q_per_nm))
    v = int(used[len(used) // 2])
    width, height = (
        side * fit.pixel_nm for side in reversed(fit.maps.shape[1:])
    )
    known = np.isfinite(fit.residual[v])
    limit = 3 * float(np.nanstd(fit.maps[v][known]))
    places = ((fit.positions_px + 0.5) / fit.joined) * fit.pixel_nm
    shown = fit.maps[v] - np.nanmedian(fit.maps[v])
    for axes, values, title in (
        (image, shown, f"map at {1000 * fit.bias_v[v]:.4g} mV"),
        (left, fit.residual[v], "the same less all waves and background"),
    ):
        drawn = axes.imshow(
            values,
            cmap="gray",
            vmin=-limit,
            vmax=limit,
            extent=(0, width, height, 0),
        )
        axes.set_title(title)
        axes.set_xlabel("nm")
    image.plot(places[:, 1], places[:, 0], "+", color="#e63946", ms=5)
    image.figure.colorbar(drawn, ax=[image, left], label=maps.unit or "")
