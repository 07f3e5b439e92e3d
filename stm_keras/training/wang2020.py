"""The paper's network: its recipe, its test and its card."""

from functools import cached_property
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from stm_keras.models.card import ModelCard, ScoreSelection
from stm_keras.nn.model import ImpurityFinder, wang2020
from stm_keras.system import Progress, package_versions
from stm_keras.training.assessment import Assessment, assess
from stm_keras.training.batches import (
    evaluation_batches,
    experiment_batches,
    training_batches,
)
from stm_keras.training.config import Wang2020Config
from stm_keras.training.datasets import (
    batches_per_epoch,
    check_voltages,
    load_split,
    maps_shape,
    reading,
)
from stm_keras.training.experiment import experiment_tiles
from stm_keras.training.log import TrainingLog
from stm_keras.training.precision import policy_of
from stm_keras.training.publication import (
    data_of,
    made_now,
    network_of,
    write_model,
)
from stm_keras.training.trainer import Recipe, with_experiment


class Wang2020Recipe(Recipe):
    """See `Recipe`; an epoch is what lies between two checkpoints.

    Args:
        config: what to train on, and how.
    """

    keep = "best"

    def __init__(self, config: Wang2020Config) -> None:
        self.config = config
        self.out = config.out

    def course(self) -> dict[str, Any]:
        """See `Recipe`."""
        return self.config.course()

    def check(self) -> None:
        """See `Recipe`."""
        check_voltages(self.data, self.config.batches.voltages)
        assert self.steps
        assert self._tiles is not None

    @property
    def data(self) -> Path:
        """See `Recipe`."""
        return self.config.data

    @property
    def steps(self) -> int:
        """See `Recipe`."""
        return self._steps

    @cached_property
    def _steps(self) -> int:
        return batches_per_epoch(self.data, self.config.batches)

    @property
    def checkpoints(self) -> int:
        """See `Recipe`."""
        return self.config.epochs

    def new_model(self) -> ImpurityFinder:
        """See `Recipe`."""
        config = self.config
        keras.utils.set_random_seed(config.batches.seed)
        policy = policy_of(config.precision)
        model = wang2020(config.alpha, policy, **config.network)
        decay: Any = keras.optimizers.schedules.CosineDecay(
            config.learning_rate, config.epochs * self.steps
        )
        model.compile(optimizer=keras.optimizers.Adam(decay))
        return model

    def batches(self, done: int) -> tf.data.Dataset:
        """See `Recipe`."""
        config = self.config
        batches = training_batches(
            self.data,
            config.batches,
            first_epoch=done,
            last_epoch=config.epochs,
        )
        if not self._tiles:
            return batches
        drawn = experiment_batches(
            self._tiles,
            batch_size=config.batches.batch_size,
            seed=config.batches.seed,
            first=done * self.steps,
        )
        return with_experiment(batches, drawn)

    def validation(self) -> tf.data.Dataset:
        """See `Recipe`."""
        return evaluation_batches(
            self.data, self.config.batches, split="validation"
        )

    def publish(
        self, model: ImpurityFinder, log: TrainingLog, progress: Progress
    ) -> ModelCard:
        """See `Recipe`."""
        assessments = _assess(model, self.config, self._shape[0], progress)
        card = _card(
            self.config, model, log, self._shape, self._q_rad_px, assessments
        )
        write_model(model, card, self.out)
        return card

    @cached_property
    def _shape(self) -> tuple[int, int, int]:
        return maps_shape(self.data)

    @cached_property
    def _q_rad_px(self) -> tuple[float, float]:
        return _ring_range(self.data)

    @cached_property
    def _tiles(self) -> list[np.ndarray]:
        config = self.config
        if config.alpha == 0:
            return []
        return experiment_tiles(
            config.experiment,
            size_px=self._shape[1],
            n_voltages=max(config.batches.voltages or self._shape[:1]),
            q_range_rad_px=self._q_rad_px,
            surface=config.surface,
        )


def _assess(
    model: ImpurityFinder,
    config: Wang2020Config,
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
    config: Wang2020Config,
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


def _ring_range(data: Path) -> tuple[float, float]:
    """Least and greatest q = 2k [rad/px] in the validation split."""
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
