"""How true are the ring's q, m* and E0, and their uncertainties?

    python benchmarks/dispersion.py [--experiments 24] [--seed 40]

Measures rings in virtual experiments, whose k(V) is known, as `stmk inspect`
does, fits m* and E0, and prints how far off they are: in percent or meV, and
in their own standard deviations (z), whose spread should be about 1. The
numbers are those of docs/inspect.md.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from header import machine

from stm_keras.io.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import level
from stm_keras.qpi.dispersion import (
    deviations_from_surfaces,
    fit_dispersion,
    n_biases,
    rings_of_frames,
)
from stm_keras.qpi.ring import measure_ring
from stm_keras.simulation.virtual_experiment import (
    DIFFICULTIES,
    VirtualConfig,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_BIAS_V, PAPER_PIXEL_NM


@dataclass(frozen=True)
class Frame:
    """A measurement: surface, size, biases, and impurities to be expected."""

    surface: str
    size_px: int
    extent_nm: float
    n_impurities: float
    bias_v: tuple[float, ...]


FRAMES = (
    Frame("au111", 80, 37.5, 30, PAPER_BIAS_V[::11]),
    Frame("au111", 160, 75.0, 90, PAPER_BIAS_V[::11]),
    Frame("cu111", 128, 20.0, 43, (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3)),
    Frame("cu111", 160, 40.0, 60, (-0.2, -0.1, 0.0, 0.1, 0.2, 0.3)),
    Frame("ag111", 160, 60.0, 60, (0.05, 0.1, 0.2, 0.3, 0.4)),
)


@dataclass
class Errors:
    """Errors of every experiment, and their z."""

    asked: int = 0
    q: list[float] = field(default_factory=list)  # relative
    z: list[float] = field(default_factory=list)
    mass: list[float] = field(default_factory=list)  # relative
    mass_z: list[float] = field(default_factory=list)
    edge: list[float] = field(default_factory=list)  # [meV]
    edge_z: list[float] = field(default_factory=list)
    named: list[bool] = field(default_factory=list)


def config_of(frame: Frame, difficulty: str) -> VirtualConfig:
    finer = PAPER_PIXEL_NM * frame.size_px / frame.extent_nm
    return VirtualConfig(
        n_impurities=frame.n_impurities,
        difficulty=difficulty,
        size_px=frame.size_px,
        extent_nm=frame.extent_nm,
        bias_v=frame.bias_v,
        surface=frame.surface,
        # In nm as in the paper's geometry.
        margin_px=24 * finer,
        mean_free_path_px=(40 * finer, 200 * finer),
        min_distance_px=max(2.0, 0.5 * frame.size_px / frame.extent_nm),
    )


def add(errors: Errors, config: VirtualConfig, seed: Sequence[int]) -> None:
    made = simulate_virtual(config, np.random.default_rng(seed))
    extent = (config.extent_nm, config.extent_nm)
    maps = level(ConductanceMaps(made.maps, made.bias_v, extent), "lines")
    true = 2 * made.wave_numbers / config.pixel_nm
    seen = []
    for bias, image, q in zip(maps.bias_v, maps.data, true, strict=True):
        ring = measure_ring(image, maps.pixel_nm)
        errors.asked += 1
        if ring is not None:
            seen.append((float(bias), ring))
            errors.q.append(ring.q_per_nm / q - 1)
            errors.z.append((ring.q_per_nm - q) / ring.q_sigma)
    rings = rings_of_frames([seen])
    if n_biases(rings.bias_v) < 3:
        return
    fit, known = fit_dispersion(rings), config.material
    off = fit.effective_mass - known.effective_mass
    errors.mass.append(off / known.effective_mass)
    errors.mass_z.append(off / fit.effective_mass_sigma)
    off = fit.band_edge_ev - known.band_edge_ev
    errors.edge.append(1e3 * off)
    errors.edge_z.append(off / fit.band_edge_sigma_ev)
    nearest = deviations_from_surfaces(rings)[0]
    errors.named.append(nearest.fits and nearest.name == config.surface)


def cell(values: Sequence[float], scale: float = 1.0) -> str:
    """Mean and spread."""
    if not values:
        return "none"
    scaled = scale * np.array(values)
    return f"{scaled.mean():+.2f} ± {scaled.std():.2f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--experiments", type=int, default=24)
    parser.add_argument("--seed", type=int, default=40)
    options = parser.parse_args()
    print(
        f"{machine()}; {options.experiments} experiments a line, "
        f"seed {options.seed}; mean ± spread\n\n"
        "| surface, frame | noise | rings seen | q [%] | z of q | m* [%] "
        "| z of m* | E0 [meV] | z of E0 | named |\n" + 10 * "|---" + "|"
    )
    for number, frame in enumerate(FRAMES):
        for difficulty in DIFFICULTIES:
            errors, config = Errors(), config_of(frame, difficulty)
            for i in range(options.experiments):
                add(errors, config, [options.seed, number, i])
            print(
                f"| {frame.surface}, {frame.extent_nm:g} nm | {difficulty} "
                f"| {100 * len(errors.q) / errors.asked:.0f} % "
                f"| {cell(errors.q, 100)} | {cell(errors.z)} "
                f"| {cell(errors.mass, 100)} | {cell(errors.mass_z)} "
                f"| {cell(errors.edge)} | {cell(errors.edge_z)} "
                f"| {sum(errors.named)}/{len(errors.named)} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
