"""A model directory, loaded and ready to score maps."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stm_keras.detector.card import ModelCard, OtherVersionError, read_card
from stm_keras.errors import InputError
from stm_keras.finding.detection_finder import DetectionFinder
from stm_keras.system import made_by_newer

_BYTES_AT_ONCE = 2**29
"""Memory for the features of one batch of tiles."""


@dataclass(frozen=True, eq=False)
class SavedFinder:
    """A trained network with its card.

    Attributes:
        card: how it was made and what it expects.
        signatures: the SavedModel's, by name; see `export_saved_model`.
    """

    card: ModelCard
    signatures: Mapping[str, Any]

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
        """Maps [V, H, W] as the network sees them: mean 0, deviation 1."""
        batch = tf.constant(maps[None], tf.float32)
        return self.signatures["standardize"](maps=batch)["maps"].numpy()[0]

    def score_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """Score tiles [B, V, h, w] cut from standardised maps."""
        batch = tf.constant(tiles, tf.float32)
        return self.signatures["score_tiles"](maps=batch)["score"].numpy()

    def tiles_at_once(self, n_maps: int, size_px: int) -> int:
        """How many tiles [V, size, size] fit into memory at once."""
        channels = self.card.network.get("filters", 32)
        tile = n_maps * size_px**2 * 4 * (3 * channels + n_maps)
        return max(1, _BYTES_AT_ONCE // tile)


Finder = SavedFinder | DetectionFinder
"""A model directory in use: its network gives S alone, or probabilities."""


class _Signatures(dict[str, Any]):
    """A module's signatures, which keep the module."""

    def __init__(self, module: Any) -> None:
        super().__init__(module.signatures)
        self.module = module


def load_finder(directory: str | Path) -> Finder:
    """Load a model directory.

    Args:
        directory: what `stmk fit --out` wrote.

    Raises:
        OtherVersionError: where a newer version made it and this one cannot
            use it; a model of an older version works.
        InputError: where it is missing, is no model directory, or is damaged.
    """
    path = Path(directory)
    if not path.is_dir():
        raise InputError(
            f"No such model directory: {path}. Train one with `stmk fit`, or "
            "give --model saved_models/context from the project's folder."
        )
    card = read_card(path)
    try:
        module = tf.saved_model.load(str(path))
        # The module owns the weights: it must live as long as they are used.
        signatures = _Signatures(module)
        little = np.ones((1, 1, 4, 4), np.float32)
        finder: Finder
        if card.detection:
            finder = DetectionFinder(card, signatures)
            finder.answer(little[0], np.zeros(1))
        else:
            finder = SavedFinder(card, signatures)
            finder.score(little)
            finder.score_tiles(little)
    except (
        OSError,
        LookupError,  # weights cut short; a signature that is not there
        ValueError,
        TypeError,
        AttributeError,
        tf.errors.OpError,
    ) as error:
        raise _unusable(path, card, error) from error
    return finder


def _unusable(path: Path, card: ModelCard, error: Exception) -> InputError:
    reason = (str(error).strip() or type(error).__name__).splitlines()[0][:160]
    newer = made_by_newer(card.versions)
    if newer:
        return OtherVersionError(
            f"The model in {path} cannot be used ({reason}). {newer}"
        )
    return InputError(
        f"The model in {path} is damaged ({reason}). Restore it or train it "
        "again."
    )
