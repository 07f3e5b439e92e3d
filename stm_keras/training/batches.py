"""From stored examples to the batches that training and testing take."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.training.datasets import (
    BatchConfig,
    check_voltages,
    load_split,
    maps_shape,
    steady_options,
)

_SHUFFLE_WINDOW = 1024
_PARALLEL_CALLS = 2
_EVALUATION_EPOCHS = {"validation": 1_000_000, "test": 1_000_001}
"""Stands in the noise's seed where training has its epoch: the noise of a
held-out split is the same on every pass, and like that of no other."""


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
    check_voltages(path, config.voltages)
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
    chosen = np.linspace(0, stored - 1, kept).round().astype(np.int32)
    stream = config.seed, _EVALUATION_EPOCHS[split]

    def shown(
        i: tf.Tensor, batch: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        constants = tf.constant(config.noise, tf.float32), tf.constant(chosen)
        made = _held_out(batch, tf.constant(stream, tf.int64), i, *constants)
        # The graph is for stacks of every number and size of maps.
        made["maps"].set_shape([None, kept, size, size])
        made["label"].set_shape([None, size, size])
        return made

    batches = _padded_batches(
        load_split(path, split), config.batch_size, drop_remainder=False
    )
    return (
        batches.enumerate()
        .map(shown)
        .prefetch(2)
        .with_options(steady_options())
    )


@tf.function(
    autograph=False,
    input_signature=(
        {
            "maps": tf.TensorSpec([None, None, None, None]),
            "positions": tf.TensorSpec([None, None, 2]),
        },
        tf.TensorSpec([2], tf.int64),
        tf.TensorSpec([], tf.int64),
        tf.TensorSpec([]),
        tf.TensorSpec([None], tf.int32),
    ),
)
def _held_out(
    batch: dict[str, tf.Tensor],
    stream: tf.Tensor,
    index: tf.Tensor,
    noise: tf.Tensor,
    chosen: tf.Tensor,
) -> dict[str, tf.Tensor]:
    """Label a batch, add noise to its maps and keep the chosen ones.

    One graph for all splits, seeds and numbers of maps.
    """
    *_, seed = _seeds(stream, index)
    maps = _with_noise(batch["maps"], noise, seed)
    return {
        "maps": tf.gather(maps, chosen, axis=1),
        "label": label_maps(batch["positions"], tf.shape(maps)[2]),
        "positions": batch["positions"],
    }


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
    order_seed, count_seed, noise_seed = _seeds(
        _stream(config.seed, epoch), index
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
        maps = _with_noise(maps, config.noise, noise_seed)
    label = label_maps(batch["positions"], size)
    return {"maps": maps, "label": label, "positions": batch["positions"]}


def _seeds(stream: tf.Tensor, index: tf.Tensor) -> list[tf.Tensor]:
    """Those of a batch: of the maps' order, their number and the noise."""
    own = tf.random.experimental.stateless_fold_in(stream, index)
    return tf.unstack(tf.random.experimental.stateless_split(own, 3))


def _with_noise(
    maps: tf.Tensor, noise: tf.Tensor | float, seed: tf.Tensor
) -> tf.Tensor:
    return maps + noise * tf.random.stateless_normal(tf.shape(maps), seed)


def label_maps(positions: tf.Tensor, size: tf.Tensor | int) -> tf.Tensor:
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
