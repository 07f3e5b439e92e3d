"""One randomised scattering field: drawn from a config and simulated."""

import math
from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import Range, draw
from stm_keras.simulation.scatterers import Scatterers, smooth_phase_shifts
from stm_keras.simulation.scattering import ldos
from stm_keras.simulation.scattering_config import ScatteringConfig
from stm_keras.simulation.scene import Clusters, draw_positions, in_frame

_MAX_REDRAWS = 1000


class ScatteringField(NamedTuple):
    """One simulated field, with everything it was made from.

    Attributes:
        maps: modulation LDOS - 1 in units of the clean LDOS, float32
            [V, H, W], by rising energy.
        positions: (row, col) of all impurities, float64 [n, 2], px.
        in_frame: which of them lie in the frame, bool [n].
        delta: phase shifts, float64 [V, n], rad.
        absorption: a, float64 [n]; `inf` is the black dot.
        wave_numbers: k, float64 [V], rad/px.
        mean_free_path: l, px.
        decoys: blobs with no waves around them, float64 [m, 2], px; none
            unless they were added (`short_range.add_decoys`).
    """

    maps: np.ndarray
    positions: np.ndarray
    in_frame: np.ndarray
    delta: np.ndarray
    absorption: np.ndarray
    wave_numbers: np.ndarray
    mean_free_path: float
    decoys: np.ndarray = np.empty((0, 2))


def simulate_field(
    config: ScatteringConfig, rng: np.random.Generator
) -> ScatteringField:
    """Draw one field and simulate it.

    Args:
        config: what to draw from.
        rng: source of randomness.

    Raises:
        InputError: where the impurities cannot be placed as asked.
    """
    u = np.linspace(0, 1, config.n_voltages)
    k = _draw_wave_numbers(config, u, rng)
    positions = _draw_positions(config, rng)
    n = len(positions)
    delta = smooth_phase_shifts(
        rng,
        n,
        u,
        delta_rad=config.delta_rad,
        slope=config.slope_rad,
        curvature=config.curvature_rad,
    )
    delta *= rng.choice((-1.0, 1.0), n)
    absorption = draw(config.absorption, rng, n)
    kind = rng.random(n)
    absorption[kind < config.elastic_share] = 0.0
    absorption[kind >= 1 - config.black_share] = np.inf
    length = _draw_log(config.mean_free_path_px, rng)
    shape = (config.size_px, config.size_px)
    maps = ldos(
        Scatterers(positions, delta, absorption),
        wave_number=k,
        shape=shape,
        mean_free_path=length,
        min_distance_px=config.min_distance_px,
    )
    maps -= 1
    inside = in_frame(positions, shape)
    return ScatteringField(
        maps, positions, inside, delta, absorption, k, length
    )


def _draw_log(bounds: Range, rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(*np.log(bounds)))


def _draw_wave_numbers(
    config: ScatteringConfig, u: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Wave numbers k at the energies u in [0, 1], rising, [V], rad/px."""
    low, high = config.ring_rad_px
    ratio = float(draw(config.ring_ratio, rng))
    k_low = draw((low, max(low, high / ratio)), rng) / 2
    c = draw(config.band_curvature, rng)
    squares = 1 + (ratio**2 - 1) * (u + c * u * (1 - u))
    # Rounding must not carry 2k beyond the bounds, which may be Nyquist's.
    return np.minimum(k_low * np.sqrt(squares), high / 2)


def _draw_positions(
    config: ScatteringConfig, rng: np.random.Generator
) -> np.ndarray:
    """Impurities in frame and margin, enough of them in the frame."""
    shape = (config.size_px, config.size_px)
    for _ in range(_MAX_REDRAWS):
        positions = draw_positions(
            rng,
            shape=shape,
            density=_draw_log(config.density_per_px2, rng),
            margin_px=config.margin_px,
            min_distance_px=config.min_distance_px,
            clusters=_draw_clusters(config, rng),
        )
        if in_frame(positions, shape).sum() >= config.min_in_frame:
            return positions
    raise InputError(
        f"ScatteringConfig: {_MAX_REDRAWS} draws gave no field with "
        f"{config.min_in_frame} impurities in the frame. Raise "
        "`density_per_px2`, or lower `min_in_frame`."
    )


def _draw_clusters(
    config: ScatteringConfig, rng: np.random.Generator
) -> Clusters | None:
    # Nothing is drawn where none gather: the fields of a config without
    # clusters stay what they were.
    if config.clustered_share == 0 or rng.random() > config.clustered_share:
        return None
    return Clusters(
        size=float(draw(config.cluster_size, rng)),
        spread_px=float(draw(config.cluster_spread_px, rng)),
    )
