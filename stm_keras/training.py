"""Train the paper's network on a prepared data set."""

import dataclasses
import datetime
import json
import os
import platform
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf

from stm_keras.analysis.metrics import Score
from stm_keras.assessment import Assessment, assess
from stm_keras.data.pipeline import (
    BatchConfig,
    batches_per_epoch,
    check_voltages,
    evaluation_batches,
    experiment_batches,
    maps_shape,
    training_batches,
)
from stm_keras.data.prepared import (
    find_prepared,
    load_split,
    open_prepared,
    reading,
)
from stm_keras.errors import InputError
from stm_keras.evaluation import format_table
from stm_keras.experiment import experiment_tiles
from stm_keras.export import export_saved_model
from stm_keras.files import atomic_file, writable_directory
from stm_keras.model_card import (
    CARD_NAME,
    ModelCard,
    package_versions,
    read_card,
    write_card,
)
from stm_keras.nn.model import ImpurityFinder, wang2020
from stm_keras.nn.networks import Wang2020
from stm_keras.training_log import BEST, TrainingLog

TRAINING = "training"
"""Folder of checkpoints and logs inside the model's directory."""

PAPER_ALPHA = 0.03

Verbosity = Literal["bar", "lines", "silent"]
_KERAS_VERBOSE: dict[Verbosity, Any] = {"bar": 1, "lines": 2, "silent": 0}


@dataclass(frozen=True)
class FitConfig:
    """A training.

    Attributes:
        data: prepared data set of simulated maps.
        out: directory of the model.
        experiment: files, or one prepared data set, for the entropy loss.
        surface: material of the experiment's files; None measures the ring.
        alpha: weight of the entropy loss (paper: 0.03).
        epochs: passes over the training split.
        learning_rate: Adam's at the start; it falls to 0 along a cosine.
        batches: batch size, noise, numbers of voltages and seed.
        network: sizes of `Wang2020`.
        command: what the user typed, for the card.
    """

    data: Path
    out: Path
    experiment: tuple[Path, ...] = ()
    surface: str | None = None
    alpha: float = 0.0
    epochs: int = 10
    learning_rate: float = 2e-3
    batches: BatchConfig = field(default_factory=BatchConfig)
    network: dict[str, Any] = field(default_factory=dict)
    command: str = ""

    def __post_init__(self) -> None:
        if not 0 <= self.alpha < np.inf:
            raise InputError(f"`alpha` must be >= 0. Received: {self.alpha}")
        if self.alpha > 0 and not self.experiment:
            raise InputError(
                f"alpha = {self.alpha:g} weighs the entropy on an experiment, "
                "and there is none: give --experiment, or --alpha 0."
            )
        if self.experiment and not self.alpha:
            raise InputError(
                "With alpha = 0 the experiment counts for nothing: leave "
                "--experiment out, or give --alpha 0.03."
            )
        if self.epochs < 1:
            raise InputError(f"`epochs` must be >= 1. Received: {self.epochs}")
        if not 0 < self.learning_rate < np.inf:
            raise InputError(
                "`learning_rate` must be positive. "
                f"Received: {self.learning_rate}"
            )
        try:
            Wang2020(**self.network)
        except ValueError as error:
            raise InputError(str(error).splitlines()[0]) from error

    def course(self) -> dict[str, Any]:
        """The options that decide how the training goes, as plain values."""
        fields = dataclasses.asdict(self)
        del fields["out"], fields["command"]
        fields["data"] = str(self.data)
        fields["experiment"] = [str(path) for path in self.experiment]
        return fields


def fit(
    config: FitConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    verbosity: Verbosity = "silent",
) -> ModelCard:
    """Train, test and write a model.

    Args:
        config: what to train on, and how.
        resume: continue a training that was stopped.
        overwrite: discard what `config.out` holds.
        verbosity: Keras's progress bar, its lines, or nothing.

    Returns:
        The card that was written beside the SavedModel.

    Raises:
        InputError: for anything wrong with the data, the experiment or the
            directory, before anything is written.
    """
    shape = maps_shape(config.data)
    steps = batches_per_epoch(config.data, config.batches)
    check_voltages(config.data, config.batches)
    ring = _ring_range(config.data)
    tiles = _experiment(config, shape, ring)
    if resume and _is_finished(config):
        return read_card(config.out)
    directory = _training_directory(config.out, resume, overwrite)
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
    assessments = _assess(best, config, shape[0])
    card = _card(config, best, log, shape, ring, assessments)
    export_saved_model(best, directory / "export")
    _publish(directory / "export", config.out)
    with atomic_file(config.out / "model.keras") as temporary:
        shutil.copyfile(directory / BEST, temporary)
    write_card(card, config.out)
    return card


