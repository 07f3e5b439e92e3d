"""Find the impurities in a stack of maps."""

from dataclasses import dataclass

import numpy as np

from stm_keras.detections import Found, to_nm
from stm_keras.detector.card import ModelCard
from stm_keras.finding.by_probability import find_by_probability
from stm_keras.finding.by_score import find_by_score
from stm_keras.finding.detection_finder import DetectionFinder
from stm_keras.finding.saved_finder import Finder
from stm_keras.io.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import (
    Companions,
    PredictOptions,
    prepare_maps,
)
from stm_keras.system import Progress, no_progress


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found.

    Attributes:
        file_maps: the maps as they were read.
        origin_px: row and column in `file_maps` of the top left pixel of the
            part that was looked at.
        levelled: that part cleaned, sorted by bias.
        maps: the same at the network's pixel.
        found: the same impurities at the network's pixel, and the score.
        positions_px: row, column in pixels of `file_maps`, float64 [n, 2],
            the surest first.
        deviations_px: standard deviations of the two, float64 [n, 2]; None
            from a network that does not tell.
        options: how it was found.
        card: of the model.
        notes: all that was done, and what to know about it.
    """

    file_maps: ConductanceMaps
    origin_px: tuple[int, int]
    levelled: ConductanceMaps
    maps: ConductanceMaps
    found: Found
    positions_px: np.ndarray
    deviations_px: np.ndarray | None
    options: PredictOptions
    card: ModelCard
    notes: tuple[str, ...]

    @property
    def positions_nm(self) -> np.ndarray:
        """The y and x [nm] of each position from the file's top left."""
        return to_nm(self.positions_px, self.file_maps.pixel_nm)

    @property
    def deviations_nm(self) -> np.ndarray | None:
        """Standard deviations of y and x [nm], [n, 2], where known."""
        if self.deviations_px is None:
            return None
        return self.deviations_px * np.asarray(self.file_maps.pixel_nm)

    @property
    def score(self) -> np.ndarray:
        """S, see `Found.score`."""
        return self.found.score

    @property
    def scores(self) -> np.ndarray:
        """How sure each position is, see `Found.scores`."""
        return self.found.scores

    @property
    def origin_nm(self) -> tuple[float, float]:
        """The y and x [nm] of the part's top left in the file's frame."""
        (row, col), (down, right) = self.origin_px, self.file_maps.pixel_nm
        return row * down, col * right

    @property
    def measured(self) -> np.ndarray:
        """Pixels of `file_maps` that were looked at, bool [H, W].

        Those of the part that are measured, and were not taken out as noise,
        in every map; for a network that bears gaps, in any map.
        """
        _, height, width = self.levelled.shape
        row, col = self.origin_px
        seen = np.zeros(self.file_maps.shape[1:], dtype=bool)
        looked_at = self.found.looked_at(self.levelled)
        seen[row : row + height, col : col + width] = looked_at
        return seen


def predict_maps(
    maps: ConductanceMaps,
    finder: Finder,
    options: PredictOptions,
    *,
    companions: Companions | None = None,
    progress: Progress = no_progress,
) -> Prediction:
    """Find the impurities in a stack of maps.

    Args:
        maps: as they were read.
        finder: the trained network.
        options: how.
        companions: what the cleaning may need beside the maps.
        progress: told the number of tiles scored and of all tiles.

    Returns:
        The positions and all that a picture of them needs.

    Raises:
        InputError: see `crop`, `clean` and `to_network_pixel`, and where the
            frame is too small for the network.
    """
    ready = prepare_maps(maps, finder.card, options, companions)
    if isinstance(finder, DetectionFinder):
        assert ready.ring_per_nm is not None
        ring = ready.ring_per_nm * np.mean(ready.ready.pixel_nm)
        found = find_by_probability(
            ready.ready, ring, finder, options, progress
        )
    else:
        found = find_by_score(ready.ready, finder, options, progress)
    deviations = found.deviations
    return Prediction(
        file_maps=maps,
        origin_px=ready.origin_px,
        levelled=ready.levelled,
        maps=ready.ready,
        found=found,
        positions_px=ready.to_file_pixels(found.positions),
        deviations_px=None if deviations is None else deviations * ready.scale,
        options=options,
        card=finder.card,
        notes=(
            *ready.ready.provenance,
            *found.notes,
            *_gaps(found, ready.ready),
        ),
    )


def _gaps(found: Found, ready: ConductanceMaps) -> list[str]:
    missing = 1 - found.looked_at(ready).mean()
    if not missing:
        return []
    where = "every" if found.needs_every_map else "any"
    return [
        f"warning: {missing:.1%} of the frame is not measured in {where} map; "
        "nothing is found there"
    ]
