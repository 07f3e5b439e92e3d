"""What is known of the rings of a file's maps."""

import numpy as np

from stm_keras import surfaces
from stm_keras.analysis.ring import measure_ring
from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps

SCALE_SIGMA = 0.04
"""How far the rings of a file lie from those of its surface, as a ratio: the
lengths of a scanner and a published k(V) are good to a few per cent each."""

_FARTHEST = 0.12
"""As a ratio: what lies farther off is no ring of the surface. Nor is a network
told of rings that are more wrong, in its training."""

_SIGNIFICANT = 2.0
"""Standard deviations: a smaller difference says nothing."""

_AGREEMENT = 0.25
"""Rings of one stack lie so near to their median, as a ratio: those of
Au(111) from -0.2 to +0.2 V do; what lies beyond is something else."""


def ring_wave_numbers(
    maps: ConductanceMaps, surface: str | None
) -> tuple[np.ndarray, str]:
    """Wave number 2k of the ring in every map.

    Args:
        maps: levelled maps.
        surface: see `surfaces.surface`, whose k(V) then counts; None measures
            the ring in the maps.

    Returns:
        2k [rad/nm], float64 [V], and how it was had, for `provenance`.

    Raises:
        InputError: for an unknown surface, a bias below its band edge, or
            where no surface is given and no map shows a ring.
    """
    if surface is not None:
        chosen = surfaces.surface(surface)
        try:
            ring = 2 * chosen.wave_number(maps.bias_v)
        except InputError as error:
            raise InputError(f"{maps.source}: {error}") from error
        return ring, f"ring 2k(V) of {chosen.name}"
    seen = seen_rings(maps)
    if not seen:
        raise InputError(
            f"{maps.source}: no ring of standing waves stands out in the "
            "Fourier transform, so the pixel cannot be chosen. Name the "
            f"surface: --surface {'|'.join(surfaces.SURFACES)}, or of another "
            "its m*/m_e and E0 [eV]: --surface 0.38,-0.44."
        )
    # A wrong ring in one map must not drag the rest with it.
    q = float(np.median(seen))
    note = (
        f"ring 2k = {q:.3g} rad/nm measured in {len(seen)} of "
        f"{maps.shape[0]} maps"
    )
    return np.full(maps.shape[0], q), note


def told_rings(
    maps: ConductanceMaps, surface: str | None
) -> tuple[np.ndarray, str]:
    """What a network is told of the wave numbers.

    Args:
        maps: levelled maps.
        surface: see `surfaces.surface`, whose rings are corrected by
            `seen_scale`; None takes what is seen in each map, where it agrees
            with the others.

    Returns:
        2k of each map [rad/nm], float64 [V], 0 where it is not known; and how
        it was had, for `provenance`.
    """
    if surface is not None:
        expected, note = ring_wave_numbers(maps, surface)
        scale = seen_scale(maps, expected)
        if scale != 1:
            note += f", {100 * (scale - 1):+.1f} % as the maps show it"
        return scale * expected, f"told the network: {note}"
    rings = [measure_ring(image, maps.pixel_nm) for image in maps.data]
    q = np.array([ring.q_per_nm if ring else np.nan for ring in rings])
    agrees = np.zeros(len(q), bool)
    if np.isfinite(q).any():
        agrees = np.abs(q / np.nanmedian(q) - 1) < _AGREEMENT
    note = f"told the network: rings of {agrees.sum()} of {len(q)} maps"
    return np.where(agrees, q, 0.0), note


def seen_scale(maps: ConductanceMaps, expected_per_nm: np.ndarray) -> float:
    """By what factor the rings of maps are greater than expected.

    The median of the maps' ratios, drawn to 1 as far as its error and
    `SCALE_SIGMA` ask for it (both ln-normal). Maps of one frame see the same
    impurities, so that many have the error of one.

    Args:
        maps: levelled maps.
        expected_per_nm: 2k of each [rad/nm], float64 [V].

    Returns:
        The factor, no unit; 1 where the rings seen do not tell.
    """
    pairs = [
        (measure_ring(image, maps.pixel_nm), expected)
        for image, expected in zip(maps.data, expected_per_nm, strict=True)
    ]
    seen = [
        (np.log(ring.q_per_nm / expected), ring.q_sigma / ring.q_per_nm)
        for ring, expected in pairs
        if ring is not None
    ]
    near = [each for each in seen if abs(each[0]) < _FARTHEST]
    if not near or 2 * len(near) < len(seen):
        return 1.0
    ratio, error = np.median(near, axis=0)
    if abs(ratio) < _SIGNIFICANT * error:
        return 1.0
    weight = SCALE_SIGMA**2 / (SCALE_SIGMA**2 + error**2)
    return float(np.exp(weight * ratio))


def seen_rings(maps: ConductanceMaps) -> list[float]:
    """2k of the maps that show a ring [rad/nm]."""
    rings = (measure_ring(image, maps.pixel_nm) for image in maps.data)
    return [ring.q_per_nm for ring in rings if ring is not None]
