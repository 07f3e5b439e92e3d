"""The wave around one impurity, as a function of the distance from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stm_keras.errors import InputError

Envelope = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]
"""Distance r [px] (any shape) -> e(r) and e'(r) / e(r) [1/px].

An impurity of complex amplitude C adds Re[C e(r) exp(2 i k r)] to a map of
wave number k.
"""


@dataclass(frozen=True)
class RingTemplate:
    """e(r) = 1 / (max(r, core) + eps)^p, an `Envelope`.

    With the defaults it is the wave of Eq. 3 of arXiv:2006.15898 as
    `simulation.friedel` computes it, A exp(i alpha) being its amplitude C.
    Waves of multiple scattering fall as 1/r: see `SCATTERING`.

    Attributes:
        exponent: p, of the decay.
        eps_px: cutoff of the divergence [px].
        core_px: radius inside which it is level [px].
        hole_px: radius inside which a finder leaves the pixels out of its
            fit, because short-range structure hides the wave [px]; 0 keeps
            all. It does not change e.

    Raises:
        InputError: for a length or an exponent that is negative or not
            finite, or an envelope that diverges at 0.
    """

    exponent: float = 2.0
    eps_px: float = 1.0
    core_px: float = 0.0
    hole_px: float = 0.0

    def __post_init__(self) -> None:
        for name in ("exponent", "eps_px", "core_px", "hole_px"):
            value = getattr(self, name)
            if not 0 <= value < np.inf:
                raise InputError(
                    f"`{name}` must be finite and >= 0. Received: {value}."
                )
        if self.exponent and not self.eps_px + self.core_px:
            raise InputError(
                "The wave diverges at the impurity: give `eps_px` or "
                "`core_px` above 0."
            )

    def __call__(self, distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The envelope and its logarithm's slope.

        Args:
            distance: r, float, any shape [px].

        Returns:
            e, no unit, and e'/e [1/px], both of its shape and dtype.
        """
        reach = np.maximum(distance, self.core_px) + self.eps_px
        # Inside the core the envelope has no slope.
        slope = np.where(distance >= self.core_px, -self.exponent / reach, 0)
        # Of a float32 the power is slow, a multiplication is not.
        if self.exponent in (1.0, 2.0):
            level = 1 / reach
            level *= level if self.exponent == 2 else 1
        else:
            level = reach ** np.asarray(-self.exponent, reach.dtype)
        return level, slope.astype(reach.dtype)


EQ3 = RingTemplate()
"""Eq. 3 of arXiv:2006.15898 with the cutoff that `FriedelConfig` has."""

SCATTERING = RingTemplate(exponent=1.0, eps_px=0.0, core_px=1.0)
"""Far field of a point scatterer (Rev. Mod. Phys. 75, 933 (2003))."""
