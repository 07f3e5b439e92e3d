"""Maps as sums of rings: linear in amplitudes, not in positions."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.detections import as_positions
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


RIDGE = 1e-9
"""Of a Gram matrix's diagonal; keeps two impurities on one spot soluble."""


def check_wave_numbers(wave_numbers: ArrayLike, n_maps: int) -> np.ndarray:
    """Check k of `n_maps` maps [rad/px], float64 [V].

    Raises:
        InputError: unless there is a positive one for each map.
    """
    k = np.asarray(wave_numbers, np.float64)
    if k.shape != (n_maps,) or not (np.isfinite(k) & (k > 0)).all():
        raise InputError(
            "`wave_numbers` must be positive, one for each of the "
            f"{n_maps} maps. Received: {k.tolist()}."
        )
    return k


def check_maps(maps: ArrayLike) -> np.ndarray:
    """A stack as float64 [V, H, W]; NaN where not measured.

    Raises:
        InputError: for another shape, an axis of 0, or an infinite value.
    """
    stack = np.asarray(maps, np.float64)
    if stack.ndim != 3 or not stack.size:
        raise InputError(
            "`maps` must have the shape [V, H, W], none of them 0. "
            f"Received: {stack.shape}."
        )
    if np.isinf(stack).any():
        raise InputError("`maps` holds an infinite value; use NaN for gaps.")
    return stack


def pixel_grid(shape: tuple[int, int]) -> np.ndarray:
    """Row and column of every pixel in reading order, float64 [H W, 2]."""
    rows, cols = np.indices(shape)
    return np.stack([rows.ravel(), cols.ravel()], axis=1).astype(np.float64)


class Rays(NamedTuple):
    """From impurities to pixels.

    Attributes:
        distance: float [n, P] [px].
        unit: derivatives of the distance by the impurity's row and column,
            float [n, 2, P]; 0 at the impurity itself, where it has a kink.
    """

    distance: np.ndarray
    unit: np.ndarray


def rays(pixels: np.ndarray, positions: np.ndarray) -> Rays:
    """Distances and directions, in the dtype of the pixels.

    Args:
        pixels: row and column, float [P, 2] [px].
        positions: impurities, [n, 2] [px].
    """
    unit = positions.astype(pixels.dtype)[:, :, None] - pixels.T
    distance = np.hypot(unit[:, 0], unit[:, 1])
    unit /= np.maximum(distance, np.finfo(pixels.dtype).tiny)[:, None]
    return Rays(distance, unit)


def ring_columns(
    distance: np.ndarray, wave_numbers: np.ndarray, envelope: Envelope
) -> np.ndarray:
    """What multiplies Re C and Im C of every impurity.

    Args:
        distance: of every pixel from every impurity, float [n, P] [px].
        wave_numbers: k, [V] [rad/px].
        envelope: of the wave.

    Returns:
        e cos(2 k r) and -e sin(2 k r), [V, n, 2, P], of the distance's dtype.
    """
    level, _ = envelope(distance)
    n, n_pixels = distance.shape
    columns = np.empty((len(wave_numbers), n, 2, n_pixels), distance.dtype)
    for k, column in zip(wave_numbers, columns, strict=True):
        phase = distance * np.asarray(-2 * k, distance.dtype)
        np.multiply(np.cos(phase), level, out=column[:, 0])
        np.multiply(np.sin(phase), level, out=column[:, 1])
    return columns


def position_slopes(
    columns: np.ndarray,
    amplitudes: np.ndarray,
    wave_numbers: np.ndarray,
    way: Rays,
    envelope: Envelope,
) -> np.ndarray:
    """Derivatives of the maps by the positions.

    Args:
        columns: of `ring_columns`, [V, n, 2, P].
        amplitudes: Re C and Im C, [V, n, 2].
        wave_numbers: k, [V] [rad/px].
        way: between the impurities and the pixels.
        envelope: of the wave.

    Returns:
        By row and column of each impurity, [V, n, 2, P], in the unit of the
        maps [1/px].
    """
    _, slope = envelope(way.distance)
    slopes = np.empty_like(columns)
    parts = amplitudes.astype(columns.dtype)[..., None]
    for k, part, column, out in zip(
        wave_numbers, parts, columns, slopes, strict=True
    ):
        # d/dr of C e exp(2 i k r) is (e'/e + 2 i k) times it.
        real = part[:, 0] * column[:, 0] + part[:, 1] * column[:, 1]
        imag = part[:, 0] * column[:, 1] - part[:, 1] * column[:, 0]
        rate = slope * real + imag * np.asarray(2 * k, columns.dtype)
        np.multiply(rate[:, None], way.unit, out=out)
    return slopes


