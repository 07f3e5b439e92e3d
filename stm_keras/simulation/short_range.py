"""Near an impurity: a core the scattering formulas know nothing of, decoys.

Within about 1/k of an impurity the s-wave formulas do not hold: the wave is
damped there and a smooth core of random shape put in its place. Decoys are
blobs with no waves around them (adsorbates, charge): a finder must not call
them impurities.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import (
    Range,
    check_maps,
    check_ranges,
    draw,
    spread,
)
from stm_keras.simulation.scene import Scene

_CUT_SIGMAS = 5.0
"""Blobs end here: what is left of a Gaussian is 4e-6 of its height."""


@dataclass(frozen=True, kw_only=True)
class BlobRanges:
    """Ranges of a smooth blob, an anisotropic Gaussian.

    Attributes:
        amplitude: height at the middle bias [standard deviations of the
            maps].
        sigma: standard deviation of its narrow axis [1/k at the mean k].
        anisotropy: wide axis over narrow axis, 1 or more, no unit; the
            direction is uniform.
        positive_share: chance that the height is above zero.
        dispersion: how far the height changes with k: its cubic polynomial
            over the range of k has coefficients up to this times the height,
            either sign. Beyond 1 the sign may change within the range.
    """

    amplitude: Range = (0.5, 6.0)
    sigma: Range = (0.3, 0.9)
    anisotropy: Range = (1.0, 1.6)
    dispersion: Range = (0.0, 0.6)
    positive_share: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(
            self,
            amplitude=(0.0, 1000.0),
            sigma=(0.01, 20.0),
            anisotropy=(1.0, 10.0),
            dispersion=(0.0, 10.0),
        )


def window_at(
    centre: np.ndarray, reach_px: float, shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray] | None:
    """Part of the frame within reach, with its offsets from the centre.

    Args:
        centre: float [2] (row, column) [px].
        reach_px: half the side of the square [px].
        shape: (H, W) of the frame [px].

    Returns:
        Slices, row offsets [h, 1] and column offsets [1, w] [px]; None where
        the frame is out of reach.
    """
    low = np.maximum(np.ceil(centre - reach_px), 0).astype(int)
    high = np.minimum(np.floor(centre + reach_px) + 1, shape).astype(int)
    if (low >= high).any():
        return None
    row, col = (
        np.arange(a, b) - c for a, b, c in zip(low, high, centre, strict=True)
    )
    slices = slice(low[0], high[0]), slice(low[1], high[1])
    return slices, row[:, None], col[None, :]


def _heights(
    ranges: BlobRanges, wave_numbers: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Height of a blob in each map, [V], smooth in k."""
    course = smooth_course(wave_numbers, ranges.dispersion, rng)
    if ranges.positive_share == 0.5:
        sign = rng.choice((-1.0, 1.0))
    else:
        sign = 1.0 if rng.random() < ranges.positive_share else -1.0
    return sign * draw(ranges.amplitude, rng) * course


def smooth_course(
    wave_numbers: np.ndarray, dispersion: Range, rng: np.random.Generator
) -> np.ndarray:
    """A factor that changes smoothly with k: 1 plus a cubic polynomial.

    Args:
        wave_numbers: k of the maps [V], rad/px.
        dispersion: bounds of the polynomial's coefficients over the range of
            k, no unit; beyond 1 the sign may change within it.
        rng: source of randomness.

    Returns:
        float64 [V].
    """
    change = rng.uniform(-1, 1, 3) * draw(dispersion, rng)
    return 1 + _powers(np.asarray(wave_numbers, np.float64).tobytes()) @ change


@lru_cache(maxsize=8)  # all blobs of a scene ask for the same ones
def _powers(wave_numbers: bytes) -> np.ndarray:
    """First to third powers of k's place in its range, [V, 3]."""
    k = np.frombuffer(wave_numbers)
    middle = (k.min() + k.max()) / 2
    half = max(float(np.ptp(k)) / 2, 1e-12)
    return np.vander((k - middle) / half, 4, increasing=True)[:, 1:]


