"""What is known of the rings of a file's maps."""

import numpy as np

from stm_keras import surfaces
from stm_keras.analysis.ring import measure_ring
from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps

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
        f"ring 2k = {q:.3g}/nm measured in {len(seen)} of {maps.shape[0]} maps"
    )
    return np.full(maps.shape[0], q), note


def told_rings(maps: ConductanceMaps, surface: str | None) -> np.ndarray:
    """What a network is told of the wave numbers.

    Args:
        maps: levelled maps.
        surface: see `surfaces.surface`; None takes what is seen in each map,
            where it agrees with the others.

    Returns:
        2k of each map [rad/nm], float64 [V]; 0 where it is not known.
    """
    if surface is not None:
        return ring_wave_numbers(maps, surface)[0]
    rings = [measure_ring(image, maps.pixel_nm) for image in maps.data]
    q = np.array([ring.q_per_nm if ring else np.nan for ring in rings])
    if not np.isfinite(q).any():
        return np.zeros(len(q))
    agrees = np.abs(q / np.nanmedian(q) - 1) < _AGREEMENT
    return np.where(agrees, q, 0.0)


def seen_rings(maps: ConductanceMaps) -> list[float]:
    """2k of the maps that show a ring [rad/nm]."""
    rings = (measure_ring(image, maps.pixel_nm) for image in maps.data)
    return [ring.q_per_nm for ring in rings if ring is not None]
