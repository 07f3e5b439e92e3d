"""H0^(1) and H1^(1) by one table in x = k r, fast, for every wave number.

A fit evaluates waves at the same pixels for many k and needs their slope as
well. The table is uniform in x and interpolated linearly: two gathers and a
multiplication a value. Below `LEAST` the waves are those at `LEAST`: there
is no pixel so near, as cores are left out.
"""

import math
from functools import cache

import numpy as np
from scipy import special

from stm_keras.errors import InputError

STEP = 0.01
"""Of the table; the interpolation errs by at most STEP^2 / 8 |H''|, which is
1e-5 from x = 1 on, and 2e-4 at x = 0.2."""

LEAST, MOST = 0.02, 5000.0
"""Arguments that the table serves."""


@cache
def _table(order: int, doublings: int) -> tuple[np.ndarray, np.ndarray]:
    """Values and steps of H_order, for x up to 2^doublings."""
    x = STEP * np.arange(math.ceil(2**doublings / STEP) + 2)
    x[:2] = LEAST, LEAST
    values = special.hankel1(order, x)
    return values.astype(np.complex64), np.diff(values).astype(np.complex64)


def hankel(
    x: np.ndarray, *, slope: bool = True
) -> tuple[np.ndarray, np.ndarray]:
    """Outgoing circular waves.

    Args:
        x: k r, float32, any shape, 0 to `MOST`, no unit.
        slope: whether H1 is wanted; else the second array is empty.

    Returns:
        H0^(1) and H1^(1), complex64, of the shape of `x`. H0' = -H1.

    Raises:
        InputError: for larger arguments.
    """
    x = np.asarray(x, np.float32)
    most = float(x.max(initial=1.0))
    if not most <= MOST:
        raise InputError(
            f"Waves are computed as far as k r = {MOST:g}. Received: "
            f"{most:.4g}. Are the wave numbers and the pixel right?"
        )
    doublings = max(math.ceil(math.log2(most)), 7)
    place = x * np.float32(1 / STEP)
    cell = place.astype(np.intp)
    place -= cell
    first = _interpolated(0, doublings, cell, place)
    if not slope:
        return first, first[:0]
    return first, _interpolated(1, doublings, cell, place)


def _interpolated(
    order: int, doublings: int, cell: np.ndarray, place: np.ndarray
) -> np.ndarray:
    values, steps = _table(order, doublings)
    wave = steps.take(cell, mode="clip")
    wave *= place
    wave += values.take(cell, mode="clip")
    return wave
