"""A trained model as a TensorFlow SavedModel, free of our Python."""

from pathlib import Path

import keras
import tensorflow as tf

from stm_keras.files import atomic_directory
from stm_keras.nn.model import ImpurityFinder


def export_saved_model(model: ImpurityFinder, directory: str | Path) -> None:
    """Write a SavedModel with every dimension free.

    Signatures, each from `maps` float32 [B, V, H, W]:

    - `serving_default`: maps in any unit, NaN where not measured, to `score`
      float32 [B, H, W];
    - `standardize`: the same to `maps`, each with mean 0 and standard
      deviation 1 over its measured pixels, 0 elsewhere;
    - `score_tiles`: tiles of standardised maps to `score`. A tile must keep
      the mean and scale of its frame, or scores would jump at its edge.

    Args:
        model: from maps to S.
        directory: where to write; replaced whole.
    """

    def serve(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": model(maps, training=False)}

    def standardize(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"maps": model.network.standardization(maps)}

    def score_tiles(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": model.network(maps, standardised=True)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    for name, endpoint in (
        ("serving_default", serve),
        ("standardize", standardize),
        ("score_tiles", score_tiles),
    ):
        spec = tf.TensorSpec((None,) * 4, tf.float32, name="maps")
        archive.add_endpoint(name, endpoint, input_signature=[spec])
    with atomic_directory(directory) as temporary:
        archive.write_out(str(temporary), verbose=False)
