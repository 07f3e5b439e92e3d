"""Point scatterers: where they are and how strongly they scatter."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import pdist

from stm_keras.errors import InputError


@dataclass(frozen=True)
class Scatterers:
    """Impurities, those outside the frame that scatter into it included.

    Attributes:
        positions: (row, col) of each [n, 2], px; the centre of the top left
            pixel is (0, 0), and positions may lie outside the frame.
        delta: phase shift of each at each energy [V, n], rad.
        absorption: a >= 0 of each [n], or at each energy [V, n], no unit;
            `inf` makes the black dot, t = -1/2.

    Raises:
        InputError: for shapes that do not fit, or numbers that cannot be.
    """

    positions: np.ndarray
    delta: np.ndarray
    absorption: np.ndarray

    def __post_init__(self) -> None:
        n = len(self.positions)
        if self.positions.shape != (n, 2) or self.delta.shape[1:] != (n,):
            raise InputError(
                "`positions` must be [n, 2] and `delta` [V, n]. Received "
                f"shapes {self.positions.shape} and {self.delta.shape}."
            )
        if self.absorption.shape not in {(n,), self.delta.shape}:
            raise InputError(
                f"`absorption` must be [n] or [V, n] = {self.delta.shape}. "
                f"Received shape {self.absorption.shape}."
            )
        if not all(np.isfinite(a).all() for a in (self.positions, self.delta)):
            raise InputError("`positions` and `delta` must be finite numbers.")
        if not (self.absorption >= 0).all():
            raise InputError(
                f"`absorption` must be 0 or more. Received: "
                f"{self.absorption.min():g}."
            )


def t_amplitude(delta: ArrayLike, absorption: ArrayLike = 0.0) -> np.ndarray:
    """Scattering amplitude t = (exp(2 i delta - 2 a) - 1) / 2.

    Without absorption it conserves particles: |1 + 2t| = 1, Re t = -|t|^2.

    Args:
        delta: phase shift, rad.
        absorption: a >= 0, no unit; `inf` gives the black dot, t = -1/2.

    Returns:
        t, complex128, the common shape of both.
    """
    delta, absorption = np.asarray(delta), np.asarray(absorption)
    return (np.exp(-2 * absorption) * np.exp(2j * delta) - 1) / 2


def smooth_phase_shifts(
    rng: np.random.Generator,
    n: int,
    energies: ArrayLike,
    *,
    delta_rad: tuple[float, float] = (-math.pi / 2, math.pi / 2),
    slope: tuple[float, float] = (-0.5, 0.5),
    curvature: tuple[float, float] = (-0.2, 0.2),
) -> np.ndarray:
    """Phase shifts that belong to the impurity and vary gently with energy.

    delta(E) = delta0 + slope u + curvature u^2, where u = (E - middle) /
    (half the width of the energies) runs over [-1, 1]. Each impurity has
    its own three numbers, drawn uniformly from the ranges.

    Args:
        rng: source of randomness.
        n: number of impurities.
        energies: of the maps [V], any unit, any order.
        delta_rad: range of delta0, rad.
        slope: range of the slope, rad per half width.
        curvature: range of the curvature, rad per half width squared.

    Returns:
        delta, float64 [V, n], rad.
    """
    energies = np.asarray(energies, np.float64)
    low, high = energies.min(), energies.max()
    half = (high - low) / 2 or 1.0  # one energy: u = 0
    u = ((energies - (low + high) / 2) / half)[:, None]
    delta0, rise, bend = (
        rng.uniform(*limits, n) for limits in (delta_rad, slope, curvature)
    )
    return delta0 + rise * u + bend * u**2


def check_distances(positions: np.ndarray, min_distance_px: float) -> None:
    """Refuse impurities that lie closer than their cores allow.

    Args:
        positions: (row, col) [n, 2], px.
        min_distance_px: the smallest distance allowed, above 0 [px].

    Raises:
        InputError: where two are closer; the message says which.
    """
    distances = pdist(positions)
    if distances.size and distances.min() < min_distance_px:
        first, second = np.triu_indices(len(positions), 1)
        at = int(distances.argmin())
        raise InputError(
            f"Impurities {first[at]} and {second[at]} are "
            f"{distances[at]:.3g} px apart, closer than the core of "
            f"{min_distance_px:g} px. Move one, or lower `min_distance_px`."
        )