def _is_finished(config: FitConfig) -> bool:
    """Whether `out` holds a whole model from just this training."""
    if not (config.out / CARD_NAME).exists():
        return False
    stored = read_card(config.out).training
    course = json.loads(json.dumps(config.course()))
    return all(stored.get(name) == course[name] for name in course)


def report(card: ModelCard, directory: Path) -> str:
    """A table of a card's scores, and where the model is.

    Args:
        card: of the model.
        directory: of the model.
    """
    rows = {
        f"{case}: {method}": Score.from_dict(score)
        for case, methods in card.scores.items()
        for method, score in methods.items()
    }
    return f"{format_table(rows)}\nmodel: {directory}"


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
        verbose=_KERAS_VERBOSE[verbosity],
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


def _training_directory(out: Path, resume: bool, overwrite: bool) -> Path:
    directory = out / TRAINING
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: name a directory.")
    if out.is_dir() and any(out.iterdir()) and not (resume or overwrite):
        raise InputError(
            f"{out} is not empty. Continue the training in it with --resume, "
            "replace it with --overwrite, or choose another --out."
        )
    if overwrite and not resume:
        shutil.rmtree(directory, ignore_errors=True)
    return writable_directory(directory)


def _publish(export: Path, out: Path) -> None:
    """Move a SavedModel's parts to their place, `saved_model.pb` last.

    Until that file is there, the directory is not a SavedModel, and no other
    program takes it for one.
    """
    parts = sorted(export.iterdir(), key=lambda p: p.name == "saved_model.pb")
    for name in ("saved_model.pb", CARD_NAME):
        (out / name).unlink(missing_ok=True)
    for part in parts:
        target = out / part.name
        if target.is_dir():
            shutil.rmtree(target)
        part.replace(target)
    export.rmdir()


def _assess(
    model: ImpurityFinder, config: FitConfig, n_voltages: int
) -> dict[int, Assessment]:
    @tf.function(reduce_retracing=True, autograph=False)
    def score(maps: tf.Tensor) -> tf.Tensor:
        return model(maps, training=False)

    counts = config.batches.voltages or (n_voltages,)
    return {
        n: assess(score, config.data, config.batches, n_voltages=n)
        for n in counts
    }


def _card(
    config: FitConfig,
    model: ImpurityFinder,
    log: TrainingLog,
    shape: tuple[int, int, int],
    ring: tuple[float, float],
    assessments: dict[int, Assessment],
) -> ModelCard:
    builder = open_prepared(config.data)
    network: Any = keras.saving.serialize_keras_object(model.network)
    return ModelCard(
        name=config.out.name,
        network={
            "class": network["class_name"],
            "parameters": model.count_params(),
            **{
                k: v
                for k, v in network["config"].items()
                if k not in ("name", "dtype", "trainable")
            },
        },
        command=config.command,
        data={
            "name": builder.info.full_name,
            "path": str(find_prepared(config.data)),
            "n_examples": {
                name: split.num_examples
                for name, split in builder.info.splits.items()
            },
            **(builder.info.metadata or {}),
        },
        training={
            **config.course(),
            "steps_per_epoch": log.steps_per_epoch,
            "best": log.best,
        },
        tile_px=shape[1],
        reach_px=model.network.reach_px,
        ring_rad_px=ring,
        thresholds={n: a.threshold for n, a in assessments.items()},
        floors={n: a.floor for n, a in assessments.items()},
        scores={
            f"{n} maps, noise {config.batches.noise:g}": {
                method: score.as_dict() for method, score in a.scores.items()
            }
            for n, a in assessments.items()
        },
        made={
            "date": datetime.date.today().isoformat(),
            "machine": f"{os.cpu_count()} cores, {platform.machine()}",
            "seconds": round(sum(row["seconds"] for row in log.history)),
        },
        versions=package_versions(),
    )
