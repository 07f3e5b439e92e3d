"""Quality of each map of a stack: whether it shows what the others show.

More maps must never find less: one of noise alone, or of another place, says
nothing of the impurities, and is left out.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.maps import ConductanceMaps

_RING = 0.8, 1.2
_BEYOND = 1.5
"""In q: where waves are in a Fourier transform, and where but noise is."""

_NOISY = 0.5
_QUIET = 0.2
"""A map is noise where it has half of its ring's power beyond the ring, and
another map of the stack a fifth of that share or less."""

_ALONE = 0.15
_TOGETHER = 0.4
"""A map is of something else where others tell less than this of its variance,
and in the median of the stack more than that."""

_RIDGE = 0.01


class MapQuality(NamedTuple):
    """How good the maps of a stack are.

    Attributes:
        noise: power beyond the ring at q over that on it, float64 [V]: 1 is
            white noise, the waves of a good map have 0.01 to 0.1; NaN where q
            is unknown or the pixel too coarse for it.
        shared: share of a map's variance that the others tell, float64 [V]
            (the squared multiple correlation); 0 in a single map.
    """

    noise: np.ndarray
    shared: np.ndarray

    @property
    def bad(self) -> np.ndarray:
        """Maps that show nothing of what the others show, bool [V]."""
        noisy = np.zeros(len(self.noise), bool)
        if np.isfinite(self.noise).any():
            quiet = _QUIET * self.noise >= np.nanmin(self.noise)
            noisy = (self.noise > _NOISY) & quiet & (self.shared < _ALONE)
        rest = self.shared[~noisy]
        alone = np.zeros(len(self.noise), bool)
        if rest.size and np.median(rest) > _TOGETHER:
            alone = self.shared < _ALONE
        return noisy | alone


def map_quality(maps: np.ndarray, q_rad_px: np.ndarray) -> MapQuality:
    """Judge each map by its noise and by the others.

    Args:
        maps: levelled, float [V, H, W], NaN where not measured.
        q_rad_px: q = 2k of each [rad/px], [V]; 0 where unknown.
    """
    stack = np.asarray(maps, np.float64)
    known = np.isfinite(stack)
    n = np.maximum(known.sum(axis=(1, 2), keepdims=True), 1)
    mean = np.where(known, stack, 0.0).sum(axis=(1, 2), keepdims=True) / n
    about = np.where(known, stack - mean, 0.0)
    scale = np.abs(about).max(axis=(1, 2), keepdims=True)
    about /= np.where(scale > 0, scale, 1.0)
    return MapQuality(_noise(about, np.asarray(q_rad_px)), _shared(about))


def without_bad_maps(
    maps: ConductanceMaps, quality: MapQuality
) -> ConductanceMaps:
    """Leave out the bad maps, and say so.

    Args:
        maps: of any pixel.
        quality: of the same maps, in their order.

    Returns:
        The maps that are not bad; `provenance` has the quality of all.
    """
    if len(maps.data) == 1:
        return maps
    bad = quality.bad
    told = _range(quality.noise), _range(quality.shared)
    note = (
        f"quality of the maps: noise beyond the ring {told[0]} of that on it, "
        f"shared with the others {told[1]} of the variance"
    )
    if not bad.any():
        return maps.with_data(maps.data, note)
    biases = ", ".join(f"{1e3 * v:.4g}" for v in maps.bias_v[bad])
    return maps.with_data(
        maps.data[~bad],
        f"warning: {int(bad.sum())} of {len(bad)} maps show nothing that "
        f"the others show and are left out: {biases} mV; {note}",
        bias_v=maps.bias_v[~bad],
    )


def _noise(about: np.ndarray, q_rad_px: np.ndarray) -> np.ndarray:
    """See `MapQuality`; of maps with the mean taken off, [V]."""
    given = q_rad_px[q_rad_px > 0]
    _, height, width = about.shape
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in (height, width)))
    power = np.abs(np.fft.rfft2(about * window)) ** 2
    k = (
        2
        * np.pi
        * np.hypot(
            np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
        )
    )
    noise = np.full(len(about), np.nan)
    for index, (image, own) in enumerate(zip(power, q_rad_px, strict=True)):
        q = own if own > 0 else given.mean() if given.size else np.nan
        ring = (k > _RING[0] * q) & (k < _RING[1] * q)
        beyond = (k > _BEYOND * q) & (k < np.pi)
        if ring.any() and beyond.any() and image[ring].any():
            noise[index] = image[beyond].mean() / image[ring].mean()
    return noise


def _shared(about: np.ndarray) -> np.ndarray:
    """Squared multiple correlation of each map with the others, [V]."""
    flat = about.reshape(len(about), -1)
    spread = np.linalg.norm(flat, axis=1, keepdims=True)
    flat = flat / np.where(spread > 0, spread, 1.0)
    # What shows nothing at all correlates with nothing but itself.
    together = flat @ flat.T
    np.fill_diagonal(together, 1.0)
    together = (1 - _RIDGE) * together + _RIDGE * np.eye(len(flat))
    return np.clip(1 - 1 / np.diag(np.linalg.inv(together)), 0.0, 1.0)


def _range(values: np.ndarray) -> str:
    known = values[np.isfinite(values)]
    if not known.size:
        return "unknown"
    return f"{known.min():.2f} to {known.max():.2f}"
