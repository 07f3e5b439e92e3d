"""Guard an adaptation: what the start did better is not given away."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

from stm_keras.detector import ContextDetector
from stm_keras.errors import InputError
from stm_keras.models.card import ModelCard, ProbabilitySelection, read_card
from stm_keras.models.export import load_weights, signatures_of
from stm_keras.nn.calibration import read_distribution
from stm_keras.nn.context import Context
from stm_keras.nn.losses import entropy
from stm_keras.nn.model import ImpurityFinder, context
from stm_keras.simulation.surrogates import phase_surrogate
from stm_keras.training.config import ContextConfig
from stm_keras.training.experiment import Experiment
from stm_keras.training.held_out import Calibrated, calibrate


class Start(NamedTuple):
    """A model that a training starts from.

    Attributes:
        ready: as it is used.
        card: its card.
    """

    ready: Calibrated
    card: ModelCard


def read_start(directory: Path) -> Start:
    """Read a model to start from.

    Args:
        directory: of the model.

    Raises:
        InputError: where it is none of `Context`, or damaged.
    """
    model = load_weights(directory)
    if not isinstance(model.network, Context):
        raise InputError(
            f"--init {directory} is a model of "
            f"{type(model.network).__name__}; `--network context` starts from "
            "one of Context."
        )
    card = read_card(directory)
    if not isinstance(card.selection, ProbabilitySelection):
        raise InputError(
            f"The card of --init {directory} has no threshold: restore it or "
            "train the model again."
        )
    threshold = card.selection.threshold
    return Start(
        Calibrated(model, threshold, read_distribution(directory)), card
    )


def uncalibrated(model: ImpurityFinder, alpha: float = 0.0) -> ImpurityFinder:
    """A copy of a model with `Context`, ready for training.

    Args:
        model: whose sizes and weights it has.
        alpha: see `ImpurityFinder`.
    """
    return grown(model, (), alpha)


def grown(
    model: ImpurityFinder,
    dilations: tuple[int, ...],
    alpha: float = 0.0,
    dtype: str = "float32",
) -> ImpurityFinder:
    """A copy with more blocks behind the decoder's, ready for training.

    Their weights are 0, so that the answer is that of the model until they
    are trained: a block gives back what it is given and adds to it
    (T. Chen, I. Goodfellow and J. Shlens, Net2Net, arXiv:1511.05641).

    Args:
        model: with `Context`, whose weights it has.
        dilations: of the blocks [px].
        alpha: see `ImpurityFinder`.
        dtype: Keras's policy of the copy.
    """
    sizes = model.network.sizes
    blocks = (*sizes["decoder_dilations"], *dilations)
    copy = context(alpha, dtype, **{**sizes, "decoder_dilations": blocks})
    weights = model.get_weights()
    *_, last = copy.network.decoder.blocks
    added = [np.zeros_like(weight) for weight in last.get_weights()]
    # In the order in which they are made: the decoder's head is the last.
    head = len(weights) - len(copy.network.decoder.head.get_weights())
    weights[head:head] = len(dilations) * added
    copy.set_weights(weights)
    return copy


LOSS_MARGIN = 0.01
"""The loss on held-out fields may rise by this share of itself: about what
the last 500 steps of a long training gain."""


class Figures(NamedTuple):
    """A network before or after fine-tuning on an experiment.

    Attributes:
        held_out_loss: L0 on held-out simulated fields [nat].
        entropy: Lreg on the experiment, as the training sees it [nat].
        detections: in the experiment at the network's threshold; None for a
            network without one, as it could not be calibrated.
        in_surrogates: the same in a phase surrogate of the experiment, where
            all are false; a mean.
    """

    held_out_loss: float
    entropy: float
    detections: int | None
    in_surrogates: float | None


@dataclass(frozen=True)
class Adaptation:
    """Before, after, and what follows.

    Attributes:
        before: the network that the training started from.
        after: the adapted one.
        surrogates: number of phase-randomised surrogate maps of it.
        refusal: why the adapted network could not be calibrated, if so.
    """

    before: Figures
    after: Figures
    surrogates: int
    refusal: str | None = None

    @property
    def objections(self) -> list[str]:
        """Why the adapted network must not take the start's place."""
        found = [self.refusal] if self.refusal else []
        loss, now = self.before.held_out_loss, self.after.held_out_loss
        if not now <= loss + LOSS_MARGIN * abs(loss):
            found.append(
                f"its loss on held-out fields rose from {loss:.2f} to "
                f"{now:.2f} nat, more than {LOSS_MARGIN:.0%}"
            )
        false, more = self.before.in_surrogates, self.after.in_surrogates
        if false is None or more is None:
            return found
        # Counts: a difference below its standard error may be chance.
        chance = math.sqrt((false + more) / self.surrogates)
        if more - false > chance:
            found.append(
                f"it finds {more:.2f} impurities in a phase-randomised "
                f"surrogate of the experiment, where there is none, the "
                f"start {false:.2f}"
            )
        return found

    @property
    def shipped(self) -> str:
        """Which network ships: "adapted", or "start"."""
        return "start" if self.objections else "adapted"

    def as_dict(self) -> dict[str, Any]:
        """For the card, as plain values."""
        return {
            "shipped": self.shipped,
            "objections": self.objections,
            "loss_margin": LOSS_MARGIN,
            "surrogates": self.surrogates,
            "before": self.before._asdict(),
            "after": self.after._asdict(),
        }


