"""A case as a network takes it: a file as `stmk predict` prepares it.

`stmk predict` brings a file to a pixel of the network's own. A case that is
made of a file carries it, so that each network is shown what its users see;
what it finds comes back in the pixels of the case, in which all finders are
compared.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.bench.case import Case, Found
from stm_keras.detector import kind_of
from stm_keras.models.card import ModelCard
from stm_keras.preprocessing.preparation import PredictOptions


class Shown(NamedTuple):
    """Maps at the pixel of a network.

    Attributes:
        maps: float32 [V, H, W]; NaN where not measured.
        ring_rad_px: 2k of each map as it is told, float32 [V] [rad/px]; 0
            where it is not known, or the network takes none.
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


def shown(case: Case, card: ModelCard) -> Shown:
    """What a network is shown of a case.

    Args:
        case: of a file or not.
        card: of the network's model.
    """
    if case.file is None:
        ring = np.asarray(2 * case.told_wave_numbers, np.float32)
        return Shown(np.asarray(case.maps, np.float32), ring, np.ones(2))
    maps, surface = case.file
    prepared = kind_of(card).prepare(card, maps, PredictOptions(surface))
    ready, ring = prepared.ready, np.zeros(len(maps.data))
    if prepared.q_per_nm is not None:
        ring = prepared.q_per_nm * np.mean(ready.pixel_nm)
    return Shown(
        ready.data,
        np.asarray(ring, np.float32),
        np.divide(case.maps.shape[1:], ready.shape[1:]),
    )
