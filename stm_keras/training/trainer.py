"""One trainer: a network is a recipe.

`fit` is the way of every training: check, train with checkpoints, keep one of
them, publish. What differs between networks is in a `Recipe`.
"""

import abc
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.files import finish
from stm_keras.models.card import ModelCard, read_card
from stm_keras.nn.model import ImpurityFinder, in_float32
from stm_keras.system import Progress, no_progress
from stm_keras.training.datasets import reading
from stm_keras.training.log import (
    BOARD,
    FILES,
    Keep,
    TrainingLog,
    is_finished,
    only_one,
    training_directory,
)

Verbosity = Literal["bar", "lines", "silent"]
KERAS_VERBOSE: dict[Verbosity, Any] = {"bar": 1, "lines": 2, "silent": 0}


class Recipe(abc.ABC):
    """What decides how one network is trained and published.

    `check` comes first, and nothing is written before it has passed.

    Attributes:
        out: directory of the model.
        keep: which checkpoint the model is made of.
    """

    out: Path
    keep: Keep

    @abc.abstractmethod
    def course(self) -> dict[str, Any]:
        """The options that decide how the training goes, as plain values."""

    @abc.abstractmethod
    def check(self) -> None:
        """Refuse data, start or experiment that cannot be used.

        Raises:
            InputError: saying which, and why.
        """

    @property
    @abc.abstractmethod
    def data(self) -> Path:
        """The data set that an error while reading is about."""

    @property
    @abc.abstractmethod
    def steps(self) -> int:
        """Optimizer steps from one checkpoint to the next."""

    @property
    @abc.abstractmethod
    def checkpoints(self) -> int:
        """How many there are in all; 0 trains nothing."""

    @abc.abstractmethod
    def new_model(self) -> ImpurityFinder:
        """A compiled model to begin with."""

    @abc.abstractmethod
    def batches(self, done: int) -> tf.data.Dataset:
        """Batches of the training, behind those of `done` checkpoints."""

    @abc.abstractmethod
    def validation(self) -> tf.data.Dataset:
        """The held-out batches that checkpoints are compared on."""

    @abc.abstractmethod
    def publish(
        self, model: ImpurityFinder, log: TrainingLog, progress: Progress
    ) -> ModelCard:
        """Test a trained network and write its directory.

        Args:
            model: the network of the checkpoint to keep.
            log: of its training.
            progress: told the number of stages done and of all.
        """

    def untrained(self) -> ImpurityFinder:
        """What is published where there are no checkpoints."""
        return self.new_model()

    def asked(self) -> dict[str, Any]:
        """The options by which a finished model is known again."""
        return self.course()


def fit(
    recipe: Recipe,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbosity: Verbosity = "silent",
    progress: Progress = no_progress,
) -> ModelCard:
    """Train, test and write a model.

    Args:
        recipe: what to train on, and how.
        resume: continue a training that was stopped.
        overwrite: discard what `recipe.out` holds.
        verbosity: Keras's progress bar, its lines, or nothing.
        progress: of the test after the training: stages done and of all.

    Returns:
        The card that was written beside the SavedModel.

    Raises:
        InputError: for anything wrong with the data, the start, the
            experiment or the directory, before anything is written.
    """
    recipe.check()
    if resume and is_finished(recipe.out, recipe.asked()):
        return read_card(recipe.out)
    finish(recipe.out)
    directory = training_directory(recipe.out, resume, overwrite)
    with only_one(directory):
        log = TrainingLog(directory, recipe.course(), recipe.steps)
        model = train(recipe, log, resume=resume, verbosity=verbosity)
        return recipe.publish(model, log, progress)


def train(
    recipe: Recipe,
    log: TrainingLog,
    *,
    resume: bool = False,
    verbosity: Verbosity = "silent",
) -> ImpurityFinder:
    """Train a network.

    Args:
        recipe: what to train on, and how.
        log: of the training.
        resume: continue from the log's last checkpoint.
        verbosity: Keras's progress bar, its lines, or nothing.

    Returns:
        The network of the checkpoint to keep.

    Raises:
        InputError: where the training diverged.
    """
    if not recipe.checkpoints:
        return recipe.untrained()
    model = (log.resume() if resume else None) or recipe.new_model()
    with reading(recipe.data):
        _run(model, recipe, log, verbosity)
    if not np.isfinite(log.kept(recipe.keep)["val_l0"]):
        raise InputError(
            "The training diverged: its loss is no number. Start anew with "
            "--overwrite and a smaller --learning-rate."
        )
    # Without the optimizer, whose state is twice as large as the weights.
    path = log.directory / FILES[recipe.keep]
    kept = keras.saving.load_model(path, compile=False)
    assert isinstance(kept, ImpurityFinder)
    return in_float32(kept)


def _run(
    model: ImpurityFinder,
    recipe: Recipe,
    log: TrainingLog,
    verbosity: Verbosity,
) -> None:
    done = len(log.history)
    if done >= recipe.checkpoints:
        return
    # Made in the first step, its variables would have that traced twice.
    model.optimizer.build(model.trainable_variables)
    model.fit(
        recipe.batches(done),
        epochs=recipe.checkpoints,
        initial_epoch=done,
        steps_per_epoch=recipe.steps,
        validation_data=recipe.validation(),
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.TensorBoard(
                str(log.directory / BOARD), write_graph=False
            ),
            log,
        ],
        verbose=KERAS_VERBOSE[verbosity],
        shuffle=False,  # the pipeline does
    )


def with_experiment(
    batches: tf.data.Dataset, experiment: tf.data.Dataset
) -> tf.data.Dataset:
    """Batches that carry one of an experiment for the entropy loss.

    Its q is not given: it is part of what is doubted.

    Args:
        batches: of the training.
        experiment: maps [M, V, size, size].
    """
    return tf.data.Dataset.zip(batches, experiment).map(
        lambda batch, maps: batch | {"experiment": maps}
    )
