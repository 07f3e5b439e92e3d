"""Random tensors that follow from a seed alone."""

from typing import Any

import tensorflow as tf

from stm_keras.simulation.ranges import Range

Shape = Any
"""Numbers and scalar tensors, or one tensor."""


class Draws:
    """Random tensors, each from a seed of its own.

    Args:
        seed: of all of them, int64 [2].
    """

    def __init__(self, seed: tf.Tensor) -> None:
        self._seed = seed
        self._count = 0

    def _next(self) -> tf.Tensor:
        self._count += 1
        return tf.random.experimental.stateless_fold_in(self._seed, self._count)

    def uniform(self, shape: Shape, bounds: Range) -> tf.Tensor:
        """Uniform within `bounds`, float32 of `shape`."""
        low, high = bounds
        return tf.random.stateless_uniform(shape, self._next(), low, high)

    def normal(self, shape: Shape) -> tf.Tensor:
        """Of mean 0 and standard deviation 1, float32 of `shape`."""
        return tf.random.stateless_normal(shape, self._next())

    def chance(self, shape: Shape, share: float) -> tf.Tensor:
        """True with the chance `share`, bool of `shape`."""
        return self.uniform(shape, (0.0, 1.0)) < share
