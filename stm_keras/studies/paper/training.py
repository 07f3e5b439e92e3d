"""One training of a study, scored after every epoch."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from stm_keras.nn.model import ImpurityFinder, wang2020
from stm_keras.simulation.friedel import (
    FriedelConfig,
    FriedelFields,
    simulate_friedel,
)
from stm_keras.studies.paper.experiments import Draw, Experiments, surrogate
from stm_keras.studies.paper.scores import (
    entropy,
    field_threshold,
    frame_counts,
    log_softmax,
    read_signs,
    score_in_paper_tiles,
    score_layers,
)
from stm_keras.studies.paper.settings import TILE_PX, RunSettings
from stm_keras.training.batches import label_maps

N_VALIDATION = 128
_VALIDATION = 10**6
"""In the place of the epoch in the seed of the validation fields."""


class Run(NamedTuple):
    """What a training leaves.

    Attributes:
        points: a row an epoch and set of experiments ("shown", "unseen").
        frames: a row an experiment, after the last epoch.
        weights: of every epoch, lists of arrays in the network's order.
    """

    points: list[dict[str, Any]]
    frames: list[dict[str, Any]]
    weights: list[list[np.ndarray]]


def pin_to_one_thread() -> None:
    """Make TensorFlow repeat itself bit for bit; call before its first use.

    Sums depend on the order of their terms, and so on the number of threads:
    deterministic operations alone are not enough.
    """
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    tf.config.experimental.enable_op_determinism()


def train_run(
    settings: RunSettings,
    experiments: Experiments,
    *,
    report: Callable[[str], None] = lambda line: None,
) -> Run:
    """Train once and score every epoch.

    Args:
        settings: of the training.
        experiments: what it is scored on, `shown` also feeding the entropy.
        report: given a line an epoch.
    """
    keras.utils.set_random_seed(settings.seed)
    model = wang2020(settings.alpha, **settings.network)
    model.compile(optimizer=keras.optimizers.Adam(settings.learning_rate))
    model.optimizer.build(model.trainable_variables)
    step = tf.function(model.train_step)
    tiles = np.concatenate([draw.tiles for draw in experiments.shown])
    judge = Judge(model, settings, experiments)
    run = Run([], [], [])
    for epoch in range(1, settings.epochs + 1):
        for metric in model.metrics:
            metric.reset_state()
        for batch in _batches(settings, epoch, tiles):
            step(batch)
        losses = {m.name: float(m.result()) for m in model.metrics}
        rows = judge.rows()
        shared = {"epoch": epoch, "train_l0": losses["l0"]}
        run.points.extend(shared | row for row in rows)
        run.weights.append(model.network.get_weights())
        report(
            f"epoch {epoch}: L0 {losses['l0']:.3f}, hit ratio "
            f"{rows[0]['hit_ratio_em']:.3f}"
        )
    run.frames.extend(judge.frames())
    return run


def fields(settings: RunSettings, epoch: int, n: int) -> FriedelFields:
    """Simulated fields (Eq. 3) of an epoch, with the run's noise.

    They depend on the seed and the epoch alone: all arms get the same fields,
    with noise of their own width.
    """
    config = FriedelConfig(
        size_px=TILE_PX, n_voltages=settings.experiment.n_voltages
    )
    rng = np.random.default_rng([settings.seed, epoch])
    clean = simulate_friedel(config, rng, n)
    if not settings.noise:
        return clean
    noise = rng.standard_normal(clean.maps.shape, np.float32)
    return clean._replace(maps=clean.maps + settings.noise * noise)


def _batches(
    settings: RunSettings, epoch: int, tiles: np.ndarray
) -> Sequence[dict[str, tf.Tensor]]:
    size = settings.batch_size
    drawn = fields(settings, epoch, size * settings.steps)
    label = label_maps(_padded(drawn.positions), TILE_PX)
    maps = tf.constant(drawn.maps)
    rng = np.random.default_rng([settings.seed, epoch, 1])
    batches = []
    for i in range(settings.steps):
        part = slice(i * size, (i + 1) * size)
        batch = {"maps": maps[part], "label": label[part]}
        if settings.alpha > 0:
            which = rng.integers(len(tiles), size=settings.experiment_batch)
            batch["experiment"] = tf.constant(tiles[which])
        batches.append(batch)
    return batches


def _padded(positions: Sequence[np.ndarray]) -> tf.Tensor:
    """Positions of several fields, float32 [B, n, 2], filled up with NaN."""
    most = max(map(len, positions))
    padded = np.full((len(positions), most, 2), np.nan, np.float32)
    for i, points in enumerate(positions):
        padded[i, : len(points)] = points
    return tf.constant(padded)


class Judge:
    """Scores a network that is being trained.

    Args:
        model: the network, as it is when it is asked.
        settings: of its training.
        experiments: what it is scored on.
    """

    def __init__(
        self,
        model: ImpurityFinder,
        settings: RunSettings,
        experiments: Experiments,
    ) -> None:
        self.model = model
        self.sets = {"shown": experiments.shown, "unseen": experiments.unseen}
        self.validation = fields(settings, _VALIDATION, N_VALIDATION)
        rng = np.random.default_rng([settings.experiment.seed, _VALIDATION])
        self.surrogates = [
            surrogate(draw.maps, rng) for draw in experiments.shown
        ]
        self.forward = tf.function(partial(model, training=False))

    def score_tiles(self, tiles: np.ndarray) -> np.ndarray:
        """S [n, L, L] of tiles [n, V, L, L]."""
        return self.forward(tf.constant(tiles)).numpy()

    def rows(self) -> list[dict[str, Any]]:
        """Scores of every set of experiments, and the signs of the shown."""
        scores = self.score_tiles(self.validation.maps)
        self.threshold = field_threshold(scores, self.validation.positions)
        label = label_maps(_padded(self.validation.positions), TILE_PX).numpy()
        shared = {
            "val_l0": _cross_entropy(label, scores),
            "threshold": self.threshold,
        }
        return [
            {"set": name} | shared | self._row(name)
            for name, draws in self.sets.items()
            if draws
        ]

    def _row(self, name: str) -> dict[str, float]:
        draws = self.sets[name]
        stacks = [draw.maps for draw in draws]
        layers = [score_in_paper_tiles(s, self.score_tiles) for s in stacks]
        row = score_layers(layers, draws, self.threshold)
        row["entropy"] = entropy(layers)
        if name == "shown":  # a user has no other
            row |= read_signs(
                layers,
                stacks,
                self.surrogates,
                self.score_tiles,
                self.threshold,
            )._asdict()
        return row

    def frames(self) -> list[dict[str, Any]]:
        """Counts of each experiment, at the threshold of the last `rows`."""
        return [
            {"set": name, "draw": number}
            | frame_counts(self._layer(draw), draw, self.threshold)
            for name, draws in self.sets.items()
            for number, draw in enumerate(draws)
        ]

    def _layer(self, draw: Draw) -> np.ndarray:
        return score_in_paper_tiles(draw.maps, self.score_tiles)


def _cross_entropy(label: np.ndarray, scores: np.ndarray) -> float:
    """Mean of L0 over fields [nat]."""
    log_y = log_softmax(scores)
    return float(-(label.reshape(len(label), -1) * log_y).sum(axis=1).mean())
