"""Make a model directory of a trained network: SavedModel, weights, card."""

import datetime
import os
import platform
from pathlib import Path
from typing import Any

import keras

from stm_keras.files import carry_over, whole_directory
from stm_keras.models.card import (
    SUMS_NAME,
    ModelCard,
    write_card,
    write_checksums,
)
from stm_keras.models.description import adaptation_lines
from stm_keras.models.export import PARTS, WEIGHTS, write_saved_model
from stm_keras.nn.calibration import FILE as GROUND
from stm_keras.nn.calibration import TrainingDistribution, write_distribution
from stm_keras.nn.model import ImpurityFinder
from stm_keras.scoring import format_card_scores
from stm_keras.training.datasets import find_prepared, open_prepared
from stm_keras.training.log import TrainingLog


def write_model(
    model: ImpurityFinder,
    card: ModelCard,
    out: Path,
    distribution: TrainingDistribution | None = None,
) -> None:
    """Write a model's directory: all of it takes its place at one stroke.

    Args:
        model: the network.
        card: of it.
        out: the directory; what else it holds stays.
        distribution: its training distribution, if it is known.
    """
    with whole_directory(out, drop=(*PARTS, GROUND)) as new:
        write_saved_model(model, card, new, distribution)
        model.save(new / WEIGHTS)
        if distribution is not None:
            write_distribution(distribution, new)
        write_card(card, new)
        carry_over(out, new, drop=(*PARTS, GROUND, SUMS_NAME))
        write_checksums(new)


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
