"""What does the fit of rings add to `context` where noise is white?

Draws fields of Eq. 3 and of multiple scattering (no cores), adds white noise,
and compares true positions of what `stmk predict` keeps: the network's alone,
and with the fit, whose own deviations count for so many times as much. Only
stacks where the fit is believed count. `stm_keras.analysis.ring_refit` holds
the factor of the highest likelihood. From the project's folder:

    python benchmarks/ring_refit.py
"""

import argparse
import datetime
import os
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from detecting import detector

from stm_keras.analysis.matching import match
from stm_keras.analysis.ring_refit import (
    WHITE,
    fit_rings,
    residual_correlation,
    weighed_mean,
)
from stm_keras.bench.case import TOLERANCE_PX
from stm_keras.finding.detection_finder import DetectionFinder
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel
from stm_keras.simulation.randomised import field_rng
from stm_keras.simulation.scattering_config import ScatteringConfig
from stm_keras.simulation.scattering_field import simulate_field

SEED = 78_000_000
"""Of no training set."""

NOISE = (0.1, 1.0)
"""White, in units of the largest value of Eq. 3; in the standard deviations
of a map of scattering, three times as much."""

N_MAPS = (1, 2, 4, 8, 16)
FACTORS = (1.0, 1.25, 1.5, 1.75, 2.0, 2.5)
EQ3 = FriedelConfig(
    size_px=40,
    n_impurities=(1, 12),
    k0_rad_px=0.7,
    k_spread_rad_px=0.4,
    on_grid=False,
    margin_px=4,
)
SCATTERED = ScatteringConfig(size_px=40, density_per_px2=(6e-4, 8e-3))


class Stack(NamedTuple):
    """Noisy maps [V, H, W], k [V] [rad/px], and the positions [n, 2] [px]."""

    maps: np.ndarray
    wave_numbers: np.ndarray
    positions: np.ndarray


class Pairs(NamedTuple):
    """Sure detections of one stack that are true.

    Attributes:
        alone: errors of the network's positions, [n, 2] [px], and their
            standard deviations.
        together: the same with the fit, for each of `FACTORS`.
        believed: whether the fit is.
    """

    alone: tuple[np.ndarray, np.ndarray]
    together: list[tuple[np.ndarray, np.ndarray]]
    believed: bool


def eq3(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A clean field of Eq. 3."""
    fields = simulate_friedel(EQ3, rng, 1)
    return fields.maps[0], fields.wave_numbers[0], fields.positions[0]


def scattered(
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A clean field of multiple scattering."""
    field = simulate_field(SCATTERED, rng)
    maps = field.maps / field.maps.std(axis=(1, 2), keepdims=True) / 3
    return maps, field.wave_numbers, field.positions[field.in_frame]


def stacks(kind: str, n: int) -> Iterator[Stack]:
    """Fields with noise, a random number of their maps."""
    for number in range(n):
        rng = field_rng(SEED + (kind == "eq3"), number)
        maps, k, positions = (eq3 if kind == "eq3" else scattered)(rng)
        chosen = np.sort(rng.permutation(len(maps))[: rng.choice(N_MAPS)])
        noise = rng.uniform(*NOISE) * rng.standard_normal(maps.shape)
        yield Stack((maps + noise)[chosen], k[chosen], positions)


def look(finder: DetectionFinder, stack: Stack) -> Pairs | None:
    """What is found in a stack; None where nothing true is."""
    shown = stack.maps.astype(np.float32), 2 * stack.wave_numbers
    found = finder.detect(*shown, fit_rings=False)
    fitted, fit = fit_rings(*shown, found)
    sure = found.probabilities >= finder.least_kept(found.probabilities)
    pairs, _ = match(found.positions[sure], stack.positions, TOLERANCE_PX)
    if not len(pairs) or fit is None:
        return None
    which = np.flatnonzero(sure)[pairs[:, 0]]
    truth = stack.positions[pairs[:, 1]]
    together = []
    for factor in FACTORS:
        places, widths = weighed_mean(found, fitted, fit, factor)
        # The sure ones come first, and all of them are fitted.
        together.append((places[which] - truth, widths[which]))
    alone = found.positions[which] - truth, found.deviations[which]
    return Pairs(alone, together, residual_correlation(fit) <= WHITE)


def figures(every: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, ...]:
    """RMSE [px], deviation of z, and -ln likelihood of a coordinate [nat]."""
    errors, widths = (np.concatenate(part) for part in zip(*every, strict=True))
    z = errors / widths
    rmse = np.sqrt((errors**2).sum(axis=1).mean())
    return rmse, z.std(), (z**2 / 2 + np.log(widths)).mean()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=Path("saved_models/context")
    )
    parser.add_argument("--fields", type=int, default=400)
    options = parser.parse_args()
    finder = detector(options.model)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {options.fields} fields of each kind, seed "
        f"{SEED}\n"
    )
    print("| | fitted | believed | RMSE [px] | z | -ln likelihood |")
    print("|---|---|---|---|---|---|")
    for kind in ("eq3", "scattering"):
        seen = [look(finder, one) for one in stacks(kind, options.fields)]
        seen = [one for one in seen if one is not None]
        kept = [one for one in seen if one.believed]
        share = f"{len(seen)} | {len(kept) / len(seen):.2f}"
        ways = {"alone": figures([one.alone for one in kept])}
        for i, factor in enumerate(FACTORS):
            own = [one.together[i] for one in kept]
            ways[f"fit, deviations times {factor:g}"] = figures(own)
        for way, (rmse, z, nat) in ways.items():
            numbers = f"{rmse:.3f} | {z:.2f} | {nat:.3f}"
            print(f"| {kind}, {way} | {share} | {numbers} |", flush=True)


if __name__ == "__main__":
    main()
