"""How stored examples become batches, and whether a data set can serve it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_keras.data.prepared import open_prepared
from stm_keras.errors import InputError


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


def check_voltages(path: str | Path, counts: Sequence[int]) -> None:
    """Refuse numbers of voltages that the data set does not have.

    Raises:
        InputError: for the first such number.
    """
    n_voltages = maps_shape(path)[0]
    for count in counts:
        if count > n_voltages:
            raise InputError(
                f"The data set in {path} has {n_voltages} maps an example: "
                f"cannot train with {count}."
            )
