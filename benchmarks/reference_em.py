"""Positions from bound-state maps by EM, against the truth.

    python benchmarks/reference_em.py [--experiments 20] [--seed 0]

Prints a table for docs/: recall, precision and RMSE over virtual experiments
of 80 x 80 px (0.46875 nm a pixel), matched one to one within 1 px.
"""

import argparse
import time

import numpy as np
from header import machine

from stm_keras.analysis.reference import find_bound_states
from stm_keras.scoring import score_positions
from stm_keras.simulation.bound_states import BoundStateConfig, bound_state_map
from stm_keras.surfaces import PAPER_PIXEL_NM, PAPER_SIZE_PX

DENSITIES = (15, 30, 60)
NOISES = (0.02, 0.05, 0.10)  # of the brightest spot there can be
LEAST_DISTANCE_PX = 2.5
MARGIN_PX = 8


def draw_positions(n_inside: int, rng: np.random.Generator) -> np.ndarray:
    """Draw impurities, so many in the frame and as densely around it.

    Returns:
        float64 [n, 2] (row, column) [px], no two nearer than 2.5 px.
    """
    low, high = -0.5 - MARGIN_PX, PAPER_SIZE_PX - 0.5 + MARGIN_PX
    chosen: list[np.ndarray] = []
    inside = 0
    while inside < n_inside:
        place = rng.uniform(low, high, 2)
        near = [np.hypot(*(place - p)) < LEAST_DISTANCE_PX for p in chosen]
        if not any(near):
            chosen.append(place)
            inside += int(is_inside(place[None])[0])
    return np.array(chosen)


def is_inside(positions: np.ndarray) -> np.ndarray:
    """Which positions [n, 2] lie in the frame, bool [n]."""
    last = PAPER_SIZE_PX - 0.5
    return np.all((positions >= -0.5) & (positions < last), axis=1)


def row(n: int, noise: float, experiments: int, seed: int) -> str:
    """Run the experiments of one line of the table."""
    config = BoundStateConfig(noise=(noise, noise))
    scores, seconds = [], 0.0
    for i in range(experiments):
        rng = np.random.default_rng([seed, n, i])
        places = draw_positions(n, rng)
        shape = (PAPER_SIZE_PX, PAPER_SIZE_PX)
        image = bound_state_map(places, shape, PAPER_PIXEL_NM, rng, config)
        start = time.process_time()
        found = find_bound_states(image).positions
        seconds += time.process_time() - start
        truth = places[is_inside(places)]
        scores.append(score_positions(found, truth, tolerance=1.0))
    total = sum(scores[1:], scores[0])
    return (
        f"| {n} | {noise:.2f} | {total.recall:.3f} | {total.precision:.3f} | "
        f"{total.rmse:.3f} | {seconds / experiments:.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    print(
        f"seed {args.seed}, {args.experiments} experiments a line, "
        f"{machine()}, NumPy {np.__version__}\n"
    )
    print("| spots | noise | recall | precision | RMSE [px] | CPU s |")
    print("|---|---|---|---|---|---|")
    for n in DENSITIES:
        for noise in NOISES:
            print(row(n, noise, args.experiments, args.seed), flush=True)


if __name__ == "__main__":
    main()