def add_blob(
    maps: np.ndarray,
    centre: np.ndarray,
    wave_numbers: np.ndarray,
    rng: np.random.Generator,
    ranges: BlobRanges,
    scale: float,
) -> None:
    """Add a blob of random shape to maps, in place.

    Args:
        maps: float32 [V, H, W], changed.
        centre: float [2] middle of the blob (row, column) [px].
        wave_numbers: float [V] wave number k of each map [rad/px].
        rng: source of randomness.
        ranges: what is drawn from.
        scale: what amplitudes are multiples of, in the maps' unit.
    """
    narrow = float(draw(ranges.sigma, rng)) / wave_numbers.mean()
    wide = narrow * float(draw(ranges.anisotropy, rng))
    angle = rng.uniform(0, math.pi)
    heights = scale * _heights(ranges, wave_numbers, rng)
    window = window_at(centre, _CUT_SIGMAS * wide, maps.shape[1:])
    if window is None:
        return
    slices, row, col = window
    along = (row * math.sin(angle) + col * math.cos(angle)) / wide
    across = (row * math.cos(angle) - col * math.sin(angle)) / narrow
    shape = np.exp(-(along**2 + across**2) / 2).astype(np.float32)
    maps[:, *slices] += heights.astype(np.float32)[:, None, None] * shape


_CUT_DAMPING = 2.0
"""Damping ends here, in its radius: exp(-2^4) = 1e-7 is left of it."""


@dataclass(frozen=True, kw_only=True)
class CoreRanges(BlobRanges):
    """Ranges of what lies within about 1/k of an impurity.

    Attributes:
        damping_radius: within it the wave is damped, as 1 - exp(-(r/R)^4)
            [1/k of each map]; zero leaves the wave alone.
        shift: from the impurity to the middle of its core [1/k at the mean
            k], in a uniform direction.
        alike_share: chance that all cores of a field are of one shape and
            height, as those of one kind of molecule are.
    """

    damping_radius: Range = (0.5, 1.2)
    shift: Range = (0.0, 0.3)
    alike_share: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, damping_radius=(0.0, 5.0), shift=(0.0, 5.0))
        if not 0 <= self.alike_share <= 1:
            raise InputError(
                "CoreRanges: `alike_share` must lie between 0 and 1. "
                f"Received: {self.alike_share}."
            )


@dataclass(frozen=True, kw_only=True)
class DecoyRanges(BlobRanges):
    """Ranges of blobs with no waves around them.

    Attributes:
        density_per_px: decoys for each pixel of the frame; the number is
            rounded. 8 in 80 x 80 px are 0.00125.
    """

    amplitude: Range = (1.0, 6.0)
    sigma: Range = (0.4, 1.5)
    density_per_px: Range = (0.0, 0.002)

    def __post_init__(self) -> None:
        super().__post_init__()
        check_ranges(self, density_per_px=(0.0, 1.0))


def _damp(maps: np.ndarray, centre: np.ndarray, radius_px: np.ndarray) -> None:
    """Damp the wave within a radius [V] of a centre, in place."""
    window = window_at(centre, _CUT_DAMPING * radius_px.max(), maps.shape[1:])
    if window is None or radius_px.min() == 0:
        return
    slices, row, col = window
    fourth = ((row**2 + col**2) ** 2).astype(np.float32)
    scale = (-(radius_px**-4.0)).astype(np.float32)
    maps[:, *slices] *= 1 - np.exp(scale[:, None, None] * fourth)


def _checked(
    maps: np.ndarray, wave_numbers: np.ndarray, scale: float | None
) -> tuple[np.ndarray, np.ndarray, float]:
    """Check the arguments; give a copy of the maps and the unit."""
    check_maps(maps)
    k = np.asarray(wave_numbers, np.float64)
    if k.shape != maps.shape[:1] or not (np.isfinite(k) & (k > 0)).all():
        raise InputError(
            "Wave numbers must be positive, one for each map. Received: "
            f"{k.size} of them for {len(maps)} maps, the least {k.min():g}."
        )
    copy = np.array(maps, np.float32)
    return copy, k, spread(maps) if scale is None else scale


