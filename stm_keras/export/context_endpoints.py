"""What an exported `Context` can be asked."""

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import tensorflow as tf

from stm_keras.analysis.novelty import Ground
from stm_keras.export.endpoints import (
    MAPS,
    PIXEL,
    RING,
    Endpoint,
    Named,
    endpoints,
    in_nm,
    shares,
)
from stm_keras.export.refusals import checked
from stm_keras.nn.context import LEAST_FRAME_PX
from stm_keras.nn.locating import locate_detections
from stm_keras.nn.model import ImpurityFinder

_NOWHERE = -1e9
"""A logit of probability 0. Not infinite: tf2onnx makes of a choice a sum of
products, and 0 times infinity is no number."""

_LEAST_RING_RAD_PX = 1e-6
"""A ring of a smaller 2k is none: no frame shows that it turns."""

_RING_PX = tf.TensorSpec((None, None), tf.float32, name="ring")
_MEASURED = tf.TensorSpec((None,) * 4, tf.float32, name="measured")


def context_endpoints(
    model: ImpurityFinder,
    detection: Mapping[str, Any],
    ground: Ground | None,
) -> list[Endpoint]:
    """Signatures of a model with the network `Context`.

    Args:
        model: the trained network.
        detection: of its card; the `threshold`, `false_discovery_rate` and
            `false_beforehand` of what `locate` gives.
        ground: what the training fields look like to the network; None leaves
            `describe` out.
    """
    answers = _ContextAnswers(model, detection)
    public, tiles = (MAPS, RING, PIXEL), (MAPS, _RING_PX, _MEASURED)
    every = endpoints(answers, model.network, public, tiles)
    if ground is not None:
        every.append(
            Endpoint(
                "describe",
                functools.partial(answers.describe, ground),
                (MAPS, _RING_PX),
                "unlikeness to the training's maps",
                internal=True,
            )
        )
    return every


@dataclass(frozen=True)
class _ContextAnswers:
    """See `stm_keras.export.endpoints.Answers`."""

    model: ImpurityFinder
    detection: Mapping[str, Any]

    def serve(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        output, seen, _ = self._answer(maps, ring_per_nm, pixel_nm)
        named = _named(output)
        named["score"] = tf.where(seen, named["score"], float("nan"))
        named["probability"] = tf.where(seen, named["probability"], 0.0)
        return named

    def locate(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        output, seen, pixel = self._answer(maps, ring_per_nm, pixel_nm)
        logit, rest = tf.split(output, (1, 4), axis=-1)
        logit = tf.where(tf.expand_dims(seen, -1), logit, _NOWHERE)
        found = locate_detections(
            tf.concat([logit, rest], axis=-1),
            float(self.detection["threshold"]),
            float(self.detection["false_discovery_rate"]),
            float(self.detection.get("false_beforehand", 0.0)),
        )
        return {
            "positions_px": found.positions,
            "positions_nm": in_nm(found.positions, pixel),
            "deviations_px": found.deviations,
            "deviations_nm": found.deviations * pixel[:, None, None],
            "probability": found.certainty,
            "count": found.count,
            "left_out": found.left_out,
        }

    def attention(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        maps, ring_px, _ = _usable(maps, ring_per_nm, pixel_nm)
        network = self.model.network
        weights = network(maps, ring_px, return_weights=True)[1]
        return shares(weights, _seen(maps))

    def score_tiles(
        self, maps: tf.Tensor, ring: tf.Tensor, measured: tf.Tensor
    ) -> Named:
        network = self.model.network
        return _named(network(maps, ring, standardised=True, measured=measured))

    def describe(
        self, ground: Ground, maps: tf.Tensor, ring: tf.Tensor
    ) -> Named:
        away = self.model.network.describe(maps, ring) - ground.mean
        return {"unlikeness": tf.norm(away @ ground.whitening, axis=-1)}

    def _answer(
        self, maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        maps, ring_px, pixel = _usable(maps, ring_per_nm, pixel_nm)
        return self.model(maps, ring_px, training=False), _seen(maps), pixel


def _usable(
    maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """The maps as they should be, 2k in rad/px, the checked pixel_nm."""
    maps, pixel, ring = checked(maps, pixel_nm, ring_per_nm, LEAST_FRAME_PX)
    ring_px = ring * tf.expand_dims(pixel, -1)
    # Templates that do not turn would be scaled by nothing, to NaN.
    ring_px = tf.where(ring_px < _LEAST_RING_RAD_PX, 0.0, ring_px)
    return maps, ring_px, pixel


def _seen(maps: tf.Tensor) -> tf.Tensor:
    """Where any map has a number."""
    return tf.reduce_any(tf.math.is_finite(maps), axis=1)


def _named(output: tf.Tensor) -> Named:
    logit, offset, deviation = tf.split(output, (1, 2, 2), axis=-1)
    score = tf.squeeze(logit, axis=-1)
    return {
        "score": score,
        "probability": tf.sigmoid(score),
        "offset": offset,
        "deviation": deviation,
    }
