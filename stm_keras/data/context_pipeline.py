"""Batches for the network `context`: stored fields, measured anew each time."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from stm_keras.data.augmentation import (
    AugmentationRanges,
    augmented,
    cropped,
    turned,
)
from stm_keras.data.prepared import load_split, steady_options
from stm_keras.errors import InputError

_WINDOW = 512
_PARALLEL_CALLS = 2

EQUATION_3 = AugmentationRanges(
    white=(0.0, 1.0),
    smooth=(0.0, 0.0),
    correlated=(0.0, 0.0),
    lines=(0.0, 0.0),
    tilt=(0.0, 0.0),
    jump_share=0.0,
    blur_px=(0.0, 0.3),
    drift_px=(0.0, 0.3),
    gain=(1.0, 1.0),
    missing_share=0.05,
    holes_share=0.0,
)
"""Effects for fields of the paper's Eq. 3, whose unit is their largest value:
white noise alone, as in the paper, and a little of what moves positions."""


@dataclass(frozen=True)
class ContextBatchConfig:
    """How stored fields become batches.

    Attributes:
        batch_size: fields in a batch.
        voltages: numbers of maps to train with; each batch draws one.
        sizes_px: sides of the crop [px]; each batch draws one. See
            `cropped` for the largest that a field gives.
        effects: of fields of multiple scattering.
        equation_3: of fields of Eq. 3.
        seed: of all that is drawn.
    """

    batch_size: int = 16
    voltages: tuple[int, ...] = (1, 1, 2, 4, 8, 16)
    sizes_px: tuple[int, ...] = (46, 40, 32)
    effects: AugmentationRanges = field(default_factory=AugmentationRanges)
    equation_3: AugmentationRanges = EQUATION_3
    seed: int = 0

    def __post_init__(self) -> None:
        for name, values in (
            ("batch_size", (self.batch_size,)),
            ("voltages", self.voltages),
            ("sizes_px", self.sizes_px),
        ):
            if not values or min(values) < 1:
                raise InputError(f"`{name}` must be >= 1. Received: {values}")
        if self.seed < 0:
            raise InputError(f"`seed` must be >= 0. Received: {self.seed}")

    def with_surrogates(self, share: float) -> "ContextBatchConfig":
        """The same with another share of samples without an impurity.

        Raises:
            InputError: where it does not lie between 0 and 1.
        """
        if not 0 <= share <= 1:
            raise InputError(
                "The share of surrogates must lie between 0 and 1. "
                f"Received: {share:g}"
            )
        return replace(
            self,
            effects=replace(self.effects, surrogate_share=share),
            equation_3=replace(self.equation_3, surrogate_share=share),
        )


def context_batches(
    paths: Sequence[tuple[str | Path, int]],
    config: ContextBatchConfig,
    *,
    split: str = "train",
    first: int = 0,
) -> tf.data.Dataset:
    """Endless batches from several data sets in turn.

    Everything random follows from the seed and the batch's number, so that a
    training resumed at a batch sees what it would have seen.

    Args:
        paths: prepared data sets, each with how many batches of every turn
            come from it.
        config: see `ContextBatchConfig`.
        split: "train", "validation" or "test".
        first: number of the first batch to give.

    Returns:
        Batches of `maps` float32 [B, V, L, L], `ring` float32 [B, V] as the
        network is told it, and `positions` float32 [B, n, 2] [px], padded
        with NaN, those up to `BESIDE_PX` beside the crop among them.
    """
    if not paths or min(share for _, share in paths) < 1:
        raise InputError("Give at least one data set, each with a share >= 1.")
    sources = [
        _fields(path, config, split, number)
        for number, (path, _) in enumerate(paths)
    ]
    turn = [n for n, (_, share) in enumerate(paths) for _ in range(share)]
    choice = tf.data.Dataset.from_tensor_slices(np.array(turn, np.int64))
    batches = tf.data.Dataset.choose_from_datasets(sources, choice.repeat())
    measured = (
        batches.enumerate()
        .skip(first)
        .map(
            lambda i, batch: _measured(batch, config, i),
            num_parallel_calls=_PARALLEL_CALLS,
            deterministic=True,
        )
    )
    return measured.prefetch(4).with_options(steady_options())


def _fields(
    path: str | Path, config: ContextBatchConfig, split: str, number: int
) -> tf.data.Dataset:
    """Batches of clean fields of one set, in an order of the seed's."""
    spec: Any = load_split(path, split).element_spec
    scattering = "scale" in spec

    def clean(example: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        maps = example["maps"]
        if scattering:
            maps = maps * example["scale"][:, None, None]
            about = maps - tf.reduce_mean(maps, (1, 2), keepdims=True)
            # Noise is measured by the waves, not by a step among them.
            unit = example.get("spread", tf.math.reduce_std(about))
            maps = tf.math.divide_no_nan(about, unit)
        return {
            "maps": maps,
            "ring": 2 * example["wave_numbers"],
            "positions": example["positions"],
            "scattering": tf.constant(scattering),
        }

    def shuffled(
        i: tf.Tensor, window: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        seed = tf.stack([tf.constant(config.seed + number, tf.int64), i])
        order = tf.random.experimental.stateless_shuffle(
            tf.range(tf.shape(window["maps"])[0]), seed
        )
        return {k: tf.gather(v, order) for k, v in window.items()}

    padding = {
        "maps": 0.0,
        "ring": 0.0,
        "positions": np.float32(np.nan),
        "scattering": False,
    }
    fields = load_split(path, split).map(clean).repeat()
    windows = fields.padded_batch(_WINDOW, padding_values=padding).enumerate()
    return (
        windows.map(shuffled)
        .unbatch()
        .batch(config.batch_size, drop_remainder=True)
    )


def _measured(
    batch: dict[str, tf.Tensor], config: ContextBatchConfig, index: tf.Tensor
) -> dict[str, tf.Tensor]:
    """Turn, crop, choose maps and let an instrument at them."""
    seed = tf.stack([tf.constant(config.seed, tf.int64), index])
    seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 6))
    maps, positions = turned(batch["maps"], batch["positions"], seeds[0])
    size = _one_of(config.sizes_px, seeds[1])
    maps, positions = cropped(maps, positions, size, seeds[2])
    kept = _one_of(config.voltages, seeds[3])
    order = tf.random.experimental.stateless_shuffle(
        tf.range(tf.shape(maps)[1]), seeds[4]
    )
    chosen = tf.sort(order[:kept])
    maps = tf.gather(maps, chosen, axis=1)
    ring = tf.gather(batch["ring"], chosen, axis=1)
    clean = maps, ring, positions
    maps, told, positions = tf.cond(
        batch["scattering"][0],
        lambda: augmented(*clean, config.effects, seeds[5]),
        lambda: augmented(*clean, config.equation_3, seeds[5]),
    )
    return {"maps": maps, "ring": told, "positions": positions}


def _one_of(values: Sequence[int], seed: tf.Tensor) -> tf.Tensor:
    which = tf.random.stateless_uniform((), seed, 0, len(values), tf.int32)
    return tf.gather(tf.constant(list(values)), which)
