"""Where the random numbers of an instrument's effects come from.

One interface, two sources: a NumPy generator, whose numbers a virtual
experiment of a given seed has always had, and a seed alone, as graphs and
batches in `tf.data` need it.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.simulation.ranges import Range

Shape = Any
"""Numbers and scalar tensors, or one tensor."""


class Jumps(NamedTuple):
    """Changes of the tip; K is the most in any map.

    Attributes:
        rows: from which row on each acts, int32 [B, V, K].
        offset: by which it moves what follows, signed, float32 [B, V, K].
        contrast: relative change of the contrast, signed, likewise; both are
            0 where a map has fewer than K.
    """

    rows: tf.Tensor
    offset: tf.Tensor
    contrast: tf.Tensor


class Draws(ABC):
    """Where the random numbers of an effect come from."""

    @abstractmethod
    def uniform(self, shape: Shape, bounds: Range) -> tf.Tensor:
        """Uniform within `bounds`, float32 of `shape`."""

    @abstractmethod
    def normal(self, shape: Shape) -> tf.Tensor:
        """A few normal numbers, of deviation 1, float32 of `shape`."""

    @abstractmethod
    def white(self, shape: Shape) -> tf.Tensor:
        """White noise in whole frames, of deviation 1, float32 of `shape`."""

    @abstractmethod
    def jumps(
        self, mean: tf.Tensor, shape: Shape, offset: Range, contrast: Range
    ) -> Jumps:
        """Changes of the tip at random rows.

        Args:
            mean: mean number in a map, float32 [B].
            shape: (B, V, H) of the maps.
            offset: bounds of the offset's size.
            contrast: likewise of the contrast's.
        """

    @abstractmethod
    def split(self, n: int) -> "Sequence[Draws]":
        """`n` independent sources, one for each part of an instrument."""

    def chance(self, shape: Shape, share: float) -> tf.Tensor:
        """True with the chance `share`, bool of `shape`."""
        return self.uniform(shape, (0.0, 1.0)) < share


class GeneratorDraws(Draws):
    """Random numbers of a NumPy generator, eagerly, for one stack (B = 1)."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng

    def uniform(self, shape: Shape, bounds: Range) -> tf.Tensor:
        """See `Draws`."""
        return float32(self._rng.uniform(*bounds, size=_sizes(shape)))

    def normal(self, shape: Shape) -> tf.Tensor:
        """See `Draws`."""
        return float32(self._rng.standard_normal(_sizes(shape)))

    def white(self, shape: Shape) -> tf.Tensor:
        """See `Draws`."""
        sizes = _sizes(shape)
        return float32(self._rng.standard_normal(sizes, np.float32))

    def jumps(
        self, mean: tf.Tensor, shape: Shape, offset: Range, contrast: Range
    ) -> Jumps:
        """See `Draws`."""
        _, n_maps, height = _sizes(shape)
        rng = self._rng
        counts = rng.poisson(float(np.asarray(mean)[0]), n_maps)
        counts = counts if height > 1 else np.zeros_like(counts)
        rows = np.zeros((1, n_maps, counts.max()), np.int32)
        sizes = np.zeros((2, *rows.shape), np.float32)
        for m, count in enumerate(counts):
            for n in range(count):
                rows[0, m, n] = rng.integers(1, height)
                sign = rng.choice((-1.0, 1.0), 2)
                sizes[0, 0, m, n] = sign[0] * rng.uniform(*offset)
                sizes[1, 0, m, n] = sign[1] * rng.uniform(*contrast)
        return Jumps(tf.constant(rows), float32(sizes[0]), float32(sizes[1]))

    def split(self, n: int) -> Sequence[Draws]:
        """See `Draws`."""
        seeds = self._rng.integers(2**63, size=n)
        return [GeneratorDraws(np.random.default_rng(s)) for s in seeds]


class StatelessDraws(Draws):
    """Random tensors that follow from a seed alone, in graphs and batches.

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
        """See `Draws`."""
        return tf.random.stateless_uniform(shape, self._next(), *bounds)

    def normal(self, shape: Shape) -> tf.Tensor:
        """See `Draws`."""
        return tf.random.stateless_normal(shape, self._next())

    def white(self, shape: Shape) -> tf.Tensor:
        """See `Draws`."""
        return self.normal(shape)

    def jumps(
        self, mean: tf.Tensor, shape: Shape, offset: Range, contrast: Range
    ) -> Jumps:
        """See `Draws`."""
        batch, n_maps, height = (shape[i] for i in range(3))
        mean = tf.broadcast_to(mean[:, None], [batch, n_maps])
        counts = tf.random.stateless_poisson(
            [batch, n_maps], self._next(), mean, tf.int32
        )
        counts = tf.where(height > 1, counts, 0)
        each = [batch, n_maps, tf.reduce_max(counts)]
        rows = tf.random.stateless_uniform(
            each, self._next(), 1, tf.maximum(height, 2), tf.int32
        )
        there = tf.range(each[2]) < counts[:, :, None]
        sizes = [
            tf.where(
                there,
                self.uniform(each, bounds)
                * tf.sign(self.uniform(each, (-1.0, 1.0))),
                0.0,
            )
            for bounds in (offset, contrast)
        ]
        return Jumps(rows, *sizes)

    def split(self, n: int) -> Sequence[Draws]:
        """See `Draws`."""
        return [StatelessDraws(self._next()) for _ in range(n)]


def float32(values: np.ndarray) -> tf.Tensor:
    """An array as a float32 tensor."""
    return tf.constant(np.asarray(values, np.float32))


def _sizes(shape: Shape) -> list[int]:
    return [int(n) for n in shape]