class NormalEquations(NamedTuple):
    """Least squares of every map on M columns.

    Attributes:
        gram: products of the columns, float64 [V, M, M].
        right: of the columns with the maps, float64 [V, M].
        squares: of the maps with themselves, float64 [V].
        counts: pixels that were measured, int [V].
    """

    gram: np.ndarray
    right: np.ndarray
    squares: np.ndarray
    counts: np.ndarray


def solve_normal(gram: np.ndarray, rhs: np.ndarray) -> np.ndarray:
    """Solve symmetric systems, [V, M, M] and [V, M, R] -> [V, M, R]."""
    diagonal = np.einsum("vii->vi", gram)
    scale = 1 / np.sqrt(np.maximum(diagonal, np.finfo(np.float64).tiny))
    # Unit diagonal: an impurity far off the frame is as well scaled.
    scaled = gram * scale[:, :, None] * scale[:, None, :]
    scaled += RIDGE * np.eye(gram.shape[-1])
    return scale[:, :, None] * np.linalg.solve(scaled, scale[:, :, None] * rhs)


def fit_amplitudes(
    maps: ArrayLike,
    positions: ArrayLike,
    wave_numbers: ArrayLike,
    *,
    envelope: Envelope = EQ3,
) -> np.ndarray:
    """Amplitudes of impurities whose positions are known.

    From noise-free maps this returns the true ones, whatever was subtracted
    from each map and divided by afterwards.

    Args:
        maps: [V, H, W], float; NaN = not measured.
        positions: [n, 2], row and column [px].
        wave_numbers: k of each map, [V] [rad/px].
        envelope: of the wave.

    Returns:
        C, complex128 [V, n], in the unit of the maps.

    Raises:
        InputError: where shapes do not fit or a number is not finite.
    """
    stack = check_maps(maps)
    k = check_wave_numbers(wave_numbers, len(stack))
    places = as_positions(positions, "positions")
    flat = stack.reshape(len(stack), -1)
    distance = rays(pixel_grid(stack.shape[1:]), places).distance
    columns = ring_columns(distance, k, envelope)
    columns = columns.reshape(len(stack), -1, flat.shape[1])
    amplitudes = np.empty((len(stack), 2 * len(places)))
    for values, design, out in zip(flat, columns, amplitudes, strict=True):
        seen = np.isfinite(values)
        table = np.vstack([design[:, seen], np.ones(seen.sum())])
        out[:] = np.linalg.lstsq(table.T, values[seen])[0][:-1]
    return amplitudes[:, ::2] + 1j * amplitudes[:, 1::2]


def standardised_maps(
    maps: ArrayLike, wave_numbers: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    """Maps of mean 0 and variance 1, without constant ones.

    Args:
        maps: [V, H, W], float; NaN = not measured.
        wave_numbers: k of each map, [V] [rad/px].

    Returns:
        Those that say something, float64 [V', H, W], and their k.

    Raises:
        InputError: see `check_maps` and `check_wave_numbers`.
    """
    stack = check_maps(maps)
    k = check_wave_numbers(wave_numbers, len(stack))
    seen = np.isfinite(stack)
    stack, seen, k = (a[seen.any(axis=(1, 2))] for a in (stack, seen, k))
    mean = np.mean(stack, axis=(1, 2), where=seen, keepdims=True)
    spread = np.std(stack, axis=(1, 2), where=seen, keepdims=True)
    # Rounding leaves a constant map a spread of its own.
    alive = spread[:, 0, 0] > 1e-12 * np.abs(mean[:, 0, 0])
    return (stack - mean)[alive] / spread[alive], k[alive]
