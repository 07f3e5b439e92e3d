"""How well a known drift is taken out of virtual Au(111) maps.

    python benchmarks/registration.py [--maps 126] [--seeds 3]
        [--first-seed 1000]

Impurities, waves and cores are simulated in a frame that is larger by a
margin, moved along a known path of fractions of a pixel, and cut: nothing is
mirrored in. Energy resolution comes before the drift and all other parts of
the instrument behind it. Errors are rms over the maps of one direction [px];
the path's mean, which is nobody's, is zero in both. Every stack has impurities
of its own.
"""

import argparse
import time
from dataclasses import replace

import numpy as np

from stm_keras.preprocessing.drift import measure_drift
from stm_keras.simulation.instrument import Acquisition, Drift, EnergyResolution
from stm_keras.simulation.ranges import spread
from stm_keras.simulation.scattering import Scatterers, ldos
from stm_keras.simulation.scene import draw_positions
from stm_keras.simulation.short_range import add_cores
from stm_keras.simulation.virtual_experiment import VirtualConfig

MARGIN_PX = 12
SIZE_PX = 80
FARTHEST_PX = 8.0
MODELS = ("linear", "random walk", "jump")


def drift_path(model: str, n_maps: int, rng: np.random.Generator) -> np.ndarray:
    time_ = np.linspace(-0.5, 0.5, n_maps)[:, None]
    if model == "linear":
        path = time_ * rng.uniform(-6, 6, 2)
    elif model == "random walk":
        path = np.cumsum(rng.normal(0, 0.2, (n_maps, 2)), axis=0)
    else:
        jump = np.arange(n_maps)[:, None] >= rng.integers(1, n_maps)
        path = time_ * rng.uniform(-1, 1, 2) + jump * rng.uniform(-5, 5, 2)
    path -= path.mean(axis=0)
    return path * min(1.0, FARTHEST_PX / max(np.abs(path).max(), 1e-9))


def scene(
    config: VirtualConfig, of_scene: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Waves [V, H, W] of a frame with its margin, and the impurities."""
    side = SIZE_PX + 2 * MARGIN_PX
    positions = draw_positions(
        of_scene,
        shape=(side, side),
        density=config.n_impurities / SIZE_PX**2,
        margin_px=MARGIN_PX,
        min_distance_px=2.0,
    )
    scatterers: Scatterers = config.scatterers.draw(
        positions, config.bias_v, of_scene
    )
    maps = ldos(
        scatterers,
        wave_number=config.wave_numbers,
        shape=(side, side),
        mean_free_path=float(np.exp(of_scene.uniform(*np.log((40, 200))))),
        min_distance_px=2.0,
    )
    return maps - 1, positions


def drifted_stack(
    config: VirtualConfig, model: str, seed: list[int]
) -> tuple[np.ndarray, np.ndarray]:
    """Maps [V, H, W] and the path [V, 2] that they drifted along."""
    of_scene, of_path, of_cores, of_noise = np.random.default_rng(seed).spawn(4)
    maps, positions = scene(config, of_scene)
    if config.near.cores is not None:
        k, cores = config.wave_numbers, config.near.cores
        maps = add_cores(
            maps, positions, k, of_cores, cores, scale=spread(maps)
        )
    scale = spread(maps)
    parts = config.acquisition.without(Drift).parts
    sharp = tuple(
        replace(p, enabled=False) if isinstance(p, EnergyResolution) else p
        for p in parts
    )
    blur = tuple(p for p in parts if isinstance(p, EnergyResolution))
    maps = Acquisition(blur)(maps, of_noise, scale=scale)
    path = drift_path(model, len(maps), of_path)
    inner = slice(MARGIN_PX, -MARGIN_PX)
    maps = Drift.displace(maps, path)[:, inner, inner]
    return Acquisition(sharp)(maps, of_noise, scale=scale), path


def virtual(difficulty: str, n_impurities: float, n_maps: int) -> VirtualConfig:
    """The paper's frame with some of its biases, evenly chosen."""
    bias_v = np.array(VirtualConfig().bias_v)
    chosen = np.linspace(0, len(bias_v) - 1, n_maps).round().astype(int)
    return VirtualConfig(
        difficulty=difficulty,
        n_impurities=n_impurities,
        bias_v=tuple(bias_v[chosen]),
    )


def report(n_maps: int, seeds: int, first: int) -> None:
    print("instrument  impurities  drift        error [px]: per seed;"
          " stated uncertainty")  # fmt: skip
    errors, stated, left = [], [], 0
    for difficulty in ("clean", "typical", "hard"):
        for n_impurities in (15, 30, 60):
            config = virtual(difficulty, n_impurities, n_maps)
            for number, model in enumerate(MODELS):
                row = []
                for seed in range(first, first + seeds):
                    maps, path = drifted_stack(
                        config, model, [seed, n_impurities, number]
                    )
                    result = measure_drift(maps)
                    error = np.sqrt(((result.path_px - path) ** 2).mean())
                    told = result.uncertainty_px
                    mark = " left" if result.failure else ""
                    row.append(f"{error:.3f} ({told:.3f}{mark})")
                    if result.failure:
                        left += 1
                    else:
                        errors.append(error)
                        stated.append(told)
                print(f"{difficulty:10}  {n_impurities:10}  {model:11}  "
                      + "  ".join(row), flush=True)  # fmt: skip
    if not errors:
        print(f"all {left} stacks left as they were")
        return
    low, middle, high = np.percentile(errors, (5, 50, 95))
    share = np.mean(np.array(errors) <= 0.1)
    print(
        f"applied {len(errors)}, left as they were {left}; error median "
        f"{middle:.3f}, 5-95 % {low:.3f}-{high:.3f}, largest "
        f"{max(errors):.3f} px; {share:.0%} within 0.1 px; error over stated "
        f"uncertainty: median {np.median(np.divide(errors, stated)):.2f}"
    )


def on_noise(seeds: int) -> None:
    refused = sum(
        bool(
            measure_drift(
                np.random.default_rng(seed).normal(size=(20, SIZE_PX, SIZE_PX))
            ).failure
        )
        for seed in range(seeds)
    )
    print(f"maps of noise alone: {refused} of {seeds} stacks refused")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=126)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1000)
    arguments = parser.parse_args()
    start = time.perf_counter()
    report(arguments.maps, arguments.seeds, arguments.first_seed)
    on_noise(arguments.seeds)
    print(f"{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
