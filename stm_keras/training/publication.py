"""Make a model directory of a trained network: SavedModel, weights, card."""

import datetime
import os
import platform
import shutil
from pathlib import Path
from typing import Any

import keras

from stm_keras.models.card import ModelCard, write_card, write_checksums
from stm_keras.models.description import adaptation_lines
from stm_keras.models.export import export_saved_model, move_into
from stm_keras.nn.calibration import FILE as GROUND
from stm_keras.nn.calibration import TrainingDistribution, write_distribution
from stm_keras.nn.model import ImpurityFinder
from stm_keras.scoring import format_card_scores
from stm_keras.system import atomic_file
from stm_keras.training.datasets import find_prepared, open_prepared
from stm_keras.training.log import TrainingLog


def write_model(
    model: ImpurityFinder,
    card: ModelCard,
    out: Path,
    log: TrainingLog,
    *,
    checkpoint: str | None = None,
    distribution: TrainingDistribution | None = None,
) -> None:
    """Write a model's directory; card and checksums come last of all.

    Args:
        model: the network.
        card: of it.
        out: the directory.
        log: of its training, beside which the SavedModel is made first.
        checkpoint: file of the training that holds these weights, which is
            copied; None saves the model.
        distribution: its training distribution, if it is known.
    """
    export = log.directory / "export"
    export_saved_model(model, card, export, distribution)
    move_into(out, export)
    with atomic_file(out / "model.keras") as temporary:
        if checkpoint is not None:
            shutil.copyfile(log.directory / checkpoint, temporary)
        else:
            # Keras knows its own files by their ending.
            whole = temporary.with_suffix(".keras")
            model.save(whole)
            whole.replace(temporary)
    if distribution is None:
        (out / GROUND).unlink(missing_ok=True)
    else:
        write_distribution(distribution, out)
    write_card(card, out)
    write_checksums(out)


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
