"""A trained model as a TensorFlow SavedModel, free of our Python."""

from pathlib import Path

import keras
import tensorflow as tf

from stm_keras.files import atomic_directory


def export_saved_model(model: keras.Model, directory: str | Path) -> None:
    """Write a SavedModel with every dimension free.

    The signature `serving_default` takes `maps` float32 [B, V, H, W], in any
    unit and with NaN where not measured, and gives `score` float32 [B, H, W].

    Args:
        model: from maps to S.
        directory: where to write; replaced whole.
    """

    def serve(maps: tf.Tensor) -> dict[str, tf.Tensor]:
        return {"score": model(maps, training=False)}

    archive = keras.export.ExportArchive()
    archive.track(model)
    archive.add_endpoint(
        "serving_default",
        serve,
        input_signature=[tf.TensorSpec((None,) * 4, tf.float32, name="maps")],
    )
    with atomic_directory(directory) as temporary:
        archive.write_out(str(temporary), verbose=False)
