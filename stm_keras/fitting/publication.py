"""Make a model directory of a trained network: SavedModel, weights, card."""

import datetime
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from stm_keras.data.prepared import find_prepared, open_prepared
from stm_keras.fitting.adaptation_figures import adaptation_lines
from stm_keras.fitting.assessment import Assessment, assess
from stm_keras.fitting.fit_config import FitConfig
from stm_keras.fitting.training_log import BEST, TrainingLog
from stm_keras.models.card import (
    ModelCard,
    ScoreSelection,
    write_card,
    write_checksums,
)
from stm_keras.models.export import export_saved_model, move_into
from stm_keras.nn.model import ImpurityFinder
from stm_keras.scoring import format_card_scores
from stm_keras.system import (
    Progress,
    atomic_file,
    no_progress,
    package_versions,
)


def publish(
    model: ImpurityFinder,
    config: FitConfig,
    log: TrainingLog,
    *,
    maps_shape: tuple[int, int, int],
    ring_rad_px: tuple[float, float],
    progress: Progress = no_progress,
) -> ModelCard:
    """Test a trained network and write its directory, `config.out`.

    Args:
        model: the network with its best weights.
        config: of its training.
        log: of its training.
        maps_shape: V, L, L of the training set.
        ring_rad_px: least and greatest 2k of the training set [rad/px].
        progress: told the number of stages of the test done and of all.

    Returns:
        The card that was written.
    """
    assessments = _assess(model, config, maps_shape[0], progress)
    card = _card(config, model, log, maps_shape, ring_rad_px, assessments)
    export = log.directory / "export"
    export_saved_model(model, card, export)
    move_into(config.out, export)
    with atomic_file(config.out / "model.keras") as temporary:
        shutil.copyfile(log.directory / BEST, temporary)
    seal(card, config.out)
    return card


def report(card: ModelCard, directory: Path) -> str:
    """A table of a card's scores, what an adaptation did, where the model is.

    Args:
        card: of the model.
        directory: of the model.
    """
    lines = [format_card_scores(card.scores)]
    if card.adaptation is not None:
        lines += adaptation_lines(card.adaptation)
    return "\n".join([*lines, f"model: {directory}"])


def seal(card: ModelCard, out: Path) -> None:
    """Write the card and, last of all, the checksums of every file.

    Args:
        card: of the model.
        out: the model's directory, whole but for these two.
    """
    write_card(card, out)
    write_checksums(out)


def network_of(model: ImpurityFinder) -> dict[str, Any]:
    """Class, number of weights and sizes of a network, for the card."""
    network: Any = keras.saving.serialize_keras_object(model.network)
    return {
        "class": network["class_name"],
        "parameters": model.count_params(),
        **{
            k: v
            for k, v in network["config"].items()
            if k not in ("name", "dtype", "trainable")
        },
    }


def data_of(path: Path) -> dict[str, Any]:
    """What a card says of a prepared data set.

    Args:
        path: of the set.
    """
    info = open_prepared(path).info
    return {
        "name": info.full_name,
        "path": str(find_prepared(path)),
        "n_examples": {
            name: split.num_examples for name, split in info.splits.items()
        },
        **(info.metadata or {}),
    }


def made_now(log: TrainingLog) -> dict[str, Any]:
    """What a card says of when, where and how long a network was trained."""
    return {
        "date": datetime.date.today().isoformat(),
        "machine": f"{os.cpu_count()} cores, {platform.machine()}",
        "seconds": round(sum(row["seconds"] for row in log.history)),
    }


def _assess(
    model: ImpurityFinder,
    config: FitConfig,
    n_voltages: int,
    progress: Progress,
) -> dict[int, Assessment]:
    # One graph for stacks of every number and size of maps.
    @tf.function(input_signature=[tf.TensorSpec([None] * 4)], autograph=False)
    def score(maps: tf.Tensor) -> tf.Tensor:
        return model(maps, training=False)

    counts = config.batches.voltages or (n_voltages,)

    def of_all(index: int) -> Progress:
        def tell(done: int, total: int) -> None:
            progress(index * total + done, len(counts) * total)

        return tell

    return {
        n: assess(
            score,
            config.data,
            config.batches,
            n_voltages=n,
            progress=of_all(i),
        )
        for i, n in enumerate(counts)
    }


def _card(
    config: FitConfig,
    model: ImpurityFinder,
    log: TrainingLog,
    shape: tuple[int, int, int],
    ring: tuple[float, float],
    assessments: dict[int, Assessment],
) -> ModelCard:
    return ModelCard(
        name=config.out.name,
        network=network_of(model),
        command=config.command,
        data=data_of(config.data),
        training={
            **config.course(),
            "steps_per_epoch": log.steps_per_epoch,
            "best": log.best,
        },
        tile_px=shape[1],
        reach_px=model.network.reach_px,
        ring_rad_px=ring,
        selection=ScoreSelection(
            {n: a.threshold for n, a in assessments.items()},
            {n: a.floor for n, a in assessments.items()},
        ),
        scores={
            f"{n} maps, noise {config.batches.noise:g}": {
                method: score.as_dict() for method, score in a.scores.items()
            }
            for n, a in assessments.items()
        },
        made=made_now(log),
        versions=package_versions(),
    )
