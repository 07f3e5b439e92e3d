"""Mean and scale of maps, which no unit and no offset may change."""

import keras
import tensorflow as tf
from keras import layers

from stm_keras.nn.untyped import ops


@keras.saving.register_keras_serializable("stm_keras")
class MapStandardization(layers.Layer):
    """Give every map mean 0 and standard deviation 1 over its measured pixels.

    A file may hold any unit and offset; inside the network every map counts
    the same. NaN (not measured) becomes 0, the mean. A constant map is all 0.

    Call arguments:
        maps: [B, V, H, W].

    Returns:
        The same shape.
    """

    def call(self, maps: tf.Tensor) -> tf.Tensor:
        """See the class."""
        measured = ops.cast(ops.logical_not(ops.isnan(maps)), maps.dtype)
        maps = ops.where(measured > 0, maps, ops.zeros_like(maps))
        count = ops.maximum(ops.sum(measured, (-2, -1), keepdims=True), 1.0)
        # Two steps: nA currents of 1e-12 A lose their variance to rounding
        # next to an offset, unless the offset goes first and the scale next.
        maps = measured * (maps - _masked_sum(maps, measured) / count)
        largest = ops.max(ops.abs(maps), axis=(-2, -1), keepdims=True)
        maps = ops.divide_no_nan(maps, largest)
        # What rounding left of a constant map is all alike, and goes now.
        maps = measured * (maps - _masked_sum(maps, measured) / count)
        variance = _masked_sum(maps * maps, measured) / count
        return ops.divide_no_nan(maps, ops.sqrt(variance))


def _masked_sum(values: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    return ops.sum(values * mask, axis=(-2, -1), keepdims=True)
