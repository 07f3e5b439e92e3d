"""What the parts of the virtual experiment share: ranges, and their unit."""

import math

import numpy as np

from stm_keras.errors import InputError

Range = tuple[float, float]
"""The least and the greatest value that may be drawn; equal ones fix it."""


def check_ranges(owner: object, **limits: Range) -> None:
    """Check attributes that hold a range, each against its limits.

    Args:
        owner: the object whose attributes are checked.
        **limits: for the name of an attribute, the least and the greatest
            value allowed in it, in the attribute's unit.

    Raises:
        InputError: where a range is reversed, not finite, not a pair or
            beyond its limits.
    """
    for name, (least, most) in limits.items():
        value = getattr(owner, name)
        try:
            low, high = (float(v) for v in value)
        except (TypeError, ValueError):
            low, high = math.nan, math.nan
        if not (least <= low <= high <= most) or math.isinf(high):
            raise InputError(
                f"{type(owner).__name__}: `{name}` must be a range (low, high) "
                f"with {least:g} <= low <= high <= {most:g}. "
                f"Received: {name}={value!r}."
            )


def draw(
    bounds: Range, rng: np.random.Generator, size: int | None = None
) -> np.ndarray:
    """Draw uniformly from a range.

    Args:
        bounds: the range.
        rng: source of randomness.
        size: how many values; None gives one value, shape [].

    Returns:
        float64 [size], in the unit of the range.
    """
    return np.asarray(rng.uniform(*bounds, size=size))


def spread(maps: np.ndarray) -> float:
    """Standard deviation of maps: the unit of every amplitude here.

    Each map is taken about its own mean, and the variances are averaged, so
    that a background that differs from map to map does not count.

    Args:
        maps: float [V, H, W].

    Returns:
        The standard deviation, in the maps' unit.
    """
    return float(np.sqrt(np.var(maps, axis=(1, 2), dtype=np.float64).mean()))


def check_maps(maps: np.ndarray) -> None:
    """Check that maps are a stack of frames without missing values.

    Args:
        maps: float [V, H, W].

    Raises:
        InputError: for another number of axes, an empty stack, or NaN.
    """
    if maps.ndim != 3 or maps.size == 0 or not np.isfinite(maps).all():
        raise InputError(
            "Maps must be finite and of shape [V, H, W], none of the three "
            f"zero. Received: shape {maps.shape}, "
            f"{int((~np.isfinite(maps)).sum())} values not finite."
        )
