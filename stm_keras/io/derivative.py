"""dI/dV from the current, where no lock-in recorded it."""

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import maximum_filter1d
from scipy.signal import savgol_filter

from stm_keras.errors import InputError

_WINDOW = 5
_ORDER = 2
_EVEN = 1e-3  # relative deviation of steps that rounding in a file may make


def differentiate(
    current: ArrayLike, bias_v: ArrayLike
) -> tuple[NDArray[np.float64], str]:
    """Differentiate I(V) at every pixel.

    Evenly spaced biases: the slope of the parabola that fits five
    neighbouring points best (Savitzky and Golay, Anal. Chem. 36, 1627 (1964),
    doi:10.1021/ac60214a047), which lets 45 % of the noise of central
    differences through. Uneven or fewer than five: second-order differences.

    Args:
        current: I, [V, H, W] [A]; NaN or infinite is "not measured".
        bias_v: [V] [V], rising or falling.

    Returns:
        dI/dV, float64 [V, H, W] [S], NaN where a point it rests on is; and
        how it was made, for `provenance`.

    Raises:
        InputError: for fewer than three biases, or biases that do not rise
            or fall throughout.
    """
    values = np.array(current, dtype=np.float64)
    values[~np.isfinite(values)] = np.nan
    bias = np.asarray(bias_v, dtype=np.float64)
    steps = np.diff(bias)
    if bias.size < 3 or not (np.all(steps > 0) or np.all(steps < 0)):
        raise InputError(
            "dI/dV needs I(V) at three or more biases that rise or fall "
            f"throughout. Received {bias.size} biases. Choose another channel "
            "with --channel."
        )
    step = steps.mean()
    even = bool(np.all(np.abs(steps - step) <= _EVEN * abs(step)))
    if even and bias.size >= _WINDOW:
        # At the ends of the sweep one fit serves all of its points, and
        # NaN at one pixel would reach all others through its solver.
        missing = np.isnan(values)
        slope = np.asarray(
            savgol_filter(
                np.where(missing, 0, values), _WINDOW, _ORDER, 1, step, axis=0
            )
        )
        near = maximum_filter1d(
            missing.astype(np.uint8), 2 * _WINDOW - 1, axis=0, mode="nearest"
        )
        slope[near > 0] = np.nan
        return slope, f"numerical derivative over V, {_WINDOW} points"
    slope = np.asarray(np.gradient(values, bias, axis=0, edge_order=2))
    return slope, "numerical derivative over V, differences of second order"
