"""What an exported `Context` can be asked."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from stm_keras.analysis.novelty import Ground
from stm_keras.export.endpoints import (
    MAPS,
    PIXEL,
    RING,
    Endpoint,
    Named,
    checked,
    in_nm,
    shares,
    standardize,
)
from stm_keras.nn.context import LEAST_FRAME_PX
from stm_keras.nn.locating import locate_detections
from stm_keras.nn.model import ImpurityFinder

_NOWHERE = -1e9
"""A logit of probability 0. Not infinite: tf2onnx makes of a choice a sum of
products, and 0 times infinity is no number."""

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
        detection: of its card; the `threshold` and `false_discovery_rate`
            of what `locate` gives.
        ground: what the training fields look like to the network; None leaves
            `describe` out.
    """
    network = model.network
    public = MAPS, RING, PIXEL
    inner = MAPS, _RING_PX, _MEASURED

    def usable(
        maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        maps, pixel, ring = checked(maps, pixel_nm, ring_per_nm, LEAST_FRAME_PX)
        return maps, ring * tf.expand_dims(pixel, -1)

    def answer(
        maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        maps, ring_px = usable(maps, ring_per_nm, pixel_nm)
        output = model(maps, ring_px, training=False)
        return output, _seen(maps)

    def serve(
        maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        output, seen = answer(maps, ring_per_nm, pixel_nm)
        named = _named(output)
        named["score"] = tf.where(seen, named["score"], float("nan"))
        named["probability"] = tf.where(seen, named["probability"], 0.0)
        return named

    def locate(
        maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        output, seen = answer(maps, ring_per_nm, pixel_nm)
        logit, rest = tf.split(output, (1, 4), axis=-1)
        logit = tf.where(tf.expand_dims(seen, -1), logit, _NOWHERE)
        output = tf.concat([logit, rest], axis=-1)
        found = locate_detections(
            output,
            float(detection["threshold"]),
            float(detection["false_discovery_rate"]),
        )
        return {
            "positions_px": found.positions,
            "positions_nm": in_nm(found.positions, pixel_nm),
            "deviations_px": found.deviations,
            "deviations_nm": found.deviations * pixel_nm[:, None, None],
            "probability": found.certainty,
            "count": found.count,
            "left_out": found.left_out,
        }

    def attention(
        maps: tf.Tensor, ring_per_nm: tf.Tensor, pixel_nm: tf.Tensor
    ) -> Named:
        maps, ring_px = usable(maps, ring_per_nm, pixel_nm)
        weights = network(maps, ring_px, return_weights=True)[1]
        return shares(weights, _seen(maps))

    def score_tiles(
        maps: tf.Tensor, ring: tf.Tensor, measured: tf.Tensor
    ) -> Named:
        return _named(network(maps, ring, standardised=True, measured=measured))

    def describe(maps: tf.Tensor, ring: tf.Tensor) -> Named:
        assert ground is not None
        away = network.describe(maps, ring) - ground.mean
        return {"unlikeness": tf.norm(away @ ground.whitening, axis=-1)}

    endpoints = [
        Endpoint("serving_default", serve, public, "certainty of every pixel"),
        Endpoint("locate", locate, public, "positions of the impurities"),
        Endpoint("attention", attention, public, "which maps counted"),
        standardize(network),
        Endpoint(
            "score_tiles",
            score_tiles,
            inner,
            "answer for tiles of standardised maps",
            internal=True,
        ),
    ]
    if ground is not None:
        endpoints.append(
            Endpoint(
                "describe",
                describe,
                (MAPS, _RING_PX),
                "unlikeness to the training's maps",
                internal=True,
            )
        )
    return endpoints


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
