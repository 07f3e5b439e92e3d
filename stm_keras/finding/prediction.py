"""Find the impurities in a stack of maps."""

from dataclasses import dataclass

import numpy as np

from stm_keras.analysis.positions_file import to_nm
from stm_keras.finding.by_probability import find_by_probability
from stm_keras.finding.by_score import find_by_score
from stm_keras.finding.detection_finder import DetectionFinder
from stm_keras.finding.found import Found
from stm_keras.finding.predict_options import Companions, PredictOptions
from stm_keras.finding.preparation import (
    to_known_pixel,
    to_network_pixel,
    told_rings,
)
from stm_keras.finding.saved_finder import Finder
from stm_keras.io.cleaning.cleaning import clean
from stm_keras.io.cropping import crop, keep_biases
from stm_keras.io.maps import ConductanceMaps
from stm_keras.model_card import ModelCard
from stm_keras.progress import Progress, no_progress


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

        Those of the part that are measured in every map and were not taken
        out as noise.
        """
        _, height, width = self.levelled.shape
        row, col = self.origin_px
        seen = np.zeros(self.file_maps.shape[1:], dtype=bool)
        seen[row : row + height, col : col + width] = self.levelled.mask
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
    card = finder.card
    rows, cols = options.region.spans(maps)
    part = _part(maps, options)
    levelled = _cleaned(part, options, companions or Companions())
    ready = _ready(levelled, finder, options.surface)
    if isinstance(finder, DetectionFinder):
        ring = told_rings(levelled, options.surface) * np.mean(ready.pixel_nm)
        found = find_by_probability(ready, ring, finder, options, progress)
    else:
        found = find_by_score(ready, finder, options, progress)
    deviations = found.deviations
    return Prediction(
        file_maps=maps,
        origin_px=(rows[0], cols[0]),
        levelled=levelled,
        maps=ready,
        found=found,
        positions_px=_to_file_pixels(found.positions, part, ready)
        + (rows[0], cols[0]),
        deviations_px=None
        if deviations is None
        else deviations * _scale(part, ready),
        options=options,
        card=card,
        notes=(*ready.provenance, *found.notes, *_gaps(ready)),
    )


def _ready(
    levelled: ConductanceMaps, finder: Finder, surface: str | None
) -> ConductanceMaps:
    """The maps at a pixel that the network knows."""
    bounds = finder.card.ring_rad_px
    if isinstance(finder, DetectionFinder):
        return to_known_pixel(levelled, bounds, surface)
    return to_network_pixel(levelled, bounds, surface)


def _cleaned(
    part: ConductanceMaps, options: PredictOptions, beside: Companions
) -> ConductanceMaps:
    """The part after the steps asked for, with what they need beside it."""
    return clean(
        part,
        options.cleaning,
        current=beside.current and _part(beside.current, options),
        reference=beside.reference and _part(beside.reference, options),
    )


def _part(maps: ConductanceMaps, options: PredictOptions) -> ConductanceMaps:
    """What is to be looked at, by rising bias."""
    if options.bias_range_v is not None:
        maps = keep_biases(maps, options.bias_range_v)
    return crop(maps, *options.region.spans(maps)).sorted_by_bias()


def _to_file_pixels(
    positions: np.ndarray, part: ConductanceMaps, ready: ConductanceMaps
) -> np.ndarray:
    positions = (positions + 0.5) * _scale(part, ready) - 0.5
    # A maximum at the border may be refined to beyond the frame.
    return np.clip(positions, -0.5, np.asarray(part.shape[1:]) - 0.5)


def _scale(part: ConductanceMaps, ready: ConductanceMaps) -> np.ndarray:
    """The file's pixels in one of the network's, along rows and columns."""
    return np.asarray(ready.pixel_nm) / np.asarray(part.pixel_nm)


def _gaps(ready: ConductanceMaps) -> list[str]:
    missing = 1 - ready.mask.mean()
    if not missing:
        return []
    return [
        f"warning: {missing:.1%} of the frame is not measured in every map; "
        "nothing is found there"
    ]
