"""A model that gives probabilities, loaded and ready to find impurities."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import tensorflow as tf

from stm_keras.analysis.detections import Detections, find_detections
from stm_keras.analysis.false_discovery import least_kept
from stm_keras.data.tiles import Tiling, score_in_tiles
from stm_keras.detector.card import ModelCard
from stm_keras.preprocessing.merged import few_maps
from stm_keras.ring_fit import LEAST_PROBABILITY, refit_rings
from stm_keras.system import Progress, no_progress

_TILE_PX = 256
_OVERLAP_PX = 96
"""Enough: what lies further than a third of it from a pixel hardly counts
there, though the network's formal reach is larger."""

_OUTPUTS = ("score", "offset", "deviation")


@dataclass(frozen=True, eq=False)
class DetectionFinder:
    """A trained network `Context` with its card.

    Attributes:
        card: how it was made and what it expects.
        signatures: the SavedModel's, by name; see `export_saved_model`.
    """

    card: ModelCard
    signatures: Mapping[str, Any]

    @property
    def threshold(self) -> float:
        """No detection is less probable, whatever else is found."""
        assert self.card.detection is not None
        return float(self.card.detection["threshold"])

    @property
    def false_discovery_rate(self) -> float:
        """The share of false detections that may be expected."""
        assert self.card.detection is not None
        return float(self.card.detection["false_discovery_rate"])

    @property
    def false_beforehand(self) -> float:
        """So many are counted as false before any is looked at."""
        assert self.card.detection is not None
        return float(self.card.detection.get("false_beforehand", 0.0))

    def least_kept(self, probabilities: np.ndarray) -> float:
        """The least probability of what counts in one stack.

        Args:
            probabilities: of all that was detected in it, float [n].

        Returns:
            See `stm_keras.analysis.false_discovery.least_kept`.
        """
        return least_kept(
            probabilities,
            self.false_discovery_rate,
            self.threshold,
            self.false_beforehand,
        )

    def answer(
        self,
        maps: np.ndarray,
        ring: np.ndarray,
        progress: Progress = no_progress,
    ) -> np.ndarray:
        """What every pixel says of an impurity.

        A frame larger than a tile is cut, under the mean and scale of all of
        it, and put together where every tile saw what lies around. Of many
        maps means are taken, see `few_maps`.

        Args:
            maps: float32 [V, H, W] at the network's pixel, any unit; NaN
                where not measured.
            ring: 2k of each map [rad/px], [V]; 0 where unknown.
            progress: told the number of tiles done and of all.

        Returns:
            See `Context`, float32 [H, W, 5].
        """
        maps, ring = few_maps(np.asarray(maps, np.float32), np.asarray(ring))
        measured = np.isfinite(maps).astype(np.float32)
        batch = tf.constant(maps[None])
        whole = self.signatures["standardize"](maps=batch)["maps"].numpy()[0]
        told = tf.constant(ring[None].astype(np.float32))

        def run(tiles: np.ndarray) -> np.ndarray:
            # Maps and what of them was measured are cut alike, as one stack.
            seen, present = np.split(tiles, 2, axis=1)
            named = self.signatures["score_tiles"](
                maps=tf.constant(seen),
                ring=told,
                measured=tf.constant(present),
            )
            parts = [named[name].numpy() for name in _OUTPUTS]
            parts[0] = parts[0][..., None]
            return np.concatenate(parts, axis=-1)

        return score_in_tiles(
            np.concatenate([whole, measured]),
            run,
            # In the outer third of the shared part a tile counts for nothing.
            Tiling(
                _TILE_PX, overlap_px=min(3 * self.card.reach_px, _OVERLAP_PX)
            ),
            progress=progress,
        )

    def detect(
        self, maps: np.ndarray, ring: np.ndarray, *, fit_rings: bool = True
    ) -> Detections:
        """Impurities down to a low probability.

        Args:
            maps: see `answer`.
            ring: see `answer`.
            fit_rings: let a fit of rings to all maps have its say where it
                may be believed, see `refit_rings`.
        """
        found = find_detections(self.answer(maps, ring), LEAST_PROBABILITY)
        return refit_rings(maps, ring, found).detections if fit_rings else found

    def unlikeness(self, maps: np.ndarray, ring: np.ndarray) -> float | None:
        """How unlike the training's the maps are; above 1 is off ground.

        Args:
            maps: see `answer`.
            ring: see `answer`.

        Returns:
            See `stm_keras.nn.calibration.Ground`; None for a model that
            does not know.
        """
        if "describe" not in self.signatures:
            return None
        maps, ring = few_maps(np.asarray(maps, np.float32), np.asarray(ring))
        described = self.signatures["describe"](
            maps=tf.constant(maps[None]),
            ring=tf.constant(ring[None].astype(np.float32)),
        )
        return float(described["unlikeness"].numpy()[0])
