"""Train the paper's network on a prepared data set."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from stm_keras.data.batch_config import (
    batches_per_epoch,
    check_voltages,
    maps_shape,
)
from stm_keras.data.pipeline import (
    evaluation_batches,
    experiment_batches,
    training_batches,
)
from stm_keras.data.prepared import (
    load_split,
    reading,
)
from stm_keras.errors import InputError
from stm_keras.fitting.directory import is_finished, training_directory
from stm_keras.fitting.experiment import experiment_tiles
from stm_keras.fitting.fit_config import FitConfig
from stm_keras.fitting.publication import publish
from stm_keras.fitting.training_log import BEST, TrainingLog
from stm_keras.models.card import ModelCard, read_card
from stm_keras.nn.model import ImpurityFinder, wang2020
from stm_keras.system import Progress, no_progress

Verbosity = Literal["bar", "lines", "silent"]
KERAS_VERBOSE: dict[Verbosity, Any] = {"bar": 1, "lines": 2, "silent": 0}


def fit(
    config: FitConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbosity: Verbosity = "silent",
    progress: Progress = no_progress,
) -> ModelCard:
    """Train, test and write a model.

    Args:
        config: what to train on, and how.
        resume: continue a training that was stopped.
        overwrite: discard what `config.out` holds.
        verbosity: Keras's progress bar, its lines, or nothing.
        progress: of the test after the training: stages done and of all.

    Returns:
        The card that was written beside the SavedModel.

    Raises:
        InputError: for anything wrong with the data, the experiment or the
            directory, before anything is written.
    """
    shape = maps_shape(config.data)
    steps = batches_per_epoch(config.data, config.batches)
    check_voltages(config.data, config.batches.voltages)
    ring = _ring_range(config.data)
    tiles = _experiment(config, shape, ring)
    if resume and is_finished(config.out, config.course()):
        return read_card(config.out)
    directory = training_directory(config.out, resume, overwrite)
    log = TrainingLog(directory, config.course(), steps)
    model = (log.resume() if resume else None) or _new_model(config, steps)
    with reading(config.data):
        _run(model, config, log, tiles, verbosity)
    if not np.isfinite(log.best["val_l0"]):
        raise InputError(
            "The training diverged: its loss is no number. Start anew with "
            "--overwrite and a smaller --learning-rate."
        )
    best = keras.saving.load_model(directory / BEST)
    assert isinstance(best, ImpurityFinder)
    return publish(
        best,
        config,
        log,
        maps_shape=shape,
        ring_rad_px=ring,
        progress=progress,
    )


def _run(
    model: ImpurityFinder,
    config: FitConfig,
    log: TrainingLog,
    tiles: Sequence[np.ndarray],
    verbosity: Verbosity,
) -> None:
    done = len(log.history)
    if done >= config.epochs:
        return
    batches = training_batches(
        config.data, config.batches, first_epoch=done, last_epoch=config.epochs
    )
    if tiles:
        drawn = experiment_batches(
            tiles,
            batch_size=config.batches.batch_size,
            seed=config.batches.seed,
            first=done * log.steps_per_epoch,
        )
        batches = tf.data.Dataset.zip(batches, drawn).map(_join)
    model.fit(
        batches,
        epochs=config.epochs,
        initial_epoch=done,
        steps_per_epoch=log.steps_per_epoch,
        validation_data=evaluation_batches(
            config.data, config.batches, split="validation"
        ),
        callbacks=[
            keras.callbacks.TerminateOnNaN(),
            keras.callbacks.TensorBoard(
                str(log.directory / "tensorboard"), write_graph=False
            ),
            log,
        ],
        verbose=KERAS_VERBOSE[verbosity],
        shuffle=False,  # the pipeline does
    )


def _join(
    batch: dict[str, tf.Tensor], experiment: tf.Tensor
) -> dict[str, tf.Tensor]:
    return batch | {"experiment": experiment}


def _new_model(config: FitConfig, steps: int) -> ImpurityFinder:
    keras.utils.set_random_seed(config.batches.seed)
    model = wang2020(config.alpha, **config.network)
    decay: Any = keras.optimizers.schedules.CosineDecay(
        config.learning_rate, config.epochs * steps
    )
    model.compile(optimizer=keras.optimizers.Adam(decay))
    # Made in the first step, its variables would have that traced twice.
    model.optimizer.build(model.trainable_variables)
    return model


def _experiment(
    config: FitConfig, shape: tuple[int, int, int], ring: tuple[float, float]
) -> list[np.ndarray]:
    if config.alpha == 0:
        return []
    return experiment_tiles(
        config.experiment,
        size_px=shape[1],
        n_voltages=max(config.batches.voltages or shape[:1]),
        ring_rad_px=ring,
        surface=config.surface,
    )


def _ring_range(data: Path) -> tuple[float, float]:
    """Least and greatest 2k [rad/px] in the validation split."""
    with reading(data):
        k = np.concatenate(
            [
                example["wave_numbers"]
                for example in load_split(
                    data, "validation"
                ).as_numpy_iterator()
            ]
        )
    return float(2 * k.min()), float(2 * k.max())