def add_cores(
    maps: np.ndarray,
    positions: np.ndarray,
    wave_numbers: np.ndarray,
    rng: np.random.Generator,
    ranges: CoreRanges | None = None,
    *,
    scale: float | None = None,
    species: np.ndarray | None = None,
) -> np.ndarray:
    """Damp the wave near impurities and put a core in each.

    Args:
        maps: float32 [V, H, W], modulation of the LDOS about zero.
        positions: float [n, 2] impurities (row, column) [px], those in the
            frame and near it.
        wave_numbers: float [V] wave number k of each map [rad/px].
        rng: source of randomness.
        ranges: what is drawn from; None takes the defaults.
        scale: what amplitudes are multiples of, in the maps' unit; None
            takes the standard deviation of `maps`.
        species: number of the kind of each impurity, int [n], whose cores
            are alike; None or empty where nothing is known.

    Returns:
        float32 [V, H, W]: a new array, unchanged beyond a few 1/k from every
        impurity.

    Raises:
        InputError: where shapes do not fit or a wave number is not positive.
    """
    ranges = ranges or CoreRanges()
    maps, k, scale = _checked(maps, wave_numbers, scale)
    positions = np.asarray(positions, np.float64).reshape(-1, 2)
    # All waves first: a damping must not take away a neighbour's core.
    for centre, radius in zip(
        positions,
        draw(ranges.damping_radius, rng, len(positions)),
        strict=True,
    ):
        _damp(maps, centre, radius / k)
    kind = None
    # Not drawn where it cannot be: other fields stay as they were.
    if ranges.alike_share and rng.random() < ranges.alike_share:
        kind = int(rng.integers(2**31))
    seeds = [kind] * len(positions)
    if species is not None and species.size:
        seeds = rng.integers(2**31, size=species.max() + 1)[species]
    for centre, seed in zip(positions, seeds, strict=True):
        angle = rng.uniform(0, 2 * math.pi)
        step = float(draw(ranges.shift, rng)) / k.mean()
        core = centre + step * np.array([math.sin(angle), math.cos(angle)])
        shape = rng if seed is None else np.random.default_rng(seed)
        add_blob(maps, core, k, shape, ranges, scale)
    return maps


def add_decoys(
    maps: np.ndarray,
    wave_numbers: np.ndarray,
    rng: np.random.Generator,
    ranges: DecoyRanges | None = None,
    *,
    scale: float | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Add blobs with no waves around them, at uniform places.

    Args:
        maps: float32 [V, H, W], modulation of the LDOS about zero.
        wave_numbers: float [V] wave number k of each map [rad/px].
        rng: source of randomness.
        ranges: what is drawn from; None takes the defaults.
        scale: what amplitudes are multiples of, in the maps' unit; None
            takes the standard deviation of `maps`.

    Returns:
        The maps, a new array float32 [V, H, W], and the decoys' positions,
        float64 [m, 2] (row, column) [px].

    Raises:
        InputError: where shapes do not fit or a wave number is not positive.
    """
    ranges = ranges or DecoyRanges()
    maps, k, scale = _checked(maps, wave_numbers, scale)
    height, width = maps.shape[1:]
    count = round(float(draw(ranges.density_per_px, rng)) * height * width)
    places = rng.uniform((-0.5, -0.5), (height - 0.5, width - 0.5), (count, 2))
    for centre in places:
        add_blob(maps, centre, k, rng, ranges, scale)
    return maps, places


def add_short_range(
    scene: Scene,
    of_cores: np.random.Generator,
    of_decoys: np.random.Generator,
    cores: CoreRanges | None,
    decoys: DecoyRanges | None,
) -> Scene:
    """Put cores and decoys into a scene of waves.

    Amplitudes are multiples of the waves' own standard deviation.

    Args:
        scene: waves alone.
        of_cores: source of the cores' randomness.
        of_decoys: source of the decoys'.
        cores: what they are drawn from; None leaves the waves alone.
        decoys: likewise; None for none.

    Returns:
        The scene with `maps`, `decoys` and `bare_spread` replaced.
    """
    k = scene.wave_numbers
    scale = scene.wave_spread
    maps, places = scene.maps, scene.decoys
    if cores is not None:
        kinds = scene.scatterers and scene.scatterers.species
        maps = add_cores(
            maps,
            scene.everywhere,
            k,
            of_cores,
            cores,
            scale=scale,
            species=kinds,
        )
    if decoys is not None:
        maps, places = add_decoys(maps, k, of_decoys, decoys, scale=scale)
    bare = spread(maps)
    if not len(scene.everywhere):
        # A lone decoy at the edge is no measure of the noise.
        bare = max(bare, scale)
    return scene.with_(maps=maps, decoys=places, bare_spread=bare)
