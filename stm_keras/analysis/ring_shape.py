"""The shape of a ring in a power spectrum, and its radius 2k from a fit.

A scatterer of amplitude T adds Re[T H0(k r)^2] to the density of states, with
k complex: its imaginary part a/2 is the damping. The Fourier transform of
H0(k r)^2 is, up to a factor,

    F(q) = [2 artanh(s/q) + i pi] / (q s),    s = (q^2 - 4 k^2)^(1/2)

(a test compares it with the integral; for transforms of impurities' waves see
P. G. Derry, A. K. Mitchell and D. E. Logan, Phys. Rev. B 92, 035126 (2015),
doi:10.1103/PhysRevB.92.035126). A real T ("black dot") puts the power inside
2k, an imaginary one (weak scatterer) outside. Summed over scatterers at random
places it is

    |F|^2 + Re[C F^2],    C = <T^2> / <|T|^2>,  |C| <= 1.

C is not known. The place of the maximum would be wrong by up to half a step
of the transform; here C is fitted with the rest, and what remains unknown of
it counts in the radius's uncertainty.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import OptimizeResult, least_squares

from stm_keras.analysis.radial_spectrum import N_SECTORS

_FINE = 12  # points of the shape a step of the transform
_KERNEL_STEPS = 3
# What is thought of the shape beforehand, as standard deviations: of C (real
# and imaginary part, see `_side`; scatterers of both signs make it real), of ln
# of a in steps of the transform (with its mean), and of the background's
# height, slope and curvature in ln power over ln q.
_PRIOR_SIDE = (1.5, 0.3)
_PRIOR_DAMPING = (np.log(0.2), 1.0)
_PRIOR_BACKGROUND = (3.0, 3.0, 3.0)
_DYNAMIC_RANGE = 200.0  # what is so far below the ring's power tells nothing
_MOST_TRIES = 400
_MOST_STEPS = 1.5  # between the maximum and 2k
_MOST_SHIFT = 0.08  # likewise, relative
_STARTS = (-1.0, 1.0)
_MAX_DAMPING = 2.0
_MIN_DAMPING = 0.08  # a sharper ring the fine grid does not resolve


class RingFit(NamedTuple):
    """A fitted radius.

    Attributes:
        q: 2k [rad/nm].
        deviations: independent parts of its error [rad/nm]: one of each
            sector of directions (delete-one jackknife), then those of what
            is not known of the shape; the variance of q is their sum of
            squares. Float64 [n].
    """

    q: float
    deviations: NDArray[np.float64]


class _Profile:
    """ln power on given circles as a function of the parameters.

    Parameters: ln(2k / start), ln of the ring's power, two for C (`_side`),
    ln a (in steps), and the three coefficients of the background's ln power
    as a parabola in ln(q / start).
    """

    def __init__(self, log_q: np.ndarray, start: float, step: float) -> None:
        self.start, self.step = start, step
        self.x = log_q - np.log(start)
        q = np.exp(log_q)
        margin = (_KERNEL_STEPS + 1) * step
        self.fine = np.arange(
            max(q[0] - margin, step / 2), q[-1] + margin, step / _FINE
        )
        self.smear = _hann_power((q[:, np.newaxis] - self.fine) / step)
        self.smear /= self.smear.sum(axis=1, keepdims=True)

    def __call__(self, parameters: np.ndarray) -> np.ndarray:
        log_shift, log_ring, *side, log_damping = parameters[:5]
        bend = parameters[5:]
        two_k = self.start * np.exp(log_shift)
        damping = self.step * np.hypot(
            _MIN_DAMPING,
            _MAX_DAMPING * np.tanh(np.exp(log_damping) / _MAX_DAMPING),
        )
        wave = (
            two_k**3
            * self.step
            * wave_power(self.fine, two_k, damping, _side(*side))
        )
        ring = self.smear @ wave
        background = bend[0] + self.x * (bend[1] + self.x * bend[2])
        return np.logaddexp(log_ring + np.log(ring), background)


def fit_ring(
    log_q: NDArray[np.float64],
    log_power: NDArray[np.float64],
    weights: NDArray[np.float64],
    without: NDArray[np.float64],
    *,
    start: float,
    background: NDArray[np.float64],
    height: float,
    step: float,
) -> RingFit:
    """Fit the shape of a ring to a radial spectrum.

    Args:
        log_q: ln of the circles' q [rad/nm], [n], rising.
        log_power: ln of their power, [n].
        weights: its inverse variance, [n].
        without: the same power without each sector, [N_SECTORS, n].
        start: where the ring was seen [rad/nm].
        background: of the ln power about there, three coefficients of a
            parabola in ln(q / start).
        height: ln of the power there over the background's.
        step: of the transform [rad/nm].

    Returns:
        The fit; `start`, with an uncertainty of half a step or more, where no
        shape fits near it.
    """
    profile = _Profile(log_q, start, step)
    floor = background[0] + height - np.log(_DYNAMIC_RANGE)
    seen = np.logaddexp(log_power, floor)
    root = np.sqrt(weights)
    means = np.array([0.0, 0.0, _PRIOR_DAMPING[0], background[0], 0.0, 0.0])
    widths = np.array([*_PRIOR_SIDE, _PRIOR_DAMPING[1], *_PRIOR_BACKGROUND])

    def residuals(parameters: np.ndarray) -> np.ndarray:
        off = root * (np.logaddexp(profile(parameters), floor) - seen)
        return np.concatenate([off, (parameters[2:] - means) / widths])

    log_ring = background[0] + np.log(np.expm1(max(height, 0.1)))
    fits = [
        least_squares(
            residuals,
            np.array([0.0, log_ring, side, *means[1:]]),
            method="lm",
            max_nfev=_MOST_TRIES,
        )
        for side in _STARTS
    ]
    # One step of Newton's from the whole spectrum to each incomplete one.
    moved = root * (np.logaddexp(without, floor) - seen)
    found = _radius(fits, moved, start)
    # A hump is looked for with a width of its own in ln q (analysis.ring).
    reach = max(_MOST_STEPS * step, _MOST_SHIFT * start)
    if abs(found.q - start) <= reach:
        return found
    nothing = np.zeros_like(found.deviations)
    nothing[-1] = reach / 3
    return RingFit(start, nothing)


def _radius(
    fits: list[OptimizeResult], moved: NDArray[np.float64], start: float
) -> RingFit:
    """The radius of fits that began differently, by how well they fit."""
    cost = np.array([fit.cost for fit in fits])
    best = fits[int(np.argmin(cost))]
    chance = np.exp(best.cost - cost)
    chance /= chance.sum()
    shifts = np.array([fit.x[0] for fit in fits])
    shift = float(chance @ shifts)
    between = float(np.sqrt(chance @ (shifts - shift) ** 2))
    gain = np.linalg.pinv(best.jac.T @ best.jac)[0] @ best.jac.T
    of_data, of_shape = np.split(gain, [moved.shape[1]])
    sectors = moved @ of_data
    sectors = np.sqrt((N_SECTORS - 1) / N_SECTORS) * (sectors - sectors.mean())
    q = float(start * np.exp(shift))
    return RingFit(q, q * np.concatenate([sectors, of_shape, [between]]))


def wave_power(
    q: np.ndarray, two_k: float, damping: float, side: complex
) -> np.ndarray:
    """|F|^2 + Re[C F^2] at wave numbers q, [n]."""
    F = transform(q, two_k, damping)
    return np.abs(F) ** 2 + (side * F**2).real


def transform(q: np.ndarray, two_k: float, damping: float) -> np.ndarray:
    """F of the module's head at wave numbers q [n], complex [n]."""
    root = np.sqrt(q**2 - (two_k + 1j * damping) ** 2)
    return (2 * np.arctanh(root / q) + 1j * np.pi) / (q * root)


def _side(first: float, second: float) -> complex:
    """C, in the unit circle, of two numbers without limits."""
    size = np.hypot(first, second) + np.finfo(np.float64).tiny
    return complex(first, second) * np.tanh(size) / size


def _hann_power(x: np.ndarray) -> np.ndarray:
    """Power of the transform of a Hann window, x in steps; 1 at 0."""
    near_one = np.abs(np.abs(x) - 1) < 1e-6
    safe = np.where(near_one, 0.5, x)
    power = (np.sinc(safe) / (1 - safe**2)) ** 2
    return np.where(near_one, 0.25, power) * (np.abs(x) < _KERNEL_STEPS)
