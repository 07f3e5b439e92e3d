"""The ring of standing waves in the Fourier transform of a map.

Scattering off impurities writes waves of q = 2k into a map (QPI); in its power
spectrum they lie on a ring (Petersen et al., Phys. Rev. B 57, R6858 (1998)).
Its radius gives k without knowing the surface.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import OptimizeResult, least_squares

from stm_keras.errors import InputError

# Share of a circle's modes left out at either end of the order of power: a
# lattice or pickup stands out in few of them, a ring in most.
TRIM = 0.2
N_SECTORS = 16
"""Sectors of directions that a spectrum can be had without, one by one."""

# A Hann window ties 1.5 neighbours to one along each axis (its equivalent
# noise bandwidth).
_MODES_PER_INDEPENDENT = 1.5**2
# Variance of ln P times the number of modes in a mean trimmed so, for power P
# distributed exponentially as that of noise (untrimmed: pi^2 / 6).
_VAR_LOG = 1.58


@dataclass(frozen=True, eq=False)
class Circles:
    """Where the modes of a transform lie, by circles half a step wide.

    Attributes:
        step: of the transform along the frame's longer side [rad/nm].
        log_q: mean of ln q [rad/nm] of each circle, [n].
        weights: inverse variance of the trimmed mean of ln power, [n].
        modes: places of the modes in the flattened half transform, [m].
        circle: the circle of each mode, [m].
        sector: sector of directions of each mode, [m], below `N_SECTORS`.
    """

    step: float
    log_q: NDArray[np.float64]
    weights: NDArray[np.float64]
    modes: NDArray[np.intp]
    circle: NDArray[np.intp]
    sector: NDArray[np.intp]


@lru_cache(maxsize=8)
def circles_of(shape: tuple[int, int], pixel: tuple[float, float]) -> Circles:
    """The circles of a frame.

    Args:
        shape: rows and columns [px].
        pixel: height and width of a pixel [nm].
    """
    q_rows = 2 * np.pi * np.fft.fftfreq(shape[0], pixel[0])[:, np.newaxis]
    q_cols = 2 * np.pi * np.fft.rfftfreq(shape[1], pixel[1])
    q = np.hypot(q_rows, q_cols)
    sides = [n * side for n, side in zip(shape, pixel, strict=True)]
    step = 2 * np.pi / max(sides)
    # The window smears the mean and the tilt over the first 1.5 steps; beyond
    # the Nyquist circle there are but the corners. Of a mode on the axis and
    # its mirror image, which are one, the half transform holds both.
    once = (q_cols > 0) | (q_rows > 0)
    used = np.flatnonzero((q > 1.5 * step) & (q < np.pi / max(pixel)) & once)
    _, circle = np.unique(
        np.rint(2 * q.flat[used] / step).astype(int), return_inverse=True
    )
    angle = np.arctan2(*np.broadcast_arrays(q_rows, q_cols)).flat[used]
    sector = ((angle / np.pi + 0.5) * N_SECTORS).astype(np.intp) % N_SECTORS
    n_modes = np.bincount(circle)
    log_q = np.bincount(circle, np.log(q.flat[used])) / n_modes
    weights = n_modes / (_VAR_LOG * _MODES_PER_INDEPENDENT)
    return Circles(step, log_q, weights, used, circle, sector)


def mode_powers(
    values: NDArray[np.float64], circles: Circles
) -> NDArray[np.float64]:
    """Logarithm of the power of each mode of a map under a Hann window.

    Args:
        values: [H, W], any unit, of more than one value; NaN is "not
            measured".
        circles: of the frame.

    Returns:
        float64 [m], in the order of `circles.modes`.
    """
    height, width = values.shape
    # Without its first and last zero, the window keeps the edge pixels.
    window = np.outer(np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1])
    measured = np.isfinite(values)
    mean = np.average(values[measured], weights=window[measured])
    waves = np.where(measured, values - mean, 0) * window
    power = np.abs(np.fft.rfft2(waves / np.abs(waves).max())) ** 2
    return np.log(power.flat[circles.modes] + np.finfo(np.float64).tiny)


def radial_spectrum(
    log_power: NDArray[np.float64], circles: Circles
) -> NDArray[np.float64]:
    """Trimmed mean of ln power over each circle, float64 [n]."""
    order = np.lexsort((log_power, circles.circle))
    return _trimmed_means(
        log_power[order], circles.circle[order], circles.log_q.size
    )


def spectra_without_sectors(
    log_power: NDArray[np.float64], circles: Circles, near: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """The spectrum once more without each sector of directions.

    Args:
        log_power: of each mode.
        circles: of the frame.
        near: the circles that are wanted, bool [n].

    Returns:
        float64 [N_SECTORS, number of wanted circles]. A circle of which one
        sector holds every mode keeps them.
    """
    modes = near[circles.circle]
    power, sector = log_power[modes], circles.sector[modes]
    circle = (np.cumsum(near) - 1)[circles.circle[modes]]
    order = np.lexsort((power, circle))
    power, circle, sector = power[order], circle[order], sector[order]
    n = int(near.sum())
    whole = _trimmed_means(power, circle, n)
    spectra = np.empty((N_SECTORS, n))
    for left_out in range(N_SECTORS):
        kept = sector != left_out
        means = _trimmed_means(power[kept], circle[kept], n)
        spectra[left_out] = np.where(np.isnan(means), whole, means)
    return spectra


def _trimmed_means(
    values: np.ndarray, group: np.ndarray, n_groups: int
) -> np.ndarray:
    """Trimmed mean by group of values sorted by group, then size."""
    counts = np.bincount(group, minlength=n_groups)
    starts = np.concatenate([[0], np.cumsum(counts)[:-1]])
    rank = np.arange(values.size) - starts[group]
    cut = (TRIM * counts).astype(int)[group]
    kept = (rank >= cut) & (rank < counts[group] - cut)
    number = np.bincount(group[kept], minlength=n_groups)
    total = np.bincount(group[kept], values[kept], minlength=n_groups)
    with np.errstate(invalid="ignore"):
        return total / number


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
        q: q = 2k [rad/nm].
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
    # A hump is looked for with a width of its own in ln q (`measure_ring`).
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


MIN_SIDE_PX = 16
# Where a ring is looked for: at least so many periods in the frame, so that
# there is spectrum below it, and up to this share of the Nyquist limit.
_MIN_PERIODS = 4.0
_MAX_NYQUIST_SHARE = 0.85
# What is looked for: a Gaussian hump of this width in ln q, standing on a
# parabola of ln power over ln q that is fitted so far to both sides of it.
_RING_WIDTH = 0.06
_SMEARING = 0.6  # by the window, in steps of the transform (Hann: 1.44 FWHM)
_WINDOW = 0.55
_GRID_STEP = 0.01
UNMODELLED = 0.12
"""Error of a radius that its shape does not know of, as of waves that were
scattered more than once, in steps of the transform; measured in virtual
experiments (docs/inspect.md)."""
# A ring must stand out by so many standard deviations (about 40 places are
# tried, so 3.5 would still come by chance) and by this factor over its
# background (where a tip's blur ends and white noise begins, the background
# bends by up to a factor of 2.7).
MIN_PROMINENCE = 4.0
MIN_CONTRAST = 3.0


@dataclass(frozen=True, eq=False)
class Ring:
    """A ring found in a map's power spectrum.

    Attributes:
        q_per_nm: its radius q = 2k [rad/nm].
        q_sigma: standard deviation of that [rad/nm], of the ring's own
            unevenness and of what is not known of its shape. An error in the
            frame's size comes on top.
        contrast: power on the ring over the background's, no unit.
        prominence: how far it stands out, in standard deviations of what
            the background alone would show; a measure of certainty.
        deviations: independent parts of the error [rad/nm], float64 [n].
            Maps of one frame see the same impurities: equal places go
            together.
        step_per_nm: of the transform [rad/nm]. A further part of the error
            is `UNMODELLED` of it, and goes together for rings that lie within
            a step.
    """

    q_per_nm: float
    q_sigma: float
    contrast: float
    prominence: float
    deviations: NDArray[np.float64]
    step_per_nm: float


def measure_ring(
    image: ArrayLike, pixel_nm: float | tuple[float, float]
) -> Ring | None:
    """Find the ring of standing waves in a levelled map.

    The trimmed mean of ln power over circles is compared with a smooth
    background. Trimmed and of the logarithm, it keeps single spots (a
    lattice, pickup) from passing for a ring.

    Args:
        image: one map [H, W], any unit; NaN is "not measured".
        pixel_nm: side of a pixel [nm], or its height and width.

    Returns:
        The most prominent ring, or None where nothing stands out.

    Raises:
        InputError: for another shape, a pixel that is not positive, or a map
            without a measured pixel.
    """
    values = np.asarray(image, dtype=np.float64)
    pixel = np.broadcast_to(np.asarray(pixel_nm, dtype=np.float64), (2,))
    if values.ndim != 2 or not np.isfinite(values).any():
        raise InputError(
            "A ring is measured in one map [H, W] with measured pixels. "
            f"Received the shape {list(values.shape)}."
        )
    if not (np.isfinite(pixel) & (pixel > 0)).all():
        raise InputError(
            f"The pixel must be positive. Received: {pixel_nm} nm."
        )
    if min(values.shape) < MIN_SIDE_PX or np.nanmin(values) == np.nanmax(
        values
    ):
        return None
    circles = circles_of(values.shape, (float(pixel[0]), float(pixel[1])))
    modes = mode_powers(values, circles)
    log_power = radial_spectrum(modes, circles)
    places = _places(values.shape, (float(pixel[0]), float(pixel[1])))
    humps = [_hump(place, log_power) for place in places]
    best = _most_prominent(humps)
    if best is None:
        return None
    return _ring(places[best], humps[best], circles, modes, log_power)


class _Place(NamedTuple):
    """Where a hump is looked for.

    Attributes:
        centre: ln q.
        near: the circles that tell, bool [n]; none without spectrum to both
            sides.
        gain: from their ln power to background (three) and height, [4, n'].
        deviation: of the height, where there is no ring.
    """

    centre: float
    near: NDArray[np.bool_]
    gain: NDArray[np.float64]
    deviation: float


class _Hump(NamedTuple):
    """A hump in ln power on a parabola, whose coefficients are `background`.

    Its prominence is its height in standard deviations.
    """

    height: float
    prominence: float
    background: NDArray[np.float64]


@lru_cache(maxsize=8)
def _places(shape: tuple[int, int], pixel: tuple[float, float]) -> list[_Place]:
    """All places where a hump is looked for in a frame."""
    circles = circles_of(shape, pixel)
    frame_nm = min(n * side for n, side in zip(shape, pixel, strict=True))
    lowest = np.log(_MIN_PERIODS * 2 * np.pi / frame_nm)
    highest = np.log(_MAX_NYQUIST_SHARE * np.pi / max(pixel))
    places = []
    for centre in np.arange(lowest, highest, _GRID_STEP):
        smearing = _SMEARING * 2 * np.pi / frame_nm / np.exp(centre)
        width = float(np.hypot(_RING_WIDTH, smearing))
        places.append(_place(circles, float(centre), width))
    return places


def _place(circles: Circles, centre: float, width: float) -> _Place:
    near = np.abs(circles.log_q - centre) < _WINDOW
    x = circles.log_q[near] - centre
    if min((x < -2 * width).sum(), (x > 2 * width).sum()) < 3:
        return _Place(centre, near, np.zeros((4, x.size)), np.inf)
    hump = np.exp(-0.5 * (x / width) ** 2)
    terms = np.stack([np.ones_like(x), x, x**2, hump], axis=1)
    weighted = circles.weights[near, np.newaxis] * terms
    covariance = np.linalg.pinv(terms.T @ weighted)
    deviation = float(np.sqrt(max(covariance[-1, -1], 0.0)))
    return _Place(centre, near, covariance @ weighted.T, deviation or np.inf)


def _hump(place: _Place, log_power: NDArray[np.float64]) -> _Hump:
    """Fit a hump; of height 0 without spectrum to both sides."""
    solution = place.gain @ log_power[place.near]
    height = float(solution[-1])
    return _Hump(height, height / place.deviation, solution[:3])


def _most_prominent(humps: list[_Hump]) -> int | None:
    """Place of the hump to call a ring, if any is one."""
    prominence = np.array(
        [
            hump.prominence if hump.height > np.log(MIN_CONTRAST) else 0.0
            for hump in humps
        ]
    )
    if prominence.size < 3 or prominence.max() < MIN_PROMINENCE:
        return None
    best = int(np.argmax(prominence))
    # What still grows at the end of the range has its peak elsewhere.
    return best if 0 < best < prominence.size - 1 else None


def _ring(
    place: _Place,
    hump: _Hump,
    circles: Circles,
    modes: NDArray[np.float64],
    log_power: NDArray[np.float64],
) -> Ring:
    near = place.near
    fit = fit_ring(
        circles.log_q[near],
        log_power[near],
        circles.weights[near],
        spectra_without_sectors(modes, circles, near),
        start=float(np.exp(place.centre)),
        background=hump.background,
        height=hump.height,
        step=circles.step,
    )
    return Ring(
        q_per_nm=fit.q,
        q_sigma=float(
            np.hypot(np.linalg.norm(fit.deviations), UNMODELLED * circles.step)
        ),
        contrast=float(np.exp(hump.height)),
        prominence=hump.prominence,
        deviations=fit.deviations,
        step_per_nm=circles.step,
    )
