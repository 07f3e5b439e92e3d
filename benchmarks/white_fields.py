"""Fields of rings with white noise alone, of no training or test."""

from collections.abc import Iterator

import numpy as np

from stm_keras.ring_model import EQ3, SCATTERING
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel
from stm_keras.simulation.training_fields import (
    ScatteringConfig,
    field_rng,
    simulate_field,
)
from stm_keras.studies.bench.cases import Case

SEED = 78_000_000
"""Of no training set."""

KINDS = {"eq3": EQ3, "scattering": SCATTERING}
"""Of fields, and their waves."""

NOISE = (0.1, 1.0)
"""White, in units of the largest value of Eq. 3; in the standard deviations
of a map of scattering, three times as much."""

EMPTY = 0.125
"""Share of stacks with noise alone."""

N_MAPS = (1, 2, 4, 8, 16)
FIELDS = FriedelConfig(
    size_px=40,
    n_impurities=(1, 12),
    k0_rad_px=0.7,
    k_spread_rad_px=0.4,
    on_grid=False,
    margin_px=4,
)
SCATTERED = ScatteringConfig(
    size_px=40, density_per_px2=(6e-4, 8e-3), cores=None, decoys=None
)


def eq3(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A clean field of Eq. 3: maps, k [rad/px], positions [px]."""
    fields = simulate_friedel(FIELDS, rng, 1)
    return fields.maps[0], fields.wave_numbers[0], fields.positions[0]


def scattered(
    rng: np.random.Generator,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """A clean field of multiple scattering, likewise."""
    field = simulate_field(SCATTERED, rng)
    maps = field.maps / field.maps.std(axis=(1, 2), keepdims=True) / 3
    return maps, field.wave_numbers, field.positions


def stacks(kind: str, n: int) -> Iterator[Case]:
    """Fields with noise, a random number of their maps.

    Args:
        kind: of `KINDS`.
        n: number of fields.
    """
    for number in range(n):
        rng = field_rng(SEED + (kind == "eq3"), number)
        maps, k, positions = (eq3 if kind == "eq3" else scattered)(rng)
        chosen = np.sort(rng.permutation(len(maps))[: rng.choice(N_MAPS)])
        noise = rng.uniform(*NOISE) * rng.standard_normal(maps.shape)
        if rng.random() < EMPTY:
            maps, positions = 0 * maps, positions[:0]
        yield Case((maps + noise)[chosen], k[chosen], positions)
