"""Simulated beside real maps: waves, ring and noise, measured alike.

    python benchmarks/realism.py [--seed 3] [--out docs/images]
    python benchmarks/realism.py --real FILE.sxm --cores CSV \
        --surface cu111 --out DIR [--phase-shift -0.5]

The first draws virtual experiments alone: `virtual_cu111.png`, and the
paper's geometry in `virtual_au111.png`. The second puts a file of yours
beside virtual experiments of its bias, frame, pixel and number of impurities:
`real_FILE.png`. Both print the numbers of docs/realism.md.

Maps are in units of their waves: the rms between 0.7 and 1.3 times the ring's
wave number 2k, outside the impurities' cores.
"""

import argparse
import datetime
from dataclasses import replace
from pathlib import Path

import matplotlib as mpl
import numpy as np
from realism_figures import draw_au111, draw_samples
from realism_measures import Sample, measure, rms_between, slope_of

from stm_keras.detections import read_positions
from stm_keras.io.reader import read_maps
from stm_keras.maps import ConductanceMaps
from stm_keras.simulation.scattering import Scatterers, ldos
from stm_keras.simulation.scene import draw_positions, in_frame
from stm_keras.simulation.virtual_experiment import (
    DIFFICULTIES,
    ShortRange,
    VirtualConfig,
    simulate_virtual,
)
from stm_keras.surfaces import PAPER_PIXEL_NM

LEAST_DISTANCE_NM = 0.5  # molecules of the Cu(111) files come as near
DEFAULT_FRAME = VirtualConfig(
    n_impurities=43,
    size_px=256,
    extent_nm=20.0,
    bias_v=(0.010,),
    surface="cu111",
)


def ring_of(frame: VirtualConfig) -> float:
    """2k of the first map [rad/nm]."""
    return float(2 * frame.wave_numbers[0] / frame.pixel_nm)


def near(difficulty: str, finer: float) -> ShortRange:
    """Cores and decoys of a difficulty, decoys as dense in nm as there."""
    short = DIFFICULTIES[difficulty]
    if short.decoys is None:
        return short
    low, high = short.decoys.density_per_px
    density = (low / finer**2, high / finer**2)
    return replace(short, decoys=replace(short.decoys, density_per_px=density))


def virtual(frame: VirtualConfig, difficulty: str, seed: int) -> Sample:
    """A virtual experiment in a frame, at a difficulty."""
    finer = PAPER_PIXEL_NM / frame.pixel_nm
    config = VirtualConfig(
        n_impurities=frame.n_impurities,
        difficulty=difficulty,
        size_px=frame.size_px,
        extent_nm=frame.extent_nm,
        bias_v=frame.bias_v,
        surface=frame.surface,
        # In nm as in the paper's geometry.
        margin_px=24 * finer,
        mean_free_path_px=(40 * finer, 200 * finer),
        short_range=near(difficulty, finer),
        min_distance_px=LEAST_DISTANCE_NM / frame.pixel_nm,
    )
    made = simulate_virtual(config, np.random.default_rng(seed))
    extent = (config.extent_nm, config.extent_nm)
    maps = ConductanceMaps(made.maps, made.bias_v, extent)
    return measure(difficulty, maps, made.positions, ring_of(config))


def row(sample: Sample, two_k: float) -> str:
    """A line of the table in docs/realism.md."""
    decay, spectrum = sample.decay, sample.spectrum
    slopes = [
        f"{slope_of(axis, 1.5 * two_k, 6 * two_k):.1f}"
        for axis in (spectrum.fast, spectrum.slow)
    ]
    bands = (0, 0.6), (1.5, 3), (3, np.inf)
    noise = [
        f"{rms_between(spectrum, a * two_k, b * two_k):.2f}" for a, b in bands
    ]
    ring = sample.q_per_nm
    found = "none" if np.isnan(ring) else f"{ring:.2f} ({ring / two_k:.3f})"
    cells = [
        f"{sample.name}, {len(sample.cores_nm)}",
        found,
        f"{decay.q_per_nm:.2f}",
        f"{decay.power:.2f} ± {decay.error:.2f}",
        f"{decay.phase_rad / np.pi:.2f}",
        *slopes,
        *noise,
    ]
    return f"| {' | '.join(cells)} |"


