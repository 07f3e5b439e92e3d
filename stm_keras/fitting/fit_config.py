"""What decides a training."""

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stm_keras.data.batch_config import BatchConfig
from stm_keras.errors import InputError
from stm_keras.fitting.options import check_entropy, check_learning_rate
from stm_keras.nn.wang2020 import Wang2020

PAPER_ALPHA = 0.03


@dataclass(frozen=True)
class FitConfig:
    """A training.

    Attributes:
        data: prepared data set of simulated maps.
        out: directory of the model.
        experiment: files, or prepared data sets, for the entropy loss.
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
        fields = dataclasses.asdict(self)
        del fields["out"], fields["command"]
        fields["data"] = str(self.data)
        fields["experiment"] = [str(path) for path in self.experiment]
        return fields
