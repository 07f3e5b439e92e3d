"""Reference positions of impurities, from the map of their bound states.

The paper takes positions from this map by expectation-maximisation (its
ref. [8]: C. M. Bishop, Pattern Recognition and Machine Learning (2006)). The
number of spots is that of the least Bayesian information criterion

    BIC = sum_p [(I_p - model_p)^2 / var_p + ln var_p] + 4 n ln N,

4 being the numbers that a spot adds (row, column, amplitude, width) and N the
number of measured pixels. `var_p` is the robust noise level of the residual,
made greater where the noise is correlated over the size of a spot, plus the
share of a spot's height by which real spots differ from Gaussian ones.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.analysis.spot_search import Search
from stm_keras.errors import InputError

_LEAST_PIXELS = 100


class Reference(NamedTuple):
    """Spots found in a map of bound states, from left to right by rows.

    Attributes:
        positions: float64 [n, 2] (row, column) [px], inside the frame.
        amplitudes: float64 [n] height of each spot, the image's unit.
        widths: float64 [n] standard deviation of each spot [px].
        background: float64 [H, W], the image's unit.
        bic: the criterion that chose n; the less the better, no unit.
    """

    positions: np.ndarray
    amplitudes: np.ndarray
    widths: np.ndarray
    background: np.ndarray
    bic: float


def find_bound_states(
    image: ArrayLike,
    *,
    width_px: tuple[float, float] = (0.6, 3.0),
    background_px: float = 10.0,
) -> Reference:
    """Find the spots in a map of bound states, and how many there are.

    Local maxima of the residual start as spots; expectation-maximisation
    fits them together (`spot_mixture`); long spots are split, close ones
    merged, and those that BIC does without are left out; all of this again
    until BIC no longer falls (`spot_search`).

    Args:
        image: float [H, W], any unit, bright spots; NaN = not measured.
        width_px: the least and the greatest standard deviation of a spot
            [px].
        background_px: length over which the background is smooth [px];
            longer than the greatest width.

    Returns:
        The spots inside the frame; none is a valid answer.

    Raises:
        InputError: for another number of axes, fewer than 100 measured
            pixels, or lengths that are not in order.

    Example:
        >>> row, col = np.mgrid[:40, :40]
        >>> spot = np.exp(-((row - 12.3) ** 2 + (col - 25.0) ** 2) / 4.5)
        >>> noise = np.random.default_rng(0).normal(0, 0.02, (40, 40))
        >>> find_bound_states(spot + noise).positions.round(1)
        array([[12.3, 25. ]])

    References:
        C. M. Bishop, Pattern Recognition and Machine Learning (2006), ch. 9.
    """
    image = _checked(image, width_px, background_px)
    state = Search(image, width_px, background_px).run()
    places = state.spots.positions
    last = np.array(image.shape) - 0.5
    inside = np.all((places >= -0.5) & (places < last), axis=1)
    spots = state.spots.take(np.flatnonzero(inside))
    spots = spots.take(
        np.lexsort((spots.positions[:, 1], spots.positions[:, 0]))
    )
    return Reference(*spots, state.background, state.bic)


def _checked(
    image: ArrayLike, width_px: tuple[float, float], background_px: float
) -> np.ndarray:
    """Check the arguments; the image as float64, infinite values as NaN."""
    array = np.array(image, np.float64)
    array[~np.isfinite(array)] = np.nan
    if array.ndim != 2:
        raise InputError(
            "A map of bound states must have the shape [H, W]. "
            f"Received: {array.shape}."
        )
    measured = int(np.isfinite(array).sum())
    if measured < _LEAST_PIXELS:
        raise InputError(
            f"The map of bound states holds {measured} measured pixels of "
            f"{array.size}; at least {_LEAST_PIXELS} are needed."
        )
    low, high = width_px
    if not 0.3 <= low <= high < background_px < math.inf:
        raise InputError(
            "`width_px` (low, high) and `background_px` must be in order, "
            "0.3 <= low <= high < background_px. Received: "
            f"width_px=({low:g}, {high:g}), background_px={background_px:g}."
        )
    return array
