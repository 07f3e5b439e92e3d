"""Batches for the network `context`: stored fields, measured anew each time."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.training.augmentation import (
    AugmentationRanges,
    augmented,
    cropped,
    turned,
)
from stm_keras.training.datasets import (
    load_split,
    open_prepared,
    steady_options,
)

_WINDOW = 512
_PARALLEL_CALLS = 2
_KEPT_GRAPHS = 16

Batch = dict[str, tf.Tensor]
_CLEAN = {
    "maps": tf.TensorSpec([None, None, None, None]),
    "ring": tf.TensorSpec([None, None]),
    "positions": tf.TensorSpec([None, None, 2]),
    "covered": tf.TensorSpec([None, None, None], tf.bool),
    "scattering": tf.TensorSpec([None], tf.bool),
}

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
    double_share=0.0,
    hum=(0.0, 0.0),
    inverted_share=0.0,
    uneven_share=0.0,
    missing_share=0.05,
    holes_share=0.0,
    clipped_share=0.0,
    covered_share=0.0,
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
                "The share of surrogate maps must lie between 0 and 1. "
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
        network is given it, and `positions` float32 [B, n, 2] [px], padded
        with NaN, those up to `BESIDE_PX` beside the crop among them.
    """
    if not paths or min(share for _, share in paths) < 1:
        raise InputError("Give at least one data set, each with a weight >= 1.")
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
            _measuring(config, {_is_scattering(path) for path, _ in paths}),
            num_parallel_calls=_PARALLEL_CALLS,
            deterministic=True,
        )
    )
    return measured.prefetch(4).with_options(steady_options())


def _is_scattering(path: str | Path) -> bool:
    """Whether a set's fields are of multiple scattering, not of Eq. 3."""
    return "scale" in open_prepared(path).info.features


def _fields(
    path: str | Path, config: ContextBatchConfig, split: str, number: int
) -> tf.data.Dataset:
    """Batches of clean fields of one set, in an order of the seed's."""
    scattering = _is_scattering(path)

    def clean(example: Batch) -> Batch:
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
            # Sets of an earlier version, and Eq. 3, have nothing of the kind.
            "covered": example.get(
                "covered", tf.zeros(tf.shape(maps)[1:], tf.bool)
            ),
            "scattering": tf.constant(scattering),
        }

    def shuffled(i: tf.Tensor, window: Batch) -> Batch:
        seed = tf.stack([tf.constant(config.seed + number, tf.int64), i])
        order = tf.random.experimental.stateless_shuffle(
            tf.range(tf.shape(window["maps"])[0]), seed
        )
        return {k: tf.gather(v, order) for k, v in window.items()}

    padding = {
        "maps": 0.0,
        "ring": 0.0,
        "positions": np.float32(np.nan),
        "covered": False,
        "scattering": False,
    }
    fields = load_split(path, split).map(clean).repeat()
    windows = fields.padded_batch(_WINDOW, padding_values=padding).enumerate()
    return (
        windows.map(shuffled)
        .unbatch()
        .batch(config.batch_size, drop_remainder=True)
    )


def _measuring(
    config: ContextBatchConfig, kinds: set[bool]
) -> Callable[[tf.Tensor, Batch], Batch]:
    """Measures the batch of a number.

    Args:
        config: of the batches.
        kinds: which fields there are: True for those of multiple scattering,
            False for those of Eq. 3.
    """
    instrument = _instrument(
        config.effects if True in kinds else None,
        config.equation_3 if False in kinds else None,
    )

    def measured(index: tf.Tensor, batch: Batch) -> Batch:
        seed = tf.stack([tf.constant(config.seed, tf.int64), index])
        made = instrument(
            batch,
            seed,
            tf.constant(config.sizes_px),
            tf.constant(config.voltages),
        )
        for tensor in made.values():  # the graph is for batches of any size
            tensor.set_shape([config.batch_size, *tensor.shape[1:]])
        return made

    return measured


@functools.lru_cache(maxsize=_KEPT_GRAPHS)
def _instrument(
    effects: AugmentationRanges | None, equation_3: AugmentationRanges | None
) -> Callable[[Batch, tf.Tensor, tf.Tensor, tf.Tensor], Batch]:
    """One graph for all pipelines with these effects, whatever else they draw.

    To make it takes seconds, and a training with its calibration and tests
    has many pipelines, which differ in their seeds and numbers of maps.

    Args:
        effects: of fields of multiple scattering; None where there are none.
        equation_3: of fields of Eq. 3; None where there are none.

    Returns:
        Makes a measured batch of a clean one, a seed int64 [2], and the sides
        of the crop [px] and the numbers of maps to draw from, int32 [n].
    """

    def measured(
        batch: Batch, seed: tf.Tensor, sizes_px: tf.Tensor, voltages: tf.Tensor
    ) -> Batch:
        seeds = tf.unstack(tf.random.experimental.stateless_split(seed, 6))
        maps, ring, positions, covered = _chosen(
            batch, sizes_px, voltages, seeds
        )
        clean = maps, ring, positions
        first = effects or equation_3 or AugmentationRanges()
        second = equation_3 or first
        if first is second:
            made = augmented(*clean, first, seeds[5], covered)
        else:
            made = tf.cond(
                batch["scattering"][0],
                lambda: augmented(*clean, first, seeds[5], covered),
                lambda: augmented(*clean, second, seeds[5], covered),
            )
        return dict(zip(("maps", "ring", "positions"), made, strict=True))

    numbers = tf.TensorSpec([None], tf.int32)
    signature = (_CLEAN, tf.TensorSpec([2], tf.int64), numbers, numbers)
    return tf.function(measured, input_signature=signature, autograph=False)


def _chosen(
    batch: Batch,
    sizes_px: tf.Tensor,
    voltages: tf.Tensor,
    seeds: Sequence[tf.Tensor],
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor, tf.Tensor]:
    """Some maps of turned and cropped fields, with all that belongs to them."""
    # What is covered is turned and cut as one more map.
    covered = tf.cast(batch["covered"], tf.float32)[:, None]
    maps = tf.concat([batch["maps"], covered], axis=1)
    maps, positions = turned(maps, batch["positions"], seeds[0])
    size = _one_of(sizes_px, seeds[1])
    maps, positions = cropped(maps, positions, size, seeds[2])
    maps, covered = maps[:, :-1], maps[:, -1] > 0.5
    kept = _one_of(voltages, seeds[3])
    order = tf.random.experimental.stateless_shuffle(
        tf.range(tf.shape(maps)[1]), seeds[4]
    )
    chosen = tf.sort(order[:kept])
    maps = tf.gather(maps, chosen, axis=1)
    ring = tf.gather(batch["ring"], chosen, axis=1)
    return maps, ring, positions, covered


def _one_of(values: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    which = tf.random.stateless_uniform(
        (), seed, 0, tf.shape(values)[0], tf.int32
    )
    return tf.gather(values, which)
