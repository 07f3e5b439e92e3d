"""What an exported network that gives the score S alone can be asked."""

from dataclasses import dataclass

import numpy as np
import tensorflow as tf

from stm_keras.export.endpoints import (
    MAPS,
    PIXEL,
    Endpoint,
    Named,
    endpoints,
    in_nm,
    shares,
)
from stm_keras.export.refusals import checked
from stm_keras.model_card import ModelCard
from stm_keras.nn.locating import locate_peaks
from stm_keras.nn.model import ImpurityFinder


def score_endpoints(model: ImpurityFinder, card: ModelCard) -> list[Endpoint]:
    """Signatures of a model with the network `Wang2020`.

    Args:
        model: the trained network.
        card: thresholds and floors by the number of maps, and the network's
            reach, which a frame must exceed.
    """
    answers = _ScoreAnswers(model, card)
    return endpoints(answers, model.network, (MAPS, PIXEL), (MAPS,))


@dataclass(frozen=True)
class _ScoreAnswers:
    """See `stm_keras.export.endpoints.Answers`."""

    model: ImpurityFinder
    card: ModelCard

    def serve(self, maps: tf.Tensor, pixel_nm: tf.Tensor) -> Named:
        score, seen, _ = self._answer(maps, pixel_nm)
        highest = tf.reduce_max(
            # Not -inf: tf2onnx makes of a choice a sum of products.
            tf.where(seen, score, score.dtype.min),
            axis=(1, 2),
            keepdims=True,
        )
        # A frame without a single pixel that all maps have is all 0.
        part = tf.exp(tf.minimum(score - highest, 0.0))
        part = tf.where(seen, part, 0.0)
        whole = tf.reduce_sum(part, axis=(1, 2), keepdims=True)
        return {
            "score": tf.where(seen, score, float("nan")),
            "probability": tf.math.divide_no_nan(part, whole),
        }

    def locate(self, maps: tf.Tensor, pixel_nm: tf.Tensor) -> Named:
        score, seen, pixel = self._answer(maps, pixel_nm)
        n_maps = tf.shape(maps)[1]
        height = _standardised(score, seen)
        found = locate_peaks(
            height,
            seen
            & (height > _nearest(self.card.thresholds, n_maps))
            & (score > self._noise_floor(n_maps)),
            seen,
        )
        return {
            "positions_px": found.positions,
            "positions_nm": in_nm(found.positions, pixel),
            "height": found.certainty,
            "count": found.count,
            "left_out": found.left_out,
        }

    def attention(self, maps: tf.Tensor, pixel_nm: tf.Tensor) -> Named:
        maps = self._usable(maps, pixel_nm)[0]
        weights = self.model.network(maps, return_weights=True)[1]
        return shares(weights, _seen(maps))

    def score_tiles(self, maps: tf.Tensor) -> Named:
        return {"score": self.model.network(maps, standardised=True)}

    def _noise_floor(self, n_maps: tf.Tensor) -> tf.Tensor:
        """See `ModelCard.noise_floor`."""
        most = float(max(self.card.floors))
        beyond = tf.maximum(1.0, tf.cast(n_maps, tf.float32) / most)
        return _nearest(self.card.floors, n_maps) * beyond

    def _usable(
        self, maps: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        maps, pixel = checked(maps, pixel_nm, None, self.card.reach_px + 1)
        return maps, pixel

    def _answer(
        self, maps: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps, pixel = self._usable(maps, pixel_nm)
        return self.model(maps, training=False), _seen(maps), pixel


def _seen(maps: tf.Tensor) -> tf.Tensor:
    """Where every map has a number."""
    return tf.reduce_all(tf.math.is_finite(maps), axis=1)


def _standardised(score: tf.Tensor, seen: tf.Tensor) -> tf.Tensor:
    """See `stm_keras.analysis.thresholds.standardised`."""
    held = tf.cast(seen, tf.float32)
    count = tf.maximum(tf.reduce_sum(held, (1, 2), keepdims=True), 1.0)
    away = score - tf.reduce_sum(score * held, (1, 2), keepdims=True) / count
    square = tf.reduce_sum(away**2 * held, (1, 2), keepdims=True) / count
    return tf.math.divide_no_nan(away, tf.sqrt(square))


def _nearest(by_count: dict[int, float], n_maps: tf.Tensor) -> tf.Tensor:
    """The value of the nearest number of maps, as a ratio."""
    counts = np.array(list(by_count), np.float32)
    values = tf.constant(list(by_count.values()), tf.float32)
    apart = tf.abs(tf.math.log(tf.cast(n_maps, tf.float32) / counts))
    return values[tf.argmin(apart)]
