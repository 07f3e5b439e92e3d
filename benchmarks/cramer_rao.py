"""How near to the limit do fits and the pursuit come?

    python benchmarks/cramer_rao.py [--fields 24] [--draws 5] [--finds 150]

Draws Eq. 3 fields (32 x 32 px, 8 maps, A from 0.5 to 1.5 and alpha drawn for
every impurity and map, positions anywhere in the frame, maps of largest value
1) and prints two tables: the Cramér-Rao bound beside the errors of maximum
likelihood fits, started at the truth, over fresh noise; and what the pursuit,
given k(V) and the template, finds on maps that it was not tuned on. The
numbers are those of docs/limits.md.
"""

import argparse
import math
import time
from functools import reduce
from operator import add

import numpy as np
from header import machine
from scipy.optimize import least_squares

from stm_keras.ring_model import (
    EQ3,
    fit_amplitudes,
    pixel_grid,
    rays,
    ring_columns,
)
from stm_keras.scoring import Score, keeping, pooled_score, score_positions
from stm_keras.simulation.friedel import (
    FriedelConfig,
    FriedelFields,
    simulate_friedel,
)
from stm_keras.studies.baselines.bounds import pooled_rmse, position_bound
from stm_keras.studies.baselines.pursuit import (
    PursuitSettings,
    find_by_pursuit,
)

SIZE_PX, N_VOLTAGES = 32, 8
PIXELS = pixel_grid((SIZE_PX, SIZE_PX))
CASES = (("isolated", (1, 1)), ("3 to 8", (3, 8)))
N_THRESHOLDS = 128
FIT_NOISES, FIND_NOISES = (0.2, 0.5), (0.2, 0.5, 0.8)


def draw(
    counts: tuple[int, int], n: int, rng: np.random.Generator
) -> FriedelFields:
    config = FriedelConfig(
        size_px=SIZE_PX,
        n_voltages=N_VOLTAGES,
        k0_rad_px=0.775,
        k_spread_rad_px=0.115,
        n_impurities=counts,
        on_grid=False,
    )
    return simulate_friedel(config, rng, n)


def most_likely(
    maps: np.ndarray, wave_numbers: np.ndarray, start: np.ndarray
) -> np.ndarray:
    """Positions of least squares; amplitudes and offsets projected out."""
    values = maps.reshape(len(maps), -1)

    def residuals(flat: np.ndarray) -> np.ndarray:
        distance = rays(PIXELS, flat.reshape(-1, 2)).distance
        columns = ring_columns(distance, wave_numbers, EQ3)
        left = []
        for column, value in zip(columns, values, strict=True):
            design = np.vstack(
                [np.ones(len(PIXELS)), column.reshape(-1, len(PIXELS))]
            )
            fit = np.linalg.solve(design @ design.T, design @ value)
            left.append(value - fit @ design)
        return np.concatenate(left)

    found = least_squares(residuals, start.ravel(), xtol=1e-4, ftol=1e-6)
    return found.x.reshape(-1, 2)


def fits(
    fields: FriedelFields, eta: float, n_draws: int, rng: np.random.Generator
) -> tuple[float, list[float], float]:
    """Bound, squared errors of all fits, share of them beyond 1 px."""
    errors = []
    for maps, positions, k in zip(*fields, strict=True):
        for _ in range(n_draws):
            noisy = maps + eta * rng.standard_normal(maps.shape)
            off = most_likely(noisy, k, positions) - positions
            errors += np.square(off).sum(axis=1).tolist()
    far = float(np.mean(np.array(errors) > 1))
    return limit(fields, eta), errors, far


