"""From stored examples to the batches that training and testing take."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf

from stm_keras.data.prepared import load_split, open_prepared, steady_options
from stm_keras.errors import InputError

_SHUFFLE_WINDOW = 1024
_PARALLEL_CALLS = 2
_EVALUATION_EPOCHS = {"validation": 1_000_000, "test": 1_000_001}
"""Stands in the noise's seed where training has its epoch: the noise of a
held-out split is the same on every pass, and like that of no other."""


@dataclass(frozen=True)
class BatchConfig:
    """How stored examples become batches.

    Attributes:
        batch_size: examples in a batch; a remainder is dropped.
        noise: eta, standard deviation of the white noise that is added to the
            maps, which lie in [-1, 1] (paper: 0.8).
        voltages: numbers of maps to train with; each batch draws one of these
            and keeps that many maps at random. Empty: all maps, always.
        seed: of order, noise and choice of maps.
    """

    batch_size: int = 32
    noise: float = 0.8
    voltages: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(
                f"`batch_size` must be >= 1. Received: {self.batch_size}"
            )
        if not 0 <= self.noise < np.inf:
            raise InputError(f"`noise` must be >= 0. Received: {self.noise}")
        if self.seed < 0:
            raise InputError(f"`seed` must be >= 0. Received: {self.seed}")
        if any(v < 1 for v in self.voltages):
            raise InputError(
                f"`voltages` must be >= 1. Received: {self.voltages}"
            )


def maps_shape(path: str | Path) -> tuple[int, int, int]:
    """Shape (V, L, L) of the maps of a prepared data set.

    Raises:
        InputError: where the data set has no maps.
    """
    features = open_prepared(path).info.features
    if "maps" not in features:
        raise InputError(
            f"The data set in {path} has no feature `maps`; it has: "
            f"{', '.join(features)}."
        )
    return features["maps"].shape


def batches_per_epoch(path: str | Path, config: BatchConfig) -> int:
    """Number of whole batches in the training split.

    Raises:
        InputError: where the split is smaller than one batch.
    """
    n_examples = open_prepared(path).info.splits["train"].num_examples
    if n_examples < config.batch_size:
        raise InputError(
            f"The data set in {path} has {n_examples} training examples, "
            f"fewer than a batch of {config.batch_size}: build a larger one or "
            "lower --batch-size."
        )
    return n_examples // config.batch_size


def check_voltages(path: str | Path, config: BatchConfig) -> None:
    """Refuse numbers of voltages that the data set does not have.

    Raises:
        InputError: for the first such number.
    """
    n_voltages = maps_shape(path)[0]
    for count in config.voltages:
        if count > n_voltages:
            raise InputError(
                f"The data set in {path} has {n_voltages} maps an example: "
                f"cannot train with {count}."
            )


def training_batches(
    path: str | Path, config: BatchConfig, *, first_epoch: int, last_epoch: int
) -> tf.data.Dataset:
    """Batches of the training split, epoch after epoch.

    Everything random follows from the seed and the epoch's number, so that a
    training resumed at an epoch sees the batches it would have seen.

    Args:
        path: prepared data set.
        config: see `BatchConfig`.
        first_epoch: number of the first epoch to give, from 0.
        last_epoch: number after that of the last.

    Returns:
        Batches of `maps` float32 [B, V, L, L] and `label` float32 [B, L, L].
    """
    examples = load_split(path, "train")
    check_voltages(path, config)
    n_voltages, size, _ = maps_shape(path)

    def one_epoch(epoch: tf.Tensor) -> tf.data.Dataset:
        shuffled = _shuffle(examples, _stream(config.seed, epoch))
        # Whole batches only: every further shape costs a compilation.
        batches = _padded_batches(
            shuffled, config.batch_size, drop_remainder=True
        )
        return batches.enumerate().map(
            lambda i, batch: _noisy(batch, config, epoch, i, n_voltages, size),
            num_parallel_calls=_PARALLEL_CALLS,
        )

    epochs = tf.data.Dataset.range(first_epoch, last_epoch)
    batches = epochs.flat_map(one_epoch).map(
        lambda batch: {k: batch[k] for k in ("maps", "label")}
    )
    return batches.prefetch(4).with_options(steady_options())


def evaluation_batches(
    path: str | Path,
    config: BatchConfig,
    *,
    split: str,
    n_voltages: int | None = None,
) -> tf.data.Dataset:
    """Batches of a held-out split, the same on every pass.

    Args:
        path: prepared data set.
        config: see `BatchConfig`; `voltages` is not used.
        split: "validation" or "test".
        n_voltages: maps to keep of every example, evenly spaced; all if None.

    Returns:
        Batches of `maps` float32 [B, V, L, L], `label` float32 [B, L, L] and
        `positions` float32 [B, n, 2], padded with NaN.
    """
    stored, size, _ = maps_shape(path)
    kept = stored if n_voltages is None else n_voltages
    if not 1 <= kept <= stored:
        raise InputError(
            f"The data set in {path} has {stored} maps an example: cannot keep "
            f"{kept}."
        )
    if split not in _EVALUATION_EPOCHS:
        raise InputError(
            f"`split` must be one of {', '.join(_EVALUATION_EPOCHS)}. "
            f"Received: {split!r}"
        )
    chosen = np.linspace(0, stored - 1, kept).round().astype(int)

    def pick(i: tf.Tensor, batch: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        fixed = BatchConfig(config.batch_size, config.noise, (), config.seed)
        batch = _noisy(batch, fixed, _EVALUATION_EPOCHS[split], i, stored, size)
        return batch | {"maps": tf.gather(batch["maps"], chosen, axis=1)}

    batches = _padded_batches(
        load_split(path, split), config.batch_size, drop_remainder=False
    )
    return (
        batches.enumerate().map(pick).prefetch(2).with_options(steady_options())
    )


def _stream(seed: int, epoch: tf.Tensor | int) -> tf.Tensor:
    """Seed of all that is random in an epoch, for stateless operations."""
    return tf.stack([tf.constant(seed, tf.int64), tf.cast(epoch, tf.int64)])


def _shuffle(examples: tf.data.Dataset, stream: tf.Tensor) -> tf.data.Dataset:
    """Shuffle within windows, the windows staying in their order.

    `tf.data.Dataset.shuffle` mixes the process's global seed into its own, so
    that its order could not be had again in another process.
    """

    def shuffle(
        i: tf.Tensor, window: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        order = tf.random.experimental.stateless_shuffle(
            tf.range(tf.shape(window["maps"])[0]),
            tf.random.experimental.stateless_fold_in(stream, i),
        )
        return {k: tf.gather(v, order) for k, v in window.items()}

    windows = _padded_batches(examples, _SHUFFLE_WINDOW, drop_remainder=False)
    return windows.enumerate().map(shuffle).unbatch()


def _padded_batches(
    examples: tf.data.Dataset, batch_size: int, *, drop_remainder: bool
) -> tf.data.Dataset:
    kept = examples.map(lambda e: {k: e[k] for k in ("maps", "positions")})
    return kept.padded_batch(
        batch_size,
        padding_values={"maps": 0.0, "positions": np.float32(np.nan)},
        drop_remainder=drop_remainder,
    )


def _noisy(
    batch: dict[str, tf.Tensor],
    config: BatchConfig,
    epoch: tf.Tensor | int,
    index: tf.Tensor,
    n_voltages: int,
    size: int,
) -> dict[str, tf.Tensor]:
    """Label a batch, keep some of its maps and add noise to them."""
    stream = tf.random.experimental.stateless_fold_in(
        _stream(config.seed, epoch), index
    )
    order_seed, count_seed, noise_seed = tf.unstack(
        tf.random.experimental.stateless_split(stream, 3)
    )
    maps = batch["maps"]
    if config.voltages:
        which = tf.random.stateless_uniform(
            (), count_seed, 0, len(config.voltages), tf.int32
        )
        count = tf.gather(tf.constant(config.voltages), which)
        order = tf.random.experimental.stateless_shuffle(
            tf.range(n_voltages), order_seed
        )
        maps = tf.gather(maps, tf.sort(order[:count]), axis=1)
    if config.noise:
        maps += config.noise * tf.random.stateless_normal(
            tf.shape(maps), noise_seed
        )
    label = label_maps(batch["positions"], size)
    return {"maps": maps, "label": label, "positions": batch["positions"]}


def label_maps(positions: tf.Tensor, size: int) -> tf.Tensor:
    """The paper's label: 1/N_i on every impurity's pixel, else 0.

    Args:
        positions: row, column [px], float32 [B, n, 2], padded with NaN.
        size: side L of the maps [px].

    Returns:
        float32 [B, L, L]; every map sums to 1. Two impurities on one pixel
        give it 2/N_i.
    """
    present = tf.reduce_all(tf.math.is_finite(positions), axis=-1)
    pixels = tf.cast(
        tf.round(tf.where(present[:, :, None], positions, 0.0)), tf.int32
    )
    row, col = tf.unstack(tf.clip_by_value(pixels, 0, size - 1), 2, axis=-1)
    one_hot = tf.one_hot(row * size + col, size * size) * tf.cast(
        present[:, :, None], tf.float32
    )
    label = tf.reduce_sum(one_hot, axis=1)
    label /= tf.reduce_sum(label, axis=1, keepdims=True)
    return tf.reshape(label, (-1, size, size))


def experiment_batches(
    tiles: Sequence[np.ndarray], *, batch_size: int, seed: int, first: int = 0
) -> tf.data.Dataset:
    """Endless random batches of experimental tiles for the entropy loss.

    Args:
        tiles: float32 arrays [V, L, L], all of one shape.
        batch_size: tiles in a batch; drawn with replacement.
        seed: of the drawing.
        first: number of the first batch to give: a training resumed after
            so many steps sees the batches it would have seen.

    Returns:
        Batches float32 [B, V, L, L], without end.
    """
    stack = tf.constant(np.stack(tiles))

    def draw(i: tf.Tensor) -> tf.Tensor:
        which = tf.random.stateless_uniform(
            (batch_size,), tf.stack([seed, i]), 0, len(tiles), tf.int64
        )
        return tf.gather(stack, which)

    return (
        tf.data.Dataset.counter(first)
        .map(draw, num_parallel_calls=1)
        .with_options(steady_options())
    )