HEAD = (
    "| map, impurities | ring [rad/nm] (of 2k) | q of the profile [rad/nm] "
    "| p of its decay | its phase [pi] | slope, fast | slow "
    "| rms below 0.6 | 1.5 to 3 | above 3 times 2k |\n" + 10 * "|---" + "|"
)


def alike(frame: VirtualConfig, delta_rad: float, seed: int) -> Sample:
    """Waves alone, of impurities that are all alike and absorb nothing."""
    rng, size = np.random.default_rng(seed), (frame.size_px, frame.size_px)
    finer = PAPER_PIXEL_NM / frame.pixel_nm
    positions = draw_positions(
        rng,
        shape=size,
        density=frame.n_impurities / frame.size_px**2,
        margin_px=24 * finer,
        min_distance_px=LEAST_DISTANCE_NM / frame.pixel_nm,
    )
    n = len(positions)
    waves = ldos(
        Scatterers(positions, np.full((1, n), delta_rad), np.zeros(n)),
        wave_number=frame.wave_numbers,
        shape=size,
        mean_free_path=100 * finer,
    )
    extent = (frame.extent_nm, frame.extent_nm)
    maps = ConductanceMaps(waves - 1, np.array(frame.bias_v), extent)
    seen = positions[in_frame(positions, size)]
    return measure("alike", maps, seen, ring_of(frame))


def frame_of(maps: ConductanceMaps, n: int, name: str) -> VirtualConfig:
    """A square as wide as the maps, with as many impurities for its area."""
    height, width = maps.extent_nm
    return VirtualConfig(
        n_impurities=n * width / height,
        size_px=maps.shape[2],
        extent_nm=width,
        bias_v=(float(maps.bias_v[0]),),
        surface=name,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--real", type=Path, help="file with a map")
    parser.add_argument("--cores", type=Path, help="its impurities, CSV")
    parser.add_argument("--surface", default="cu111")
    parser.add_argument("--out", type=Path, default=Path("docs/images"))
    parser.add_argument(
        "--phase-shift", type=float, help="also impurities alike, of this [rad]"
    )
    parser.add_argument("--seed", type=int, default=3)
    arguments = parser.parse_args()
    if (arguments.real is None) != (arguments.cores is None):
        parser.error("give --real and --cores together")
    arguments.out.mkdir(parents=True, exist_ok=True)
    return arguments


def main() -> None:
    arguments = parse()
    seed = arguments.seed
    mpl.rcParams.update(
        {"font.size": 8, "axes.titlesize": 8, "axes.linewidth": 0.6}
    )
    frame, samples = DEFAULT_FRAME, []
    path = arguments.out / "virtual_cu111.png"
    if arguments.real is not None:
        raw = read_maps(arguments.real)
        cores = read_positions(arguments.cores).positions_px
        frame = frame_of(raw, len(cores), arguments.surface)
        path = arguments.out / f"real_{arguments.real.stem}.png"
        samples.append(measure("real", raw, cores, ring_of(frame)))
    two_k = ring_of(frame)
    if arguments.phase_shift is not None:
        samples.append(alike(frame, arguments.phase_shift, seed))
    samples += [virtual(frame, name, seed) for name in DIFFICULTIES]
    draw_samples(path, samples, two_k)
    print(
        f"{datetime.date.today()}, seed {seed}, {frame.material.name} at "
        f"{1e3 * frame.bias_v[0]:g} mV: 2k = {two_k:.3f} rad/nm\n\n{HEAD}"
    )
    print(*(row(sample, two_k) for sample in samples), sep="\n")
    if arguments.real is None:
        draw_au111(arguments.out / "virtual_au111.png", seed)


if __name__ == "__main__":
    main()
