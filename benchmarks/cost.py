"""How long does `context` take, and how much memory?

One stack after the other through a loaded model. Prints the median of several
runs, the least and the greatest; the median with what `stmk predict` adds by
default, the fit of rings, surrogates and the OOD score; and the largest size
that the process ever had. The maps show the rings of forty impurities (Eq. 3)
in white noise, where the fit has most to do. Nothing else should run beside
it. From the project's folder:

    python benchmarks/cost.py --model saved_models/context
"""

import argparse
import os
import resource
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from detecting import detector
from header import machine

from stm_keras.detector import ContextDetector
from stm_keras.io.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import PredictOptions, PreparedMaps
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel
from stm_keras.system import keep_freed_memory

STACKS = ((1, 80), (4, 80), (16, 80), (32, 80), (126, 80), (1, 512))
"""Numbers of maps, and their sides [px]."""

N_IMPURITIES = 40


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=Path("saved_models/context")
    )
    parser.add_argument("--runs", type=int, default=7)
    options = parser.parse_args()
    keep_freed_memory()
    started = time.perf_counter()
    finder = detector(options.model)
    loading = time.perf_counter() - started
    print(
        f"{machine()}, load {os.getloadavg()[0]:.1f} at the start; "
        f"{options.runs} runs each, after one that does not count; loaded in "
        f"{loading:.1f} s\n"
    )
    print(
        "| maps | px | seconds: median | least | greatest | as `stmk predict` "
        "| GB so far |"
    )
    print("|---|---|---|---|---|---|---|")
    for n_maps, side in STACKS:
        taken, whole = seconds(finder, n_maps, side, options.runs)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        print(
            f"| {n_maps} | {side} x {side} | {statistics.median(taken):.3f} | "
            f"{min(taken):.3f} | {max(taken):.3f} | "
            f"{statistics.median(whole):.3f} | {peak:.1f} |",
            flush=True,
        )


def seconds(
    finder: ContextDetector, n_maps: int, side: int, runs: int
) -> tuple[list[float], list[float]]:
    """What each run of one stack took [s], alone and as `stmk predict`."""
    rng = np.random.default_rng(0)
    config = FriedelConfig(
        size_px=side,
        n_voltages=n_maps,
        n_impurities=(N_IMPURITIES, N_IMPURITIES),
        phase_rad=(0.0, 0.0),  # else means of neighbours would cancel
        on_grid=False,
    )
    fields = simulate_friedel(config, rng, 1)
    data = fields.maps[0] + 0.1 * rng.standard_normal(fields.maps[0].shape)
    data, ring = data.astype(np.float32), 2 * fields.wave_numbers[0]
    maps = ConductanceMaps(
        data, np.linspace(-0.2, 0.2, n_maps), (0.3 * side, 0.3 * side)
    )
    options = PredictOptions()
    q_per_nm = ring / np.mean(maps.pixel_nm)
    prepared = PreparedMaps((0, 0), maps, maps, maps, q_per_nm)
    return (
        _timed(lambda: finder.detect(data, ring, fit_rings=False), runs),
        _timed(lambda: finder.search(prepared, options), runs),
    )


def _timed(find: Callable[[], object], runs: int) -> list[float]:
    find()
    taken = []
    for _ in range(runs):
        started = time.perf_counter()
        find()
        taken.append(time.perf_counter() - started)
    return taken


if __name__ == "__main__":
    main()
