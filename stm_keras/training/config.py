"""What decides a training: one configuration a network."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.errors import InputError
from stm_keras.nn.context import Context
from stm_keras.nn.wang2020 import Wang2020
from stm_keras.training.context_batches import ContextBatchConfig
from stm_keras.training.datasets import BatchConfig
from stm_keras.training.log import FILES, Keep
from stm_keras.training.precision import Precision

PAPER_ALPHA = 0.03


@dataclass(frozen=True)
class Wang2020Config:
    """A training of the paper's network.

    Attributes:
        data: prepared data set of simulated maps.
        out: directory of the model.
        experiment: files, or prepared data sets, for the entropy loss.
        surface: material of the experiment's files; None measures the ring.
        alpha: weight of the entropy loss (paper: 0.03).
        epochs: passes over the training split.
        learning_rate: Adam's at the start; it falls to 0 along a cosine.
        precision: of the convolutions, see `stm_keras.training.precision`.
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
    precision: Precision = "float32"
    batches: BatchConfig = field(default_factory=BatchConfig)
    network: dict[str, Any] = field(default_factory=dict)
    command: str = ""

    def __post_init__(self) -> None:
        check_entropy(self.alpha, self.experiment)
        check_learning_rate(self.learning_rate)
        if self.epochs < 1:
            raise InputError(f"`epochs` must be >= 1. Received: {self.epochs}")
        try:
            Wang2020(**self.network)
        except ValueError as error:
            raise InputError(str(error).splitlines()[0]) from error

    def course(self) -> dict[str, Any]:
        """The options that decide how the training goes, as plain values."""
        fields = _plain(self)
        fields["data"] = str(self.data)
        fields["experiment"] = [str(path) for path in self.experiment]
        return fields


CHECKPOINT_STEPS = 100
"""Steps between two checkpoints: a minute or two on two cores."""

RING_RAD_PX = (0.6, 2.2)
"""Least and greatest q = 2k of the training sets [rad/px]."""


@dataclass(frozen=True)
class ContextConfig:
    """A training of the network `context`.

    Attributes:
        data: prepared data sets, each with how many batches of every turn
            come from it.
        out: directory of the model.
        steps: optimizer steps; a multiple of `CHECKPOINT_STEPS`. 0 with
            `init` changes no weight: the model is calibrated, tested and
            written anew.
        learning_rate: AdamW's highest; it rises to it over the first steps
            and falls to 0 along a cosine.
        init: model directory whose weights the training starts from.
        added_blocks: with `init`, dilations [px] of blocks that are put behind
            those of its decoder, which at first change nothing.
        experiment: files, or prepared data sets, for the entropy loss.
        surface: material of the experiment's files; None measures the ring.
        alpha: weight of the entropy loss.
        keep: the network of the checkpoint with the lowest loss on held-out
            fields, "best", or of the last one, for which the learning rate
            fell to 0, "last".
        held_out_batches: for each number of voltages, at least, to calibrate
            on and, others, to test on.
        precision: of the convolutions, see `stm_keras.training.precision`.
        batches: batch size, numbers of voltages, effects and seed.
        network: sizes of `Context`; none with `init`, whose own they are.
        command: what the user typed, for the card.
    """

    data: tuple[tuple[Path, int], ...]
    out: Path
    steps: int = 8_000
    learning_rate: float = 1.5e-3
    init: Path | None = None
    added_blocks: tuple[int, ...] = ()
    experiment: tuple[Path, ...] = ()
    surface: str | None = None
    alpha: float = 0.0
    keep: Keep = "best"
    held_out_batches: int = 40
    precision: Precision = "float32"
    batches: ContextBatchConfig = field(default_factory=ContextBatchConfig)
    network: dict[str, Any] = field(default_factory=dict)
    command: str = ""

    def __post_init__(self) -> None:
        check_entropy(self.alpha, self.experiment)
        check_learning_rate(self.learning_rate)
        _check_steps(self.steps, self.init, self.alpha)
        if self.added_blocks:
            _check_added(self)
        if self.keep not in FILES:
            raise InputError(
                f"Unknown checkpoint to keep: {self.keep!r}. Known: "
                f"{', '.join(FILES)}."
            )
        if self.init is not None and self.network:
            raise InputError(
                f"The sizes of the network are those of {self.init}: leave "
                f"out {', '.join(self.network)}."
            )
        try:
            Context(**self.network)
        except ValueError as error:
            raise InputError(str(error).splitlines()[0]) from error

    @property
    def warmup_steps(self) -> int:
        """How long the learning rate rises."""
        return min(200, self.steps // 5)

    def course(self) -> dict[str, Any]:
        """The options that decide how the training goes, as plain values."""
        fields = _plain(self)
        del fields["keep"]
        fields["data"] = [[str(path), share] for path, share in self.data]
        fields["init"] = str(self.init) if self.init else None
        fields["experiment"] = [str(path) for path in self.experiment]
        return fields


def _plain(config: "Wang2020Config | ContextConfig") -> dict[str, Any]:
    """The options of a training; those of before there was a choice as then."""
    fields = dataclasses.asdict(config)
    del fields["out"], fields["command"]
    if config.precision == "float32":
        del fields["precision"]
    return fields


def _check_added(config: ContextConfig) -> None:
    if config.init is None:
        raise InputError(
            "Blocks are added to a trained network: give `init`, or leave "
            "them out."
        )
    if min(config.added_blocks) < 1:
        raise InputError(
            "Dilations of added blocks must be >= 1. Received: "
            f"{', '.join(map(str, config.added_blocks))}"
        )
    if config.steps == 0 or config.alpha > 0:
        raise InputError(
            "Added blocks have to be trained on simulated fields: give "
            "`steps`, and no experiment."
        )


def _check_steps(steps: int, init: Path | None, alpha: float) -> None:
    if steps < 0 or steps % CHECKPOINT_STEPS:
        raise InputError(
            f"`steps` must be a multiple of {CHECKPOINT_STEPS}, from "
            f"which checkpoints are written. Received: {steps}"
        )
    if steps == 0 and init is None:
        raise InputError(
            "Without a step there is no network: give `steps`, or with `init` "
            "a model to calibrate and write anew."
        )
    if steps == 0 and alpha > 0:
        raise InputError(
            "Without a step nothing is fine-tuned: give `steps`, or leave the "
            "experiment out."
        )


def check_entropy(alpha: float, experiment: tuple[Path, ...]) -> None:
    """Refuse a weight of the entropy loss that does not go with its data.

    Raises:
        InputError: for a weight that is no number from 0, or a weight without
            an experiment, or an experiment without a weight.
    """
    if not 0 <= alpha < np.inf:
        raise InputError(f"`alpha` must be >= 0. Received: {alpha}")
    if alpha > 0 and not experiment:
        raise InputError(
            f"alpha = {alpha:g} weighs the entropy on an experiment, and there "
            "is none: give --experiment, or --alpha 0."
        )
    if experiment and not alpha:
        raise InputError(
            "With alpha = 0 the experiment counts for nothing: leave "
            "--experiment out, or give --alpha 0.03."
        )


def check_learning_rate(rate: float) -> None:
    """Refuse a learning rate that is not a positive number.

    Raises:
        InputError: for such a rate.
    """
    if not 0 < rate < np.inf:
        raise InputError(f"`learning_rate` must be positive. Received: {rate}")
