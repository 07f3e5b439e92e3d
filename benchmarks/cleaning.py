"""Seconds that each cleaning step takes.

    python benchmarks/cleaning.py [--maps 126] [--sides 80 256]

Maps are waves about impurities at changing wave numbers, with noise, moved
along a slow path; one process, wall-clock time.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable

import numpy as np
from stm_keras.io.cleaning import cleaning

from stm_keras.io.maps import ConductanceMaps
from stm_keras.simulation.instrument import Drift


def sample(n_maps: int, side: int, rng: np.random.Generator) -> ConductanceMaps:
    places = rng.uniform(0, side, (max(1, side**2 // 250), 2))
    rows, cols = np.indices((side, side))
    data = np.zeros((n_maps, side, side), np.float32)
    k = np.linspace(0.66, 0.9, n_maps)
    for row, col in places:
        distance = np.hypot(rows - row, cols - col) + 1
        for image, number in zip(data, k, strict=True):
            image += np.cos(2 * number * distance) / distance
    data = Drift(extent_px=(2.0, 2.0))(data, rng)
    data += rng.normal(scale=0.3 * data.std(), size=data.shape)
    return ConductanceMaps(data, np.linspace(-0.3, 0.3, n_maps), (20.0, 20.0))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--maps", type=int, default=126)
    parser.add_argument("--sides", type=int, nargs="+", default=[80, 256])
    arguments = parser.parse_args()
    print(f"{platform.processor() or platform.machine()}, "
          f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}")  # fmt: skip
    steps: list[Callable[[ConductanceMaps], ConductanceMaps]] = [
        cleaning.correct_tip_jumps,
        cleaning.level_plane,
        cleaning.level_quadratic,
        cleaning.level_lines,
        cleaning.level_line_differences,
        cleaning.mask_bad_lines,
        cleaning.mask_streaks,
        cleaning.register,
    ]
    for side in arguments.sides:
        maps = sample(arguments.maps, side, np.random.default_rng(0))
        print(f"{arguments.maps} x {side} x {side}")
        for step in steps:
            start, processor = time.perf_counter(), time.process_time()
            result = step(maps)
            wall = time.perf_counter() - start
            used = time.process_time() - processor
            print(f"  {step.__name__:24} {wall:7.2f} s ({used:.2f} s of "
                  f"processor): {result.provenance[-1][:60]}")  # fmt: skip


if __name__ == "__main__":
    main()
