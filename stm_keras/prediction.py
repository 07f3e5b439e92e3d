"""Find the impurities in a stack of maps."""

import math
from dataclasses import dataclass

import numpy as np

from stm_keras.analysis.peaks import Peaks, find_peaks
from stm_keras.analysis.positions_file import to_nm
from stm_keras.analysis.thresholds import standardised
from stm_keras.data.tiles import Tiling, score_in_tiles
from stm_keras.errors import InputError
from stm_keras.io.cleaning.cleaning import clean
from stm_keras.io.cropping import crop, keep_biases
from stm_keras.io.maps import ConductanceMaps
from stm_keras.model_card import ModelCard
from stm_keras.predict_options import Companions, PredictOptions, TilingName
from stm_keras.preparation import to_network_pixel
from stm_keras.progress import Progress, no_progress
from stm_keras.saved_finder import SavedFinder

_OVERLAP_TILE_PX = 64


@dataclass(frozen=True, eq=False)
class Prediction:
    """What was found.

    Attributes:
        file_maps: the maps as they were read.
        origin_px: row and column in `file_maps` of the top left pixel of the
            part that was looked at.
        levelled: that part cleaned, sorted by bias.
        maps: the same at the network's pixel.
        score: S, float32 [H, W] at the network's pixel; NaN where a map has
            no measurement.
        positions_px: row, column in pixels of `file_maps`, float64 [n, 2],
            the highest score first.
        scores: S at each position, in standard deviations above the mean of
            S, float64 [n].
        threshold: the least such score that counted.
        floor: S that a detection had to exceed as well; -inf for none.
        options: how it was found.
        card: of the model.
        notes: all that was done, and what to know about it.
    """

    file_maps: ConductanceMaps
    origin_px: tuple[int, int]
    levelled: ConductanceMaps
    maps: ConductanceMaps
    score: np.ndarray
    positions_px: np.ndarray
    scores: np.ndarray
    threshold: float
    floor: float
    options: PredictOptions
    card: ModelCard
    notes: tuple[str, ...]

    @property
    def positions_nm(self) -> np.ndarray:
        """The y and x [nm] of each position from the file's top left."""
        return to_nm(self.positions_px, self.file_maps.pixel_nm)

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
    finder: SavedFinder,
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
            frame is smaller than the network's reach.
    """
    card = finder.card
    rows, cols = options.region.spans(maps)
    part = _part(maps, options)
    levelled = _cleaned(part, options, companions or Companions())
    ready = to_network_pixel(levelled, card.ring_rad_px, options.surface)
    n_maps, height, width = ready.shape
    if min(height, width) <= card.reach_px:
        raise InputError(
            f"{maps.source}: at the network's pixel the frame is only "
            f"{height} x {width} px, and the network looks {card.reach_px} px "
            "far: give a larger frame."
        )
    score = _score(ready, finder, options.tiling, progress)
    threshold, floor = card.threshold(n_maps), card.noise_floor(n_maps)
    if options.threshold is not None:
        threshold, floor = options.threshold, -math.inf
    peaks = find_peaks(
        standardised(score), threshold=threshold, exclude=score <= floor
    )
    return Prediction(
        maps,
        (rows[0], cols[0]),
        levelled,
        ready,
        score,
        _to_file_pixels(peaks, part, ready) + (rows[0], cols[0]),
        peaks.scores,
        threshold,
        floor,
        options,
        card,
        (*ready.provenance, *_warnings(ready, options, card.thresholds)),
    )


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


def _score(
    ready: ConductanceMaps,
    finder: SavedFinder,
    name: TilingName,
    progress: Progress,
) -> np.ndarray:
    """S [H, W] of maps at the network's pixel; NaN where not measured."""
    tiling = _tiling(name, finder.card.tile_px, finder.card.reach_px)
    paper = name == "paper"
    score = score_in_tiles(
        # Each of the paper's tiles is a picture of its own.
        ready.data if paper else finder.standardize(ready.data),
        finder.score if paper else finder.score_tiles,
        tiling,
        batch_size=finder.tiles_at_once(len(ready.data), tiling.size_px),
        progress=progress,
    )
    score[~ready.mask] = np.nan
    return score


def _part(maps: ConductanceMaps, options: PredictOptions) -> ConductanceMaps:
    """What is to be looked at, by rising bias."""
    if options.bias_range_v is not None:
        maps = keep_biases(maps, options.bias_range_v)
    return crop(maps, *options.region.spans(maps)).sorted_by_bias()


def _tiling(name: TilingName, tile_px: int, reach_px: int) -> Tiling:
    if name == "paper":
        return Tiling(tile_px)
    size = max(_OVERLAP_TILE_PX, 4 * reach_px)
    # In the outer third of the shared part a tile counts for nothing
    # (see `tiles.py`): three times the reach keeps its edge out of the score.
    return Tiling(size, overlap_px=min(3 * reach_px, size // 2))


def _to_file_pixels(
    peaks: Peaks, part: ConductanceMaps, ready: ConductanceMaps
) -> np.ndarray:
    scale = np.asarray(ready.pixel_nm) / np.asarray(part.pixel_nm)
    positions = (peaks.positions + 0.5) * scale - 0.5
    # A maximum at the border may be refined to beyond the frame.
    return np.clip(positions, -0.5, np.asarray(part.shape[1:]) - 0.5)


def _warnings(
    ready: ConductanceMaps, options: PredictOptions, counts: dict[int, float]
) -> list[str]:
    n_maps = ready.shape[0]
    warnings = []
    if n_maps not in counts and options.threshold is None:
        trained = ", ".join(map(str, counts))
        warnings.append(
            f"warning: the threshold was chosen for stacks of {trained} maps; "
            f"this one has {n_maps}"
        )
    missing = 1 - ready.mask.mean()
    if missing > 0:
        warnings.append(
            f"warning: {missing:.1%} of the frame is not measured in every "
            "map; nothing is found there"
        )
    return warnings
