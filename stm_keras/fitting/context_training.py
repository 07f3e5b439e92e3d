"""Train the network `context` on prepared data sets."""

from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stm_keras.data.augmentation import BESIDE_PX
from stm_keras.data.batch_config import check_voltages, maps_shape
from stm_keras.data.context_pipeline import context_batches
from stm_keras.data.pipeline import experiment_batches
from stm_keras.data.prepared import reading
from stm_keras.errors import InputError
from stm_keras.fitting.adaptation import Guard, held_out_loss
from stm_keras.fitting.context_config import (
    CHECKPOINT_STEPS,
    RING_RAD_PX,
    ContextFitConfig,
)
from stm_keras.fitting.context_publication import publish_context
from stm_keras.fitting.context_start import (
    Start,
    grown,
    read_start,
    uncalibrated,
)
from stm_keras.fitting.directory import is_finished, training_directory
from stm_keras.fitting.experiment import Experiment, read_experiment
from stm_keras.fitting.training import KERAS_VERBOSE, Verbosity
from stm_keras.fitting.training_log import FILES, TrainingLog
from stm_keras.models.card import ModelCard, read_card
from stm_keras.nn.model import ImpurityFinder, context
from stm_keras.system import Progress, no_progress

VALIDATION_BATCHES = 36
"""Enough for every number of voltages; the same ones after every checkpoint."""

_CLIP_NORM = 1.0


def fit_context(
    config: ContextFitConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbosity: Verbosity = "silent",
    progress: Progress = no_progress,
) -> ModelCard:
    """Train, calibrate, test and write a model.

    A network that was adapted to an experiment ships only if it is no worse
    than the one that it started from; see `Guard`.

    Args:
        config: what to train on, and how.
        resume: continue a training that was stopped.
        overwrite: discard what `config.out` holds.
        verbosity: Keras's progress bar, its lines, or nothing.
        progress: of the test after the training: stages done and of all.

    Returns:
        The card that was written beside the SavedModel.

    Raises:
        InputError: for anything wrong with the data, the model to start
            from, the experiment or the directory, before anything is written.
    """
    for path, _ in config.data:
        _check_data(path, config)
    start = read_start(config.init) if config.init else None
    experiment = experiment_of(config)
    asked = {**config.course(), "keep": config.keep}
    if resume and is_finished(config.out, asked):
        return read_card(config.out)
    directory = training_directory(config.out, resume, overwrite)
    log = TrainingLog(directory, config.course(), CHECKPOINT_STEPS)
    kept = train(config, log, start, experiment, resume, verbosity)
    choose = None
    if start is not None and experiment is not None:
        loss = held_out_loss(start.ready.model, validation_batches(config))
        losses = loss, log.kept(config.keep)["val_l0"]
        choose = Guard(start, losses, experiment).choose
    return publish_context(kept, config, log, choose=choose, progress=progress)


def train(
    config: ContextFitConfig,
    log: TrainingLog,
    start: Start | None,
    experiment: Experiment | None,
    resume: bool = False,
    verbosity: Verbosity = "silent",
) -> ImpurityFinder:
    """Train a network.

    Args:
        config: what to train on, and how.
        log: of the training.
        start: what to start from, if anything.
        experiment: see `experiment_of`.
        resume: continue from the log's last checkpoint.
        verbosity: Keras's progress bar, its lines, or nothing.

    Returns:
        The network of the checkpoint to keep, not calibrated; without a step
        that of the start.

    Raises:
        InputError: where the training diverged.
    """
    if start is not None and config.steps == 0:
        return uncalibrated(start.ready.model)
    model = (log.resume() if resume else None) or _new_model(config, start)
    with reading(config.data[0][0]):
        _run(model, config, log, experiment, verbosity)
    if not np.isfinite(log.kept(config.keep)["val_l0"]):
        raise InputError(
            "The training diverged: its loss is no number. Start anew with "
            "--overwrite and a smaller --learning-rate."
        )
    # Without the optimizer, whose state is twice as large as the weights.
    path = log.directory / FILES[config.keep]
    kept = keras.saving.load_model(path, compile=False)
    assert isinstance(kept, ImpurityFinder)
    return kept


def _check_data(path: Path, config: ContextFitConfig) -> None:
    """Refuse sets whose fields are too few or too small."""
    n_maps, size, _ = maps_shape(path)
    check_voltages(path, config.batches.voltages)
    largest = max(config.batches.sizes_px)
    most = size - 2 * BESIDE_PX
    if largest > most:
        raise InputError(
            f"The data set in {path} has fields of {size} px ({n_maps} maps): "
            f"cannot cut crops of {largest} px from them, for they stay "
            f"{BESIDE_PX} px from the edges. Give --sizes of at most {most}."
        )


def experiment_of(config: ContextFitConfig) -> Experiment | None:
    """The experiment of the entropy loss, if any.

    Raises:
        InputError: where it cannot be used.
    """
    if config.alpha == 0:
        return None
    return read_experiment(
        config.experiment,
        size_px=max(config.batches.sizes_px),
        n_voltages=max(config.batches.voltages),
        ring_rad_px=RING_RAD_PX,
        surface=config.surface,
    )


def _new_model(config: ContextFitConfig, start: Start | None) -> ImpurityFinder:
    keras.utils.set_random_seed(config.batches.seed)
    model = (
        grown(start.ready.model, config.added_blocks, config.alpha)
        if start
        else context(config.alpha, **config.network)
    )
    rate: Any = keras.optimizers.schedules.CosineDecay(
        0.0,
        config.steps - config.warmup_steps,
        warmup_target=config.learning_rate,
        warmup_steps=config.warmup_steps,
    )
    model.compile(optimizer=keras.optimizers.AdamW(rate, clipnorm=_CLIP_NORM))
    # Made in the first step, its variables would have that traced twice.
    model.optimizer.build(model.trainable_variables)
    return model


def _run(
    model: ImpurityFinder,
    config: ContextFitConfig,
    log: TrainingLog,
    experiment: Experiment | None,
    verbosity: Verbosity,
) -> None:
    done = len(log.history)
    epochs = config.steps // CHECKPOINT_STEPS
    if done >= epochs:
        return
    first = done * CHECKPOINT_STEPS
    model.fit(
        _batches(config, experiment, first),
        epochs=epochs,
        initial_epoch=done,
        steps_per_epoch=CHECKPOINT_STEPS,
        validation_data=validation_batches(config),
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


def validation_batches(config: ContextFitConfig) -> tf.data.Dataset:
    """The held-out batches that checkpoints are compared on."""
    batches = context_batches(config.data, config.batches, split="validation")
    return batches.take(VALIDATION_BATCHES).cache()


def _batches(
    config: ContextFitConfig, experiment: Experiment | None, first: int
) -> tf.data.Dataset:
    batches = context_batches(config.data, config.batches, first=first)
    if experiment is None:
        return batches
    shown = experiment_batches(
        experiment.tiles,
        batch_size=config.batches.batch_size,
        seed=config.batches.seed,
        first=first,
    )
    return tf.data.Dataset.zip(batches, shown).map(
        # Its wave numbers are not told: they are part of what is doubted.
        lambda batch, maps: batch | {"experiment": maps}
    )
