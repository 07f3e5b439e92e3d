"""The scattering formulas written out plainly: slow, obvious, double.

What the library computes fast is compared with this, for its results by
the tests and for its speed by `benchmarks/simulation.py`.
"""

from collections.abc import Callable

import numpy as np
from scipy import special

Hankel = Callable[[np.ndarray], np.ndarray]


def hankel0(x: np.ndarray) -> np.ndarray:
    """H0^(1)(x) by SciPy's function of complex arguments."""
    return special.hankel1(0, x)


def hankel0_of_real(x: np.ndarray) -> np.ndarray:
    """H0^(1)(x) = J0(x) + i Y0(x), by SciPy's functions of real ones."""
    return special.j0(x) + 1j * special.y0(x)


def ldos(
    positions: np.ndarray,
    delta: np.ndarray,
    absorption: np.ndarray,
    wave_number: np.ndarray,
    mean_free_path: np.ndarray,
    shape: tuple[int, int],
    min_radius: float = 0.0,
    hankel: Hankel = hankel0,
) -> np.ndarray:
    """1 + Re sum_ij h_i T_ij h_j, as Fiete and Heller write it.

    Args:
        positions: (row, col) of the impurities [n, 2], px.
        delta: phase shifts [V, n], rad.
        absorption: a [V, n], no unit.
        wave_number: k [V], rad/px.
        mean_free_path: l [V], px.
        shape: (height, width) of the frame, px.
        min_radius: pixels nearer to an impurity count as this far [px].
        hankel: computes H0^(1) of an array.

    Returns:
        LDOS in units of the clean one, float64 [V, H, W].
    """
    n = len(positions)
    row, col = np.mgrid[: shape[0], : shape[1]]
    distances = np.array([np.hypot(row - y, col - x) for y, x in positions])
    distances = np.maximum(distances, min_radius)
    between = np.hypot(*(positions[:, None] - positions[None]).T)
    np.fill_diagonal(between, 1.0)  # any number: G_ii is set to 0 below
    maps = []
    for v, k in enumerate(wave_number):
        damping = 1 / (2 * mean_free_path[v])
        h = hankel(k * distances) * np.exp(-distances * damping)
        G = hankel(k * between) * np.exp(-between * damping)
        np.fill_diagonal(G, 0)
        t = np.diag((np.exp(2j * delta[v] - 2 * absorption[v]) - 1) / 2)
        T = np.linalg.solve(np.eye(n) - t @ G, t)
        maps.append(
            1 + np.einsum("iyx,ij,jyx->yx", h, T, h, optimize=True).real
        )
    return np.array(maps)
