"""H0^(1) and H1^(1) by one table in x = k r, fast, for every wave number.

A fit evaluates waves at the same pixels for many k and needs their slope as
well. The table is uniform in x and interpolated linearly: two gathers and a
multiplication a value. Below `LEAST` the waves are those at `LEAST`: there
is no pixel so near, as cores are left out.
"""

import math
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import special

from stm_keras.errors import InputError

STEP = 0.01
"""Of the table; the interpolation errs by at most STEP^2 / 8 |H''|, which is
1e-5 from x = 1 on, and 2e-4 at x = 0.2."""

LEAST, MOST = 0.02, 5000.0
"""Arguments that the table serves."""


class Table(NamedTuple):
    """A function at equal steps.

    Attributes:
        values: complex64 [m].
        steps: from each value to the next, complex64 [m].
    """

    values: np.ndarray
    steps: np.ndarray


@cache
def _table(order: int, doublings: int) -> Table:
    """H_order for x up to 2^doublings."""
    x = STEP * np.arange(math.ceil(2**doublings / STEP) + 2)
    x[:2] = LEAST, LEAST
    values = special.hankel1(order, x)
    return Table(
        values[:-1].astype(np.complex64), np.diff(values).astype(np.complex64)
    )


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
    most = checked(float(x.max(initial=1.0)))
    place = Places.of(x, STEP)
    first = interpolated(_table(0, _doublings(most)), place)
    if not slope:
        return first, first[:0]
    return first, interpolated(_table(1, _doublings(most)), place)


def checked(most: float) -> float:
    """The greatest argument, where a table serves it.

    Raises:
        InputError: where none does.
    """
    if not most <= MOST:
        raise InputError(
            f"Waves are computed as far as k r = {MOST:g}. Received: "
            f"{most:.4g}. Are the wave numbers and the pixel right?"
        )
    return most


def tables(most: float) -> tuple[Table, Table]:
    """H0^(1) and H1^(1) at x = 0, STEP, 2 STEP and on, beyond `most`."""
    n = math.ceil(checked(most) / STEP) + 2
    zero, one = (_table(order, _doublings(most)) for order in (0, 1))
    return Table(zero.values[:n], zero.steps[:n]), Table(
        one.values[:n], one.steps[:n]
    )


def _doublings(most: float) -> int:
    return max(math.ceil(math.log2(most)), 7)


class Places(NamedTuple):
    """Where values lie in a table.

    Attributes:
        cell: the place of the table before each, intp, any shape.
        part: how far beyond it, 0 to 1, float32, of the same shape.
    """

    cell: np.ndarray
    part: np.ndarray

    @classmethod
    def of(cls, x: np.ndarray, step: float) -> "Places":
        """Of values of 0 or more, float32, in a table of this step."""
        part = x * np.float32(1 / step)
        cell = part.astype(np.intp)
        part -= cell
        return cls(cell, part)


ROWS = 8
"""So many rows are looked up at once: what is at work stays in the cache."""


def interpolated(table: Table, at: Places) -> np.ndarray:
    """Values of a table, complex64, of the shape of the places."""
    out = np.empty(at.cell.shape, np.complex64)
    if out.ndim < 2:
        look_up(table, at, out, np.empty_like(out))
        return out
    spare = np.empty((ROWS, *out.shape[1:]), np.complex64)
    for first in range(0, len(out), ROWS):
        own = slice(first, first + ROWS)
        look_up(table, Places(at.cell[own], at.part[own]), out[own], spare)
    return out


def look_up(
    table: Table, at: Places, out: np.ndarray, spare: np.ndarray
) -> None:
    """Write values of a table.

    Args:
        table: see `Table`.
        at: where.
        out: of the shape of the places.
        spare: to work in, of that shape or with more rows.
    """
    spare = spare[: len(out)]
    table.steps.take(at.cell, mode="clip", out=out)
    out *= at.part
    table.values.take(at.cell, mode="clip", out=spare)
    out += spare