def print_fits(n_fields: int, n_draws: int, seed: int) -> None:
    print(
        "| impurities | eta | bound [px] | fits [px] | fits / bound "
        "| fits beyond 1 px | impurities fitted |\n" + 7 * "|---" + "|"
    )
    for number, (name, counts) in enumerate(CASES):
        fields = draw(counts, n_fields, np.random.default_rng([seed, number]))
        for eta in FIT_NOISES:
            rng = np.random.default_rng([seed, number, int(100 * eta)])
            bound, errors, far = fits(fields, eta, n_draws, rng)
            rmse = math.sqrt(np.mean(errors))
            # Of a mean of squares, by the spread of the squares themselves.
            spread = np.std(errors) / math.sqrt(len(errors)) / (2 * rmse)
            print(
                f"| {name} | {eta} | {bound:.3f} | {rmse:.3f} "
                f"| {rmse / bound:.2f} ± {spread / bound:.2f} "
                f"| {100 * far:.1f} % | {len(errors)} |",
                flush=True,
            )


def limit(fields: FriedelFields, eta: float) -> float:
    """The pooled bound of noise of width eta [px]."""
    return pooled_rmse(
        [
            position_bound(
                positions,
                fit_amplitudes(maps, positions, k),
                k,
                shape=(SIZE_PX, SIZE_PX),
                sigma=eta,
            )
            for maps, positions, k in zip(*fields, strict=True)
        ]
    )


def tuned(fields: FriedelFields, noisy: np.ndarray) -> float:
    """The threshold with the highest Jaccard index.

    `best_threshold` tries counts a tenth apart, too coarse for a finder that
    misses fewer than that.
    """
    found = [
        find_by_pursuit(maps, k, threshold=-np.inf)
        for maps, k in zip(noisy, fields.wave_numbers, strict=True)
    ]
    heights = np.sort(np.concatenate([peaks.scores for peaks in found]))[::-1]
    n = sum(map(len, fields.positions))
    counts = np.linspace(max(n / 4, 1), 2 * n, N_THRESHOLDS)
    return max(
        keeping(heights, counts),
        key=lambda value: (
            pooled_score(found, fields.positions, value, 1.0).jaccard
        ),
    )


def find_all(
    fields: FriedelFields, noisy: np.ndarray, settings: PursuitSettings
) -> Score:
    """The pooled score of the pursuit."""
    scores = [
        score_positions(
            find_by_pursuit(maps, k, settings).positions,
            positions,
            tolerance=1.0,
        )
        for maps, positions, k in zip(
            noisy, fields.positions, fields.wave_numbers, strict=True
        )
    ]
    return reduce(add, scores)


def print_finds(n_fields: int, seed: int) -> None:
    print(
        "\n| eta | F1 | Jaccard | RMSE [px] | bound [px] | threshold "
        "| s a stack |\n" + 7 * "|---" + "|"
    )
    for eta in FIND_NOISES:
        rng = np.random.default_rng([seed, 2, int(100 * eta)])
        train, test = (draw((3, 8), n_fields, rng) for _ in range(2))
        known, unknown = (
            f.maps + eta * rng.standard_normal(f.maps.shape)
            for f in (train, test)
        )
        settings = PursuitSettings(threshold=tuned(train, known))
        start = time.perf_counter()
        score = find_all(test, unknown, settings)
        seconds = (time.perf_counter() - start) / n_fields
        print(
            f"| {eta} | {score.f1:.3f} | {score.jaccard:.3f} "
            f"| {score.rmse:.3f} | {limit(test, eta):.3f} "
            f"| {settings.threshold:.1f} | {seconds:.2f} |",
            flush=True,
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--fields", type=int, default=24, help="of fits")
    parser.add_argument("--draws", type=int, default=5, help="fits a field")
    parser.add_argument(
        "--finds", type=int, default=150, help="fields to tune on, and to test"
    )
    parser.add_argument("--seed", type=int, default=6)
    options = parser.parse_args()
    print(
        f"{machine()}; seed {options.seed}\n\n"
        f"{options.fields} fields, {options.draws} fits each:\n"
    )
    print_fits(options.fields, options.draws, options.seed)
    print(f"\nPursuit: tuned on {options.finds} fields, tested on as many.")
    print_finds(options.finds, options.seed)


if __name__ == "__main__":
    main()
