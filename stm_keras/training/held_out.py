"""What a network `context` finds on held-out fields, beside the truth."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.detections import match
from stm_keras.nn.calibration import (
    FIELDS_A_FEATURE,
    Neighbourhoods,
    TrainingDistribution,
    fit_calibration,
    fit_distribution,
)
from stm_keras.nn.context import N_ROTATIONS
from stm_keras.nn.decoding import find_detections, joined_logits
from stm_keras.nn.model import ImpurityFinder
from stm_keras.nn.output import MOST_MAPS, UNCALIBRATED
from stm_keras.simulation.scene import in_frame
from stm_keras.training.config import ContextConfig
from stm_keras.training.context_batches import (
    ContextBatchConfig,
    context_batches,
)

TOLERANCE_PX = 1.0
LEAST_CONSIDERED = 0.02
"""Detections less probable than this are not considered."""


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
        features: of the network for each, float32 [n, f].
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
        """The network's answer, and its features of the maps, [B, f].

        Args:
            maps: float32 [B, V, H, W].
            ring: q = 2k [rad/px], float32 [B, V].
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
        found = find_detections(output, LEAST_CONSIDERED)
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


FALSE_DISCOVERY_RATE = 0.4
PRIOR_FALSE = 0.3
LEAST_PROBABILITY = 0.4
"""See `least_kept`: one alone must be 0.9 sure, two 0.75 in the mean, many 0.6.
Another detection raises a Jaccard index of J as long as its probability is
above J / (1 + J), so that nothing is kept below 0.4, where J is 2/3. Chosen on
tuning stacks (docs/experiments.md, 13 and 14). Of all stacks together far
fewer are false than in the worst of them."""

SEED = 1_000_000
"""Of the effects on held-out fields; multiples of it for further runs."""


class Calibrated(NamedTuple):
    """A network ready to be used.

    Attributes:
        model: whose network has its calibration.
        threshold: least probability of a detection.
        distribution: features of its training fields; None where it is
            not known, as for a model from before there was one.
    """

    model: ImpurityFinder
    threshold: float
    distribution: TrainingDistribution | None


def calibrate(model: ImpurityFinder, config: ContextConfig) -> Calibrated:
    """Calibrate a network on the validation split.

    Args:
        model: the trained network; its calibration and rotations are set.
        config: of its training.

    Returns:
        The model, with `LEAST_PROBABILITY`.

    Raises:
        InputError: where the network has learnt too little to calibrate.
    """
    model.network.calibration = UNCALIBRATED
    # Training and its held-out loss look once, for the time's sake.
    model.network.rotations = N_ROTATIONS
    seen = held_out(Look(model), config, "validation", SEED)
    model.network.calibration = fit_calibration(seen.joined())
    return Calibrated(model, LEAST_PROBABILITY, fit_distribution(seen.features))


def held_out(
    look: Look,
    config: ContextConfig,
    split: str,
    seed: int,
    **effects: Any,
) -> HeldOut:
    """Find impurities in held-out fields.

    Args:
        look: the network.
        config: of its training.
        split: "validation" or "test".
        seed: of the instrument's effects.
        **effects: changes of the training's effects.
    """
    batches = replace(
        config.batches,
        effects=replace(config.batches.effects, **effects),
        equation_3=replace(config.batches.equation_3, **effects),
    )
    return run_held_out(
        look,
        config.data,
        batches,
        split=split,
        n_batches=max(config.held_out_batches, _enough(look, config.batches)),
        seed=seed,
    )


def _enough(look: Look, batches: ContextBatchConfig) -> int:
    """Batches for each number of maps for a training distribution."""
    own = look.model.network.own
    features = 2 * own.decoder_filters + own.first_filters + 1
    fields = batches.batch_size * len(set(batches.voltages))
    return math.ceil(FIELDS_A_FEATURE * features / fields)
