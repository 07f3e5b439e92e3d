"""Fields per second of the scattering simulation, beside plain transcriptions.

    python benchmarks/simulation.py [--repeats 9] [--seed 0]

One process, one thread. Three ways, alternating, on the same fields: ours;
the formulas written out with `scipy.special.hankel1` (`transcriptions.py`);
and the same with J0 + i Y0, SciPy's faster road for real arguments. Times
are the processor's, so that other programs on the machine disturb little.
"""

# ruff: noqa: E402 (threads are set before NumPy is loaded)
import os

for _name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[_name] = "1"

import argparse
import platform
import time
from collections.abc import Callable

import numpy as np
import scipy
import transcriptions
from header import machine

from stm_keras.simulation.scattering import GUARD_RADIUS_PX, Scatterers, ldos
from stm_keras.simulation.scene import draw_positions, smooth_phase_shifts

SHAPE = (48, 48)
N_VOLTAGES = 16
N_IMPURITIES = 20
MARGIN_PX = 12.0
MEAN_FREE_PATH_PX = 100.0


def make_field(rng: np.random.Generator) -> tuple[Scatterers, np.ndarray]:
    k = np.linspace(0.66, 0.90, N_VOLTAGES)  # the paper's Au(111) maps
    positions = draw_positions(
        rng,
        shape=SHAPE,
        n=N_IMPURITIES,
        margin_px=MARGIN_PX,
        min_distance_px=2.0,
    )
    delta = smooth_phase_shifts(rng, N_IMPURITIES, k)
    return Scatterers(positions, delta, rng.uniform(0, 1, delta.shape)), k


def ours(field: Scatterers, k: np.ndarray) -> np.ndarray:
    return ldos(
        field, wave_number=k, shape=SHAPE, mean_free_path=MEAN_FREE_PATH_PX
    )


def plain(
    field: Scatterers,
    k: np.ndarray,
    hankel: transcriptions.Hankel = transcriptions.hankel0,
) -> np.ndarray:
    return transcriptions.ldos(
        field.positions,
        field.delta,
        field.absorption,
        k,
        np.full(len(k), MEAN_FREE_PATH_PX),
        SHAPE,
        min_radius=GUARD_RADIUS_PX,
        hankel=hankel,
    )


def with_j0_y0(field: Scatterers, k: np.ndarray) -> np.ndarray:
    return plain(field, k, hankel=transcriptions.hankel0_of_real)


def report(ways: dict[str, list[float]], error: float, seed: int) -> None:
    print(
        f"{machine()}, one thread; seed {seed}\n"
        f"Python {platform.python_version()}, NumPy {np.__version__}, "
        f"SciPy {scipy.__version__}\n"
        f"{SHAPE[0]} x {SHAPE[1]} px, {N_VOLTAGES} voltages, {N_IMPURITIES} "
        f"impurities with the margin; largest difference {error:.1e}\n"
    )
    print(
        f"{'':28}{'ms a field: median':>19}{'min':>8}{'max':>8}{'fields/s':>10}"
    )
    for name, seconds in ways.items():
        ms = 1e3 * np.array(seconds)
        print(
            f"{name:28}{np.median(ms):19.1f}{ms.min():8.1f}{ms.max():8.1f}"
            f"{1e3 / np.median(ms):10.1f}"
        )
    mine, *others = (np.array(seconds) for seconds in ways.values())
    for name, seconds in zip(list(ways)[1:], others, strict=True):
        ratios = seconds / mine
        print(
            f"ours against {name}: {np.median(ratios):.1f} times as fast "
            f"({ratios.min():.1f} to {ratios.max():.1f} over the repeats)"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    rng = np.random.default_rng(arguments.seed)
    ways: dict[str, Callable[[Scatterers, np.ndarray], np.ndarray]] = {
        "ours": ours,
        "SciPy hankel1": plain,
        "SciPy J0 + i Y0": with_j0_y0,
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    ours(*make_field(rng))  # tables that are made once
    error = 0.0
    for _ in range(arguments.repeats):
        field = make_field(rng)
        maps = []
        for name, way in ways.items():
            start = time.process_time()
            maps.append(way(*field))
            times[name].append(time.process_time() - start)
        error = max(error, float(np.abs(maps[0] - maps[1]).max()))
    report(times, error, arguments.seed)


if __name__ == "__main__":
    main()
