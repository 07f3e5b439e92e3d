"""A case as a network takes it: a file as `stmk predict` prepares it.

`stmk predict` brings a file to a pixel of the network's own. A case that is
made of a file carries it, so that each network is shown what its users see;
what it finds comes back in the pixels of the case, in which all finders are
compared.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from stm_keras.bench.case import Case, Found
from stm_keras.finding.preparation import (
    to_known_pixel,
    to_network_pixel,
    told_rings,
)
from stm_keras.io.maps import ConductanceMaps

Range = tuple[float, float]


class Shown(NamedTuple):
    """Maps at the pixel of a network.

    Attributes:
        maps: float32 [V, H, W]; NaN where not measured.
        ring_rad_px: 2k of each map as it is told, float32 [V] [rad/px]; 0
            where it is not known.
        scale: height and width of its pixels in those of the case, float64
            [2].
    """

    maps: np.ndarray
    ring_rad_px: np.ndarray
    scale: np.ndarray

    def in_case(self, found: Found) -> Found:
        """What was found in these maps, in the pixels of the case."""
        sizes = found.deviations
        return Found(
            (found.positions + 0.5) * self.scale - 0.5,
            found.scores,
            None if sizes is None else sizes * self.scale,
        )


def at_network_pixel(case: Case, ring_rad_px: Range) -> Shown:
    """For a network that knows the rings of one pixel, such as `wang2020`.

    Args:
        case: of a file or not.
        ring_rad_px: least and greatest 2k of its training [rad/px].
    """
    return _shown(case, ring_rad_px, to_network_pixel)


def at_known_pixel(case: Case, ring_rad_px: Range) -> Shown:
    """For a network that is told the rings, such as `context`.

    Args:
        case: see `at_network_pixel`.
        ring_rad_px: see `at_network_pixel`.
    """
    return _shown(case, ring_rad_px, to_known_pixel)


def _shown(
    case: Case,
    bounds: Range,
    to_pixel: Callable[[ConductanceMaps, Range, str | None], ConductanceMaps],
) -> Shown:
    if case.file is None:
        ring = np.asarray(2 * case.told_wave_numbers, np.float32)
        return Shown(np.asarray(case.maps, np.float32), ring, np.ones(2))
    maps, surface = case.file
    ready = to_pixel(maps, bounds, surface)
    ring = told_rings(maps, surface) * np.mean(ready.pixel_nm)
    return Shown(
        ready.data,
        np.asarray(ring, np.float32),
        np.divide(case.maps.shape[1:], ready.shape[1:]),
    )
