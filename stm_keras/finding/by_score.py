"""Find impurities with a network that gives the score S alone."""

import math

from stm_keras.analysis.peaks import find_peaks
from stm_keras.data.tiles import Tiling, score_in_tiles
from stm_keras.detections import Found
from stm_keras.errors import InputError
from stm_keras.finding.saved_finder import SavedFinder
from stm_keras.io.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import PredictOptions, TilingName
from stm_keras.scoring import standardised
from stm_keras.system import Progress, no_progress

_OVERLAP_TILE_PX = 64


def find_by_score(
    ready: ConductanceMaps,
    finder: SavedFinder,
    options: PredictOptions,
    progress: Progress = no_progress,
) -> Found:
    """Local maxima of S that stand out from its spread.

    Args:
        ready: maps at the network's pixel.
        finder: the trained network.
        options: tiling and threshold.
        progress: told the number of tiles scored and of all tiles.

    Raises:
        InputError: where the frame is smaller than the network's reach, or a
            option of a network that gives probabilities is asked for.
    """
    card = finder.card
    if options.false_discovery_rate is not None:
        raise InputError(
            f"--false-discovery-rate: the model {card.name} gives no "
            "probabilities; move --threshold instead."
        )
    if not options.tell_rings:
        raise InputError(
            f"--no-tell-rings: the model {card.name} is never told the wave "
            "numbers; leave the option out."
        )
    n_maps, height, width = ready.shape
    if min(height, width) <= card.reach_px:
        raise InputError(
            f"{ready.source}: at the network's pixel the frame is only "
            f"{height} x {width} px, and the network looks {card.reach_px} px "
            "far: give a larger frame."
        )
    tiling = _tiling(options.tiling, card.tile_px, card.reach_px)
    paper = options.tiling == "paper"
    score = score_in_tiles(
        # Each of the paper's tiles is a picture of its own.
        ready.data if paper else finder.standardize(ready.data),
        finder.score if paper else finder.score_tiles,
        tiling,
        batch_size=finder.tiles_at_once(n_maps, tiling.size_px),
        progress=progress,
    )
    score[~ready.mask] = math.nan
    threshold, floor = card.threshold(n_maps), card.noise_floor(n_maps)
    notes: tuple[str, ...] = ()
    if options.threshold is not None:
        threshold, floor = options.threshold, -math.inf
    elif n_maps not in card.thresholds:
        trained = ", ".join(map(str, card.thresholds))
        notes = (
            f"warning: the threshold was chosen for stacks of {trained} maps; "
            f"this one has {n_maps}",
        )
    peaks = find_peaks(
        standardised(score), threshold=threshold, exclude=score <= floor
    )
    return Found(
        score, peaks.positions, peaks.scores, threshold, floor, notes=notes
    )


def _tiling(name: TilingName, tile_px: int, reach_px: int) -> Tiling:
    if name == "paper":
        return Tiling(tile_px)
    size = max(_OVERLAP_TILE_PX, 4 * reach_px)
    # In the outer third of the shared part a tile counts for nothing
    # (see `tiles.py`): three times the reach keeps its edge out of the score.
    return Tiling(size, overlap_px=min(3 * reach_px, size // 2))