_MOST_STACKS = 8
_MOST_TILES = 64
_SURROGATES = 10
_TILES_AT_ONCE = 8


@dataclass(frozen=True, eq=False)
class Guard:
    """Puts the start in the place of an adapted network that is worse.

    Attributes:
        start: what the training started from.
        losses: L0 of the start and of the adapted network on the same
            held-out batches [nat].
        experiment: what the network was adapted to.
    """

    start: Start
    losses: tuple[float, float]
    experiment: Experiment

    def choose(
        self, model: ImpurityFinder, config: ContextConfig
    ) -> tuple[Calibrated, Adaptation]:
        """Calibrate an adapted network, and `compare` it.

        Args:
            model: the network; its calibration is set.
            config: of its training.
        """
        try:
            adapted = calibrate(model, config)
        except InputError as error:
            lreg = mean_entropy(model, self.experiment.tiles)
            after = Figures(self.losses[1], lreg, None, None)
            reason = f"it cannot be calibrated ({error})"
            return self.start.ready, self._change(after, reason)
        return self.compare(adapted)

    def compare(self, adapted: Calibrated) -> tuple[Calibrated, Adaptation]:
        """The network that ships, and the figures that say why.

        Args:
            adapted: as it would ship.
        """
        after = self._figures(adapted, self.losses[1])
        adaptation = self._change(after)
        kept = self.start.ready if adaptation.objections else adapted
        return kept, adaptation

    def _change(self, after: Figures, refusal: str | None = None) -> Adaptation:
        before = self._figures(self.start.ready, self.losses[0])
        each = surrogates_each(self.experiment)
        return Adaptation(before, after, each, refusal)

    def _figures(self, ready: Calibrated, loss: float) -> Figures:
        detector = detector_of(ready, self.start.card)
        return figures_of(detector, ready.model, loss, self.experiment)


def figures_of(
    detector: ContextDetector,
    model: ImpurityFinder,
    loss: float,
    experiment: Experiment,
) -> Figures:
    """What a network makes of an experiment.

    Args:
        detector: see `detector_of`.
        model: of the same network.
        loss: its L0 on held-out batches [nat].
        experiment: the experiment.
    """
    rng = np.random.default_rng(0)  # the same surrogates of every network
    each = surrogates_each(experiment)
    stacks = _evenly(experiment.stacks, _MOST_STACKS)
    own = sum(_count(detector, *stack) for stack in stacks)
    false = sum(
        _count(detector, phase_surrogate(maps, rng), ring)
        for maps, ring in stacks
        for _ in range(each)
    )
    lreg = mean_entropy(model, experiment.tiles)
    return Figures(loss, lreg, own, false / each)


def surrogates_each(experiment: Experiment) -> int:
    """How many surrogate maps are made of each stack of an experiment."""
    n_stacks = min(len(experiment.stacks), _MOST_STACKS)
    return -(-_SURROGATES // n_stacks)


def detector_of(ready: Calibrated, card: ModelCard) -> ContextDetector:
    """A finder of a network in memory.

    Args:
        ready: the network.
        card: of a network of the same sizes; its threshold does not count.
    """
    assert isinstance(card.selection, ProbabilitySelection)
    selection = replace(card.selection, threshold=ready.threshold)
    card = replace(card, selection=selection)
    return ContextDetector(
        card, signatures_of(ready.model, card, ready.distribution)
    )


def held_out_loss(model: ImpurityFinder, batches: tf.data.Dataset) -> float:
    """L0 of a network on held-out batches, as a training takes it [nat].

    Args:
        model: with the network; its calibration does not count.
        batches: see `ImpurityFinder`; a finite number.
    """
    copy = uncalibrated(model)
    copy.compile()
    quiet: Any = 0  # the annotation knows its names alone
    results: Any = copy.evaluate(batches, verbose=quiet, return_dict=True)
    return float(results["l0"])


def mean_entropy(model: ImpurityFinder, tiles: Iterable[np.ndarray]) -> float:
    """Lreg (arXiv:2006.15898, Eq. 4) of an experiment [nat].

    Args:
        model: with the network; its calibration does not count.
        tiles: float32 [V, size, size], all of one shape; evenly spaced ones
            are taken of many.
    """
    chosen = np.stack(_evenly(tuple(tiles), _MOST_TILES))

    @tf.function(reduce_retracing=True, autograph=False)
    def of_batch(maps: tf.Tensor) -> tf.Tensor:
        # In training an answer is not calibrated.
        return entropy(model.network.score(model(maps, training=True)))

    starts = range(0, len(chosen), _TILES_AT_ONCE)
    parts = [
        of_batch(tf.constant(chosen[i : i + _TILES_AT_ONCE])) for i in starts
    ]
    return float(tf.reduce_mean(tf.concat(parts, axis=0)))


def _count(
    detector: ContextDetector, maps: np.ndarray, ring: np.ndarray
) -> int:
    found = detector.detect(maps, ring)
    row, col = found.pixels.T
    measured = np.isfinite(maps[:, row, col]).any(axis=0)
    least = detector.least_kept(found.probabilities[measured])
    return int(((found.probabilities >= least) & measured).sum())


def _evenly(items: tuple[Any, ...], most: int) -> tuple[Any, ...]:
    """At most so many of them, evenly spaced."""
    if len(items) <= most:
        return items
    return tuple(
        items[i] for i in np.linspace(0, len(items) - 1, most, dtype=int)
    )
