"""Suite (i): fields of the paper's Eq. 3 with white noise."""

import functools

import numpy as np

from stm_keras.bench.case import Case, Cell, Role, case_rng
from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel

SUITE = "eq3"
NOISE = (0.2, 0.5, 0.8)
"""Standard deviations; the paper's own is the last."""

ISOLATED_NOISE = (0.2, 0.5)
FIELDS = FriedelConfig(
    size_px=32, n_voltages=8, n_impurities=(3, 8), on_grid=False
)
"""The data set `friedel/bench32`, drawn from other seeds."""

ISOLATED = FriedelConfig(
    size_px=32, n_voltages=8, n_impurities=(1, 1), on_grid=False
)


def eq3_case(
    config: FriedelConfig,
    stream: str,
    eta: float,
    role: Role,
    seed: int,
    number: int,
) -> Case:
    """One field of Eq. 3, in [-1, 1], and white noise on it.

    Args:
        config: what the field is drawn from.
        stream: see `case_rng`; the noise levels share fields and noise.
        eta: standard deviation of the noise, in units of the largest value.
        role: see `Role`.
        seed: of the bench.
        number: of the case.
    """
    of_field, of_noise = case_rng(stream, role, seed, number).spawn(2)
    field = simulate_friedel(config, of_field, 1)
    clean = field.maps[0]
    noise = of_noise.standard_normal(clean.shape, np.float32)
    return Case(
        maps=clean + np.float32(eta) * noise,
        wave_numbers=field.wave_numbers[0].astype(np.float64),
        positions=field.positions[0].astype(np.float64),
        sigma=eta,
        clean=clean,
        told_decay=2.0,
    )


def eq3_cells() -> list[Cell]:
    """Cells of the suite."""
    several = [(f"eta {eta:g}", FIELDS, "eq3", eta) for eta in NOISE]
    isolated = [
        (f"isolated impurity, eta {eta:g}", ISOLATED, "eq3 isolated", eta)
        for eta in ISOLATED_NOISE
    ]
    return [
        Cell(
            SUITE,
            name,
            functools.partial(eq3_case, config, stream, eta),
            source=stream,
        )
        for name, config, stream, eta in several + isolated
    ]
