"""The model that a training of `context` starts from."""

from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.fitting.context_calibration import Calibrated
from stm_keras.models.card import ModelCard, ProbabilitySelection, read_card
from stm_keras.models.export import load_weights
from stm_keras.nn.calibration import read_ground
from stm_keras.nn.context import Context
from stm_keras.nn.model import ImpurityFinder, context


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
    return Start(Calibrated(model, threshold, read_ground(directory)), card)


def uncalibrated(model: ImpurityFinder, alpha: float = 0.0) -> ImpurityFinder:
    """A copy of a model with `Context`, ready for training.

    Args:
        model: whose sizes and weights it has.
        alpha: see `ImpurityFinder`.
    """
    return grown(model, (), alpha)


def grown(
    model: ImpurityFinder, dilations: tuple[int, ...], alpha: float = 0.0
) -> ImpurityFinder:
    """A copy with more blocks behind the decoder's, ready for training.

    Their weights are 0, so that the answer is that of the model until they
    are trained: a block gives back what it is given and adds to it
    (T. Chen, I. Goodfellow and J. Shlens, Net2Net, arXiv:1511.05641).

    Args:
        model: with `Context`, whose weights it has.
        dilations: of the blocks [px].
        alpha: see `ImpurityFinder`.
    """
    sizes = model.network.sizes
    blocks = (*sizes["decoder_dilations"], *dilations)
    copy = context(alpha, **{**sizes, "decoder_dilations": blocks})
    weights = model.get_weights()
    *_, last = copy.network.decoder.blocks
    added = [np.zeros_like(weight) for weight in last.get_weights()]
    # In the order in which they are made: the decoder's head is the last.
    head = len(weights) - len(copy.network.decoder.head.get_weights())
    weights[head:head] = len(dilations) * added
    copy.set_weights(weights)
    return copy
