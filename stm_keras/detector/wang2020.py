"""The paper's network in use: it gives the score S alone."""

import math

import numpy as np
import tensorflow as tf

from stm_keras.detections import Detections, Search
from stm_keras.detector.detector import Detector
from stm_keras.detector.tiles import Tiling, score_in_tiles
from stm_keras.maps import ConductanceMaps
from stm_keras.models.card import ModelCard, ScoreSelection
from stm_keras.nn.decoding import find_standing_out
from stm_keras.preprocessing.preparation import (
    PredictOptions,
    PreparedMaps,
    TilingName,
    to_network_pixel,
)
from stm_keras.system import Progress, no_progress

_OVERLAP_TILE_PX = 64

_BYTES_AT_ONCE = 2**29
"""Memory for the features of one batch of tiles."""


class Wang2020Detector(Detector):
    """The network of arXiv:2006.15898: local maxima of S that stand out."""

    network = "Wang2020"
    keeps = ScoreSelection

    @classmethod
    def at_network_pixel(
        cls, card: ModelCard, levelled: ConductanceMaps, options: PredictOptions
    ) -> tuple[ConductanceMaps, np.ndarray | None]:
        """See `Detector`: q of the maps becomes that of the training."""
        ready = to_network_pixel(levelled, card.ring_rad_px, options.surface)
        return ready, None

    @classmethod
    def least_px(cls, card: ModelCard) -> int:
        """See `Detector`: one more than the receptive field's radius."""
        return card.reach_px + 1

    def search(
        self,
        prepared: PreparedMaps,
        options: PredictOptions,
        progress: Progress = no_progress,
    ) -> Detections:
        """See `Detector`."""
        maps, n_maps = prepared.ready, prepared.ready.shape[0]
        score = self._score_in_tiles(maps, options.tiling, progress)
        score[~maps.mask] = math.nan
        selection = self.selection
        threshold = selection.threshold(n_maps)
        floor = selection.noise_floor(n_maps)
        notes: tuple[str, ...] = ()
        if options.threshold is not None:
            threshold, floor = options.threshold, -math.inf
        elif n_maps not in selection.thresholds:
            trained = ", ".join(map(str, selection.thresholds))
            notes = (
                f"warning: the threshold was chosen for stacks of {trained} "
                f"maps; this one has {n_maps}",
            )
        peaks = find_standing_out(score, threshold, floor)
        return Detections(
            maps,
            peaks.positions,
            peaks.scores,
            threshold,
            floor=floor,
            search=Search.of(maps, score, needs_every_map=True),
            notes=notes,
        )

    def warm_up(self) -> None:
        """See `Detector`."""
        little = np.ones((1, 1, 4, 4), np.float32)
        self.score(little)
        self.score_tiles(little)

    @property
    def selection(self) -> ScoreSelection:
        """What a detection must reach."""
        assert isinstance(self.card.selection, ScoreSelection)
        return self.card.selection

    def score(self, maps: np.ndarray) -> np.ndarray:
        """Score S of maps.

        Args:
            maps: float32 [B, V, H, W] at the network's pixel, any unit; NaN
                where not measured.

        Returns:
            S, float32 [B, H, W].
        """
        return self.score_tensor(tf.constant(maps, tf.float32)).numpy()

    def score_tensor(self, maps: tf.Tensor) -> tf.Tensor:
        """`score` from tensor [B, V, H, W] to tensor [B, H, W], float32."""
        whole = self.signatures["standardize"](maps=maps)["maps"]
        return self.signatures["score_tiles"](maps=whole)["score"]

    def standardize(self, maps: np.ndarray) -> np.ndarray:
        """Maps [V, H, W] as the network takes them: mean 0, deviation 1."""
        batch = tf.constant(maps[None], tf.float32)
        return self.signatures["standardize"](maps=batch)["maps"].numpy()[0]

    def score_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Score tiles [B, V, h, w] cut from standardised maps."""
        batch = tf.constant(tiles, tf.float32)
        return self.signatures["score_tiles"](maps=batch)["score"].numpy()

    def _score_in_tiles(
        self, maps: ConductanceMaps, name: TilingName, progress: Progress
    ) -> np.ndarray:
        tiling = _tiling(name, self.card.tile_px, self.card.reach_px)
        paper = name == "paper"
        channels = self.card.network.get("filters", 32)
        n_maps = maps.shape[0]
        each = n_maps * tiling.size_px**2 * 4 * (3 * channels + n_maps)
        return score_in_tiles(
            # Each of the paper's tiles is a picture of its own.
            maps.data if paper else self.standardize(maps.data),
            self.score if paper else self.score_tiles,
            tiling,
            batch_size=max(1, _BYTES_AT_ONCE // each),
            progress=progress,
        )


def _tiling(name: TilingName, tile_px: int, reach_px: int) -> Tiling:
    if name == "paper":
        return Tiling(tile_px)
    size = max(_OVERLAP_TILE_PX, 4 * reach_px)
    # In the outer third of the shared part a tile counts for nothing
    # (see `tiles.py`): three times the receptive field keeps its edge out of
    # the score.
    return Tiling(size, overlap_px=min(3 * reach_px, size // 2))
