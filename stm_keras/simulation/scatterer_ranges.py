"""How strong impurities are: ranges, and impurities drawn from them."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import Range, check_ranges, draw
from stm_keras.simulation.scatterers import Scatterers, smooth_phase_shifts


@dataclass(frozen=True, kw_only=True)
class ScattererRanges:
    """Ranges of phase shift and absorption, from weak to strong.

    Attributes:
        delta_rad: |phase shift| at the middle energy [rad]; the sign is
            random. pi/2 is the strongest scatterer.
        slope_rad: change of the phase shift from the middle energy to the
            ends, linear part [rad].
        curvature_rad: likewise, quadratic part [rad].
        absorption: a, no unit, of impurities that absorb but are not black.
        elastic_share: chance that an impurity absorbs nothing.
        black_share: chance that it is a black dot, t = -1/2.
    """

    delta_rad: Range = (0.15, math.pi / 2)
    slope_rad: Range = (-0.3, 0.3)
    curvature_rad: Range = (-0.1, 0.1)
    absorption: Range = (0.0, 1.5)
    elastic_share: float = 0.3
    black_share: float = 0.15

    def __post_init__(self) -> None:
        check_ranges(
            self,
            delta_rad=(0.0, math.pi / 2),
            slope_rad=(-10.0, 10.0),
            curvature_rad=(-10.0, 10.0),
            absorption=(0.0, 100.0),
        )
        shares = self.elastic_share, self.black_share
        if min(shares) < 0 or sum(shares) > 1:
            raise InputError(
                "ScattererRanges: `elastic_share` and `black_share` must be 0 "
                "or more and add up to 1 at most. Received: "
                f"{shares[0]:g} and {shares[1]:g}."
            )

    def draw(
        self,
        positions: np.ndarray,
        energies: ArrayLike,
        rng: np.random.Generator,
    ) -> Scatterers:
        """Give impurities their strength.

        Args:
            positions: (row, col) of the impurities [n, 2], px.
            energies: of the maps [V], any unit, any order.
            rng: source of randomness.
        """
        n = len(positions)
        delta = smooth_phase_shifts(
            rng,
            n,
            energies,
            delta_rad=self.delta_rad,
            slope=self.slope_rad,
            curvature=self.curvature_rad,
        )
        delta *= rng.choice((-1.0, 1.0), n)
        absorption = draw(self.absorption, rng, n)
        kind = rng.random(n)
        absorption[kind < self.elastic_share] = 0.0
        absorption[kind >= 1 - self.black_share] = np.inf
        return Scatterers(positions, delta, absorption)
