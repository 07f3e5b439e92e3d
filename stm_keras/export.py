"""A trained model as a TensorFlow SavedModel, free of our Python."""

from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from stm_keras.analysis.novelty import Ground
from stm_keras.files import atomic_directory
from stm_keras.nn.context import Context
from stm_keras.nn.model import ImpurityFinder

Endpoint = tuple[str, Callable[..., dict[str, tf.Tensor]], list[tf.TensorSpec]]
_MAPS = tf.TensorSpec((None,) * 4, tf.float32, name="maps")
_RING = tf.TensorSpec((None, None), tf.float32, name="ring")


def export_saved_model(
    model: ImpurityFinder, directory: str | Path, ground: Ground | None = None
) -> None:
    """Write a SavedModel with every dimension free.

    Every model has these signatures, from `maps` float32 [B, V, H, W]; those
    of `Context` also take `ring` float32 [B, V], 2k of each map [rad/px], 0
    where unknown:

    - `serving_default`: maps in any unit, NaN where not measured, to `score`
      float32 [B, H, W]; of `Context` also `probability` [B, H, W], `offset`
      [B, H, W, 2] from each pixel's centre to the impurity [px] and
      `deviation` [B, H, W, 2] of the two [px];
    - `standardize`: `maps` alone, to `maps`, each with mean 0 and standard
      deviation 1 over its measured pixels, 0 elsewhere;
    - `score_tiles`: tiles of standardised maps to the same as
      `serving_default`. A tile must keep the mean and scale of its frame, or
      scores would jump at its edge. `Context` also takes `measured` float32
      [B, V, H, W], 1 where measured;
    - `describe`, of `Context`, with `ground`: the same in as
      `serving_default`, to `unlikeness` [B], see `Ground`.

    Args:
        model: from maps to S.
        directory: where to write; replaced whole.
        ground: what the training fields look like to the network.
    """
    archive = keras.export.ExportArchive()
    archive.track(model)
    context = isinstance(model.network, Context)
    for name, endpoint, spec in (
        _context_endpoints(model, ground)
        if context
        else _score_endpoints(model)
    ):
        archive.add_endpoint(name, endpoint, input_signature=spec)
    with atomic_directory(directory) as temporary:
        archive.write_out(str(temporary), verbose=False)


def _standardize(model: ImpurityFinder) -> Endpoint:
    def standardize(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"maps": model.network.standardization(maps)}

    return "standardize", standardize, [_MAPS]


def _score_endpoints(model: ImpurityFinder) -> list[Endpoint]:
    def serve(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": model(maps, training=False)}

    def score_tiles(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": model.network(maps, standardised=True)}

    return [
        ("serving_default", serve, [_MAPS]),
        _standardize(model),
        ("score_tiles", score_tiles, [_MAPS]),
    ]


def _context_endpoints(
    model: ImpurityFinder, ground: Ground | None
) -> list[Endpoint]:
    def named(output: tf.Tensor) -> dict[str, tf.Tensor]:
        logit, offset, deviation = tf.split(output, (1, 2, 2), axis=-1)
        score = tf.squeeze(logit, axis=-1)
        return {
            "score": score,
            "probability": tf.sigmoid(score),
            "offset": offset,
            "deviation": deviation,
        }

    def serve(maps: tf.Tensor, ring: tf.Tensor) -> dict[str, tf.Tensor]:
        return named(model(maps, ring, training=False))

    def score_tiles(
        maps: tf.Tensor, ring: tf.Tensor, measured: tf.Tensor
    ) -> dict[str, tf.Tensor]:
        return named(
            model.network(maps, ring, standardised=True, measured=measured)
        )

    def describe(maps: tf.Tensor, ring: tf.Tensor) -> dict[str, tf.Tensor]:
        assert ground is not None
        away = model.network.describe(maps, ring) - ground.mean
        return {"unlikeness": tf.norm(away @ ground.whitening, axis=-1)}

    measured = tf.TensorSpec((None,) * 4, tf.float32, name="measured")
    endpoints: list[Endpoint] = [
        ("serving_default", serve, [_MAPS, _RING]),
        _standardize(model),
        ("score_tiles", score_tiles, [_MAPS, _RING, measured]),
    ]
    if ground is not None:
        endpoints.append(("describe", describe, [_MAPS, _RING]))
    return endpoints
