"""The wave around one impurity, as a function of the distance from it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from stm_keras.errors import InputError

Template = Callable[[np.ndarray, float], tuple[np.ndarray, np.ndarray]]
"""Distance [px] (any shape) and k [rad/px] -> f and df/dr [1/px], complex.

The real part of C f, C complex, is what an impurity adds to a map.
"""


@dataclass(frozen=True)
class RingTemplate:
    """f(r) = exp(2 i k r) / (max(r, core) + eps)^p, a `Template`.

    With the defaults it is the wave of Eq. 3 of arXiv:2006.15898 as
    `simulation.friedel` computes it, A exp(i alpha) being its amplitude C.
    Waves of multiple scattering fall as 1/r: see `SCATTERING`.

    Attributes:
        exponent: p, of the decay.
        eps_px: cutoff of the divergence [px].
        core_px: radius inside which the envelope is level [px].
        hole_px: radius inside which a finder leaves the pixels out of its
            fit, because short-range structure hides the wave [px]; 0 keeps
            all. It does not change f.

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

    def __call__(
        self, distance: np.ndarray, wave_number: float
    ) -> tuple[np.ndarray, np.ndarray]:
        """The wave and its slope.

        Args:
            distance: r, float, any shape [px].
            wave_number: k [rad/px].

        Returns:
            f, no unit, and df/dr [1/px], complex, of the shape of `distance`
            and twice its precision in bytes (float32 gives complex64).
        """
        phase = np.asarray(2 * wave_number, distance.dtype) * distance
        wave = np.empty(distance.shape, np.result_type(distance, np.complex64))
        np.cos(phase, out=wave.real)
        np.sin(phase, out=wave.imag)
        reach = np.maximum(distance, self.core_px) + self.eps_px
        wave *= reach ** np.asarray(-self.exponent, distance.dtype)
        slope = np.empty_like(wave)
        # Inside the core the envelope has no slope.
        slope.real = (-self.exponent / reach) * (distance >= self.core_px)
        slope.imag = 2 * wave_number
        slope *= wave
        return wave, slope


EQ3 = RingTemplate()
"""Eq. 3 of arXiv:2006.15898 with the cutoff that `FriedelConfig` has."""

SCATTERING = RingTemplate(exponent=1.0, eps_px=0.0, core_px=1.0)
"""Far field of a point scatterer (Rev. Mod. Phys. 75, 933 (2003))."""
