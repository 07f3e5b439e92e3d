"""Waves of all impurities, scattered into one another and added up.

Nearly all the time of a simulation is spent here, so the arrays are cut to
what fits the processor's cache and to what BLAS does best on one thread.
"""

import math

import numpy as np

from stm_keras.simulation.hankel import RadialGrid, interpolate

GUARD_RADIUS_PX = 0.05
"""H0^(1) diverges as ln r on a scatterer: nearer pixels count as this far."""

_BLOCK = 32768  # (impurity, pixel) pairs worked on at once: fits the cache

_ONE_THREAD = 60000
"""Products of matrices with no more complex multiplications than this stay
on one thread in OpenBLAS. Two threads on two busy cores wait for each other
and were measured to be 100 times slower."""


def superpose(
    T: np.ndarray,
    k: np.ndarray,
    length: np.ndarray,
    positions: np.ndarray,
    shape: tuple[int, int],
) -> np.ndarray:
    """LDOS = 1 + Re sum_ij h_i T_ij h_j of all waves of all impurities.

    Args:
        T: all orders of scattering between impurities, complex64 [V, n, n].
        k: wave numbers [V], rad/px.
        length: mean free path l [V], px; `inf` for no damping.
        positions: (row, col) of the impurities [n, 2], px; n of 1 or more.
        shape: (height, width) of the frame, px.

    Returns:
        LDOS, float32 [V, H, W], in units of the clean one.
    """
    n = len(positions)
    rows = (np.arange(shape[0]) - positions[:, :1]) ** 2
    cols = (np.arange(shape[1]) - positions[:, 1:]) ** 2
    farthest = math.sqrt((rows.max(axis=1) + cols.max(axis=1)).max())
    grid = RadialGrid(float(k.max()), GUARD_RADIUS_PX, farthest)
    step = max(1, _BLOCK // (n * shape[1]))
    blocks = []
    for top in range(0, shape[0], step):
        squares = rows[:, top : top + step, None] + cols[:, None, :]
        flat = squares.astype(np.float32).reshape(n, -1)
        blocks.append(grid.locate(flat))
    work = np.empty((2, n * blocks[0][0].shape[1]), np.complex64)
    out = np.empty((len(k), shape[0] * shape[1]), np.float32)
    for v, target in enumerate(out):
        values, steps = grid.wave(k[v], length[v])
        done = 0
        for index, place in blocks:
            h, Th = work[:, : index.size].reshape(2, *index.shape)
            interpolate(values, steps, index, place, out=(h, Th))
            _multiply(T[v], h, Th)
            _sum_products(h, Th, target[done : done + index.shape[1]])
            done += index.shape[1]
    out += 1
    return out.reshape(len(k), *shape)


def _sum_products(h: np.ndarray, Th: np.ndarray, out: np.ndarray) -> None:
    """Re sum_i h_i (Th)_i for h, Th [n, m] into out [m]; Th is spoilt."""
    # Re(a b) = Re a Re b - Im a Im b: products of the parts only.
    parts = Th.view(np.float32)
    parts *= h.view(np.float32)
    total = parts.sum(axis=0)
    np.subtract(total[::2], total[1::2], out=out)


def _multiply(T: np.ndarray, h: np.ndarray, out: np.ndarray) -> None:
    """T @ h for T [n, n] and h [n, m], in parts that stay on one thread."""
    n, m = h.shape
    rows = min(n, max(1, math.isqrt(_ONE_THREAD // n)))
    width = min(m, max(1, _ONE_THREAD // (n * rows)))
    whole = m - m % width
    h_parts, out_parts = (
        a[:, :whole].reshape(n, -1, width).swapaxes(0, 1) for a in (h, out)
    )
    for top in range(0, n, rows):
        some = slice(top, top + rows)
        np.matmul(T[some], h_parts, out=out_parts[:, some])
        if whole < m:
            np.matmul(T[some], h[:, whole:], out=out[some, whole:])
