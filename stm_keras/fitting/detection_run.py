"""What a network `context` finds on held-out fields, beside the truth."""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.data.context_pipeline import ContextBatchConfig, context_batches
from stm_keras.detections import match
from stm_keras.nn.calibration import Neighbourhoods
from stm_keras.nn.decoding import find_detections, joined_logits
from stm_keras.nn.model import ImpurityFinder
from stm_keras.nn.output import MOST_MAPS
from stm_keras.simulation.scene import in_frame

TOLERANCE_PX = 1.0
LEAST_PROBABILITY = 0.02
"""Detections less sure than this are not looked at."""


class FieldResult(NamedTuple):
    """One field.

    Attributes:
        n_maps: number of its maps.
        truth: row, column [px], float64 [n, 2].
        positions: of the detections, float64 [m, 2].
        neighbourhoods: of the detections.
        probabilities: of the detections, float64 [m].
    """

    n_maps: int
    truth: np.ndarray
    positions: np.ndarray
    neighbourhoods: Neighbourhoods
    probabilities: np.ndarray


class HeldOut(NamedTuple):
    """All fields of a run.

    Attributes:
        fields: what was found in each.
        features: what each looks like to the network, float32 [n, f].
    """

    fields: list[FieldResult]
    features: np.ndarray

    def joined(self) -> Neighbourhoods:
        """Detections of all fields together."""
        parts = [field.neighbourhoods for field in self.fields]
        return Neighbourhoods(
            *(np.concatenate(column) for column in zip(*parts, strict=True))
        )


class Look:
    """A network as one graph, for stacks of every number and size of maps.

    Args:
        model: the network; what is changed of it later does not count.
    """

    def __init__(self, model: ImpurityFinder) -> None:
        self.model = model
        shapes = tf.TensorSpec([None] * 4), tf.TensorSpec([None, None])
        self._graph = tf.function(
            self._look, input_signature=shapes, autograph=False
        )

    def __call__(
        self, maps: tf.Tensor, ring: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """The network's answer, and what the maps look like to it, [B, f].

        Args:
            maps: float32 [B, V, H, W].
            ring: 2k [rad/px], float32 [B, V].
        """
        return self._graph(maps, ring)

    def _look(
        self, maps: tf.Tensor, ring: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return (
            self.model(maps, ring, training=False),
            self.model.network.describe(maps, ring),
        )


def run_held_out(
    look: Look,
    data: Sequence[tuple[str | Path, int]],
    batches: ContextBatchConfig,
    *,
    split: str,
    n_batches: int,
    seed: int,
) -> HeldOut:
    """Find impurities in held-out fields, for every number of maps in turn.

    Args:
        look: the network.
        data: prepared data sets with their shares.
        batches: of the training.
        split: "validation" or "test".
        n_batches: batches for each number of maps.
        seed: of the instrument's effects; another than the training's.

    Returns:
        What was found.
    """
    fields: list[FieldResult] = []
    features: list[np.ndarray] = []
    for n_maps in sorted(set(batches.voltages)):
        config = replace(batches, voltages=(n_maps,), seed=seed + n_maps)
        stream = context_batches(data, config, split=split).take(n_batches)
        for batch in stream:
            output, described = look(batch["maps"], batch["ring"])
            features.append(described.numpy())
            fields += _results(output.numpy(), batch["positions"], n_maps)
    order = np.random.default_rng(seed).permutation(sum(map(len, features)))
    return HeldOut(fields, np.concatenate(features)[order])


def _results(
    outputs: np.ndarray, positions: tf.Tensor, n_maps: int
) -> Iterator[FieldResult]:
    for output, places in zip(outputs, positions.numpy(), strict=True):
        # Padding is NaN, and lies nowhere.
        inside = in_frame(places, output.shape[:2])
        truth = places[inside].astype(np.float64)
        found = find_detections(output, LEAST_PROBABILITY)
        pairs = match(found.positions, truth, TOLERANCE_PX).pairs
        correct = np.zeros(len(found.positions), bool)
        correct[pairs[:, 0]] = True
        z = np.full((len(found.positions), 2), np.nan)
        error = found.positions[pairs[:, 0]] - truth[pairs[:, 1]]
        z[pairs[:, 0]] = error / found.deviations[pairs[:, 0]]
        seen = Neighbourhoods(
            joined_logits(output, found.pixels),
            np.full(len(correct), np.log2(min(n_maps, MOST_MAPS))),
            correct,
            z,
        )
        yield FieldResult(
            n_maps, truth, found.positions, seen, found.probabilities
        )
