"""The pictures of `realism.py`."""

from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from PIL import Image
from realism_measures import Sample

from stm_keras.analysis.baselines import rms_map
from stm_keras.analysis.reference import find_bound_states
from stm_keras.simulation.virtual_experiment import (
    DIFFICULTIES,
    VirtualConfig,
    simulate_virtual,
)

COLOURS: dict[str, str] = {
    "real": "k",
    "alike": "C2",
    "clean": "C0",
    "typical": "C1",
    "hard": "C3",
}
AU_BIAS_V = -0.100
DPI = 110
TRUTH = "#e63946"


def save(figure: Figure, path: Path) -> None:
    """Write a PNG of 32 greys and the colours used: a third of the size."""
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    greys = np.repeat(np.linspace(0, 1, 32)[:, None], 3, axis=1)
    used = np.array([to_rgb(c) for c in (*COLOURS.values(), TRUTH)])[:, None]
    share = np.linspace(0.2, 1, 9)[:, None]
    blends = [share * used + (1 - share) * end for end in (0, 0.5, 1)]
    colours = np.concatenate([greys, np.reshape(blends, (-1, 3))])
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.rint(255 * colours).astype(np.uint8).tobytes())
    picture = Image.fromarray(np.asarray(canvas.buffer_rgba())).convert("RGB")
    few = picture.quantize(palette=palette, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def show(
    axes: Axes,
    image: np.ndarray,
    extent_nm: tuple[float, float],
    limits: tuple[float, float] | None = None,
) -> None:
    """An image [H, W] in grey, with a scale in nm."""
    low, high = limits or np.nanpercentile(image, (0.5, 99.5))
    height, width = extent_nm
    frame = (0.0, width, height, 0.0)
    axes.imshow(image, cmap="gray", vmin=low, vmax=high, extent=frame)
    axes.set_facecolor("#7f9c9c")  # not measured
    axes.tick_params(width=0.5)


def draw_samples(path: Path, samples: list[Sample], two_k: float) -> None:
    """Maps above, what was measured in them below."""
    figure = Figure((9, 3.1 + 9 / len(samples)), DPI, layout="constrained")
    heights = (9 / len(samples), 3)
    above, below = np.asarray(figure.subfigures(2, 1, height_ratios=heights))
    panels = above.subplots(1, len(samples), squeeze=False)[0]
    for axes, sample in zip(panels, samples, strict=True):
        show(axes, sample.image, sample.extent_nm, (-4, 4))
        y, x = sample.cores_nm.T
        axes.plot(x, y, "+", color=TRUTH, ms=4, mew=0.7)
        axes.set(title=sample.name, xlabel="x [nm]", ylabel="y [nm]")
        axes.label_outer()
    profile, ring, noise = below.subplots(1, 3)
    for sample in samples:
        style = {
            "color": COLOURS[sample.name],
            "lw": 1.0,
            "label": sample.name,
        }
        profile.plot(*sample.profile, **style)
        ring.semilogy(sample.spectrum.q, sample.spectrum.circles, **style)
        noise.loglog(*sample.spectrum.fast, **style)
        noise.loglog(*sample.spectrum.slow, **style | {"ls": ":", "label": ""})
    profile.set(
        title="mean around an impurity",
        xlabel="distance r [nm]",
        ylabel="map [rms of its waves]",
        xlim=(0, 4),
        ylim=(-3, 3),
    )
    profile.legend(frameon=False, fontsize=7)
    ring.axvline(two_k, color="0.6", lw=0.8, ls="--", zorder=0)
    ring.set(
        title="power over circles; dashed: 2k(V)",
        xlabel="q [rad/nm]",
        ylabel="power [1/(rad/nm)]",
        xlim=(0, 3 * two_k),
        ylim=(1e-3, 5),
    )
    noise.set(
        title="power along the fast (line), slow axis (dots)",
        xlabel="q [rad/nm]",
        ylim=(1e-7, 10),
    )
    for axes in (profile, ring, noise):
        axes.spines[["top", "right"]].set_visible(False)
    save(figure, path)


def draw_au111(path: Path, seed: int) -> None:
    """The paper's geometry at the three difficulties."""
    figure = Figure((7.2, 7.4), DPI, layout="constrained")
    panels = figure.subplots(3, 3)
    for line, difficulty in zip(panels, DIFFICULTIES, strict=True):
        config = VirtualConfig(difficulty=difficulty)
        made = simulate_virtual(config, np.random.default_rng(seed))
        extent = (config.extent_nm, config.extent_nm)
        chosen = config.bias_v.index(AU_BIAS_V)
        images = made.maps[chosen], rms_map(made.maps), made.bound_state
        for axes, image in zip(line, images, strict=True):
            show(axes, image, extent)
            axes.set(xlabel="x [nm]", ylabel="y [nm]")
            axes.label_outer()
        line[0].set_ylabel(f"{difficulty}\ny [nm]")
        found = find_bound_states(made.bound_state).positions
        for axes, places, style in (
            (line[1], made.decoys, {"marker": "x", "c": "C1", "s": 16}),
            (line[2], found, {"marker": ".", "c": "C0", "s": 10}),
        ):
            y, x = (places.T + 0.5) * config.pixel_nm
            axes.scatter(x, y, lw=0.8, **style)
        y, x = (made.positions.T + 0.5) * config.pixel_nm
        line[2].scatter(x, y, s=34, lw=0.8, fc="none", ec=TRUTH)
    panels[0, 0].set_title(f"dI/dV at {1e3 * AU_BIAS_V:.0f} mV")
    panels[0, 1].set_title("RMS over 126 biases; × decoys")
    panels[0, 2].set_title("bound states; ○ truth, · EM")
    save(figure, path)
