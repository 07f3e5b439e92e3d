"""Guard an adaptation: what the start did better is not given away."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import tensorflow as tf

from stm_keras.detector import ContextDetector
from stm_keras.errors import InputError
from stm_keras.fitting.adaptation_figures import Adaptation, Figures
from stm_keras.fitting.context_calibration import Calibrated, calibrate
from stm_keras.fitting.context_config import ContextFitConfig
from stm_keras.fitting.context_start import Start, uncalibrated
from stm_keras.fitting.experiment import Experiment
from stm_keras.models.card import ModelCard, ProbabilitySelection
from stm_keras.models.export import signatures_of
from stm_keras.nn.losses import entropy
from stm_keras.nn.model import ImpurityFinder
from stm_keras.simulation.surrogates import phase_surrogate

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
        self, model: ImpurityFinder, config: ContextFitConfig
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
    """How many surrogates are made of each stack of an experiment."""
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
    return ContextDetector(card, signatures_of(ready.model, card, ready.ground))


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
