"""The ring of standing waves in the Fourier transform of a map.

Scattering off impurities writes waves of wave number q = 2k into a map; in
its power spectrum they lie on a ring (Petersen et al., Phys. Rev. B 57, R6858
(1998)). Its radius gives k without knowing the surface.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stm_keras.analysis.radial_spectrum import (
    Circles,
    circles_of,
    mode_powers,
    radial_spectrum,
    spectra_without_sectors,
)
from stm_keras.analysis.ring_shape import fit_ring
from stm_keras.errors import InputError

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
        q_per_nm: its radius 2k [rad/nm].
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
