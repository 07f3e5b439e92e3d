"""What a network found in maps at its own pixel."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stm_keras.io.maps import ConductanceMaps


@dataclass(frozen=True, eq=False)
class Found:
    """Impurities at the network's pixel, the surest first.

    Attributes:
        score: S, float32 [H, W]; NaN where nothing was looked for.
        positions: row, column [px], float64 [n, 2].
        scores: how sure each is, float64 [n]: the probability, or S in
            standard deviations above its mean.
        threshold: the least of them that counted.
        floor: S that a detection had to exceed as well; -inf for none.
        deviations: standard deviations of row and column [px], float64
            [n, 2]; None from a network that does not tell.
        expected_false: expected number of false ones; None likewise.
        surrogates: detections in each map of the same spectrum without an
            impurity, float64 [s]; None where none was tried.
        needs_every_map: whether a pixel that one map of a stack lacks was not
            looked at; else only one that all of them lack.
        notes: what to know about it, warnings among them.
    """

    score: np.ndarray
    positions: np.ndarray
    scores: np.ndarray
    threshold: float
    floor: float = -np.inf
    deviations: np.ndarray | None = None
    expected_false: float | None = None
    surrogates: np.ndarray | None = None
    needs_every_map: bool = True
    notes: tuple[str, ...] = ()

    def looked_at(self, maps: ConductanceMaps) -> NDArray[np.bool_]:
        """Pixels of these maps in which impurities were looked for [H, W]."""
        return maps.mask if self.needs_every_map else maps.measured
