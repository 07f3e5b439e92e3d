"""The network `context`: its recipe, its calibration and test, and its card."""

from collections.abc import Sequence
from functools import cached_property, reduce
from operator import add
from pathlib import Path
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from stm_keras.errors import InputError
from stm_keras.models.card import ModelCard, ProbabilitySelection, read_card
from stm_keras.nn.calibration import Reliability, reliability
from stm_keras.nn.decoding import least_kept
from stm_keras.nn.model import ImpurityFinder, context
from stm_keras.scoring import Score, score_positions
from stm_keras.system import Progress, package_versions
from stm_keras.training.adaptation import (
    Adaptation,
    Guard,
    Start,
    grown,
    held_out_loss,
    read_start,
    uncalibrated,
)
from stm_keras.training.augmentation import BESIDE_PX
from stm_keras.training.batches import experiment_batches
from stm_keras.training.config import (
    CHECKPOINT_STEPS,
    RING_RAD_PX,
    ContextConfig,
)
from stm_keras.training.context_batches import context_batches
from stm_keras.training.datasets import check_voltages, maps_shape
from stm_keras.training.experiment import Experiment, read_experiment
from stm_keras.training.held_out import (
    FALSE_DISCOVERY_RATE,
    PRIOR_FALSE,
    SEED,
    TOLERANCE_PX,
    Calibrated,
    FieldResult,
    HeldOut,
    Look,
    calibrate,
    held_out,
)
from stm_keras.training.log import TrainingLog
from stm_keras.training.precision import policy_of
from stm_keras.training.publication import (
    data_of,
    made_now,
    network_of,
    write_model,
)
from stm_keras.training.trainer import Recipe, with_experiment

VALIDATION_BATCHES = 36
"""Enough for every number of voltages; the same ones after every checkpoint."""

_CLIP_NORM = 1.0

_FRAME_PX2 = 80 * 80
_STAGES = 3


class ContextRecipe(Recipe):
    """See `Recipe`.

    A network that was adapted to an experiment ships only if it is no worse
    than the one that it started from; see `Guard`.

    Args:
        config: what to train on, and how.
    """

    def __init__(self, config: ContextConfig) -> None:
        self.config = config
        self.out = config.out
        self.keep = config.keep

    def course(self) -> dict[str, Any]:
        """See `Recipe`."""
        return self.config.course()

    def asked(self) -> dict[str, Any]:
        """See `Recipe`."""
        return {**self.course(), "keep": self.keep}

    def check(self) -> None:
        """See `Recipe`."""
        for path, _ in self.config.data:
            _check_data(path, self.config)
        # Read once, here: the one may be damaged, the other not be read.
        _ = self.start, self.experiment

    @property
    def data(self) -> Path:
        """See `Recipe`."""
        return self.config.data[0][0]

    @property
    def steps(self) -> int:
        """See `Recipe`."""
        return CHECKPOINT_STEPS

    @property
    def checkpoints(self) -> int:
        """See `Recipe`."""
        return self.config.steps // CHECKPOINT_STEPS

    @cached_property
    def start(self) -> Start | None:
        """The model that the training starts from, if any."""
        return read_start(self.config.init) if self.config.init else None

    @cached_property
    def experiment(self) -> Experiment | None:
        """The experiment of the entropy loss, if any."""
        config = self.config
        if config.alpha == 0:
            return None
        return read_experiment(
            config.experiment,
            size_px=max(config.batches.sizes_px),
            n_voltages=max(config.batches.voltages),
            q_range_rad_px=RING_RAD_PX,
            surface=config.surface,
        )

    def new_model(self) -> ImpurityFinder:
        """See `Recipe`."""
        config = self.config
        keras.utils.set_random_seed(config.batches.seed)
        policy = policy_of(config.precision)
        model = (
            grown(
                self.start.ready.model,
                config.added_blocks,
                config.alpha,
                dtype=policy,
            )
            if self.start
            else context(config.alpha, policy, **config.network)
        )
        rate: Any = keras.optimizers.schedules.CosineDecay(
            0.0,
            config.steps - config.warmup_steps,
            warmup_target=config.learning_rate,
            warmup_steps=config.warmup_steps,
        )
        optimizer = keras.optimizers.AdamW(rate, clipnorm=_CLIP_NORM)
        model.compile(optimizer=optimizer)
        return model

    def untrained(self) -> ImpurityFinder:
        """See `Recipe`: the start, to be calibrated anew."""
        assert self.start is not None  # the config has seen to it
        return uncalibrated(self.start.ready.model)

    def batches(self, done: int) -> tf.data.Dataset:
        """See `Recipe`."""
        config, first = self.config, done * CHECKPOINT_STEPS
        batches = context_batches(config.data, config.batches, first=first)
        if self.experiment is None:
            return batches
        drawn = experiment_batches(
            self.experiment.tiles,
            batch_size=config.batches.batch_size,
            seed=config.batches.seed,
            first=first,
        )
        return with_experiment(batches, drawn)

    def validation(self) -> tf.data.Dataset:
        """See `Recipe`."""
        return validation_batches(self.config)

    def publish(
        self, model: ImpurityFinder, log: TrainingLog, progress: Progress
    ) -> ModelCard:
        """See `Recipe`.

        The validation split decides the calibration and the training
        distribution; the test split is used once, afterwards.

        Raises:
            InputError: where the network has learnt too little to calibrate.
        """
        ready, adaptation = self._ready(model, log)
        progress(1, _STAGES)
        tested = _test(ready, self.config)
        progress(2, _STAGES)
        card = _card(ready, self.config, log, tested, adaptation)
        write_model(ready.model, card, self.out, ready.distribution)
        progress(_STAGES, _STAGES)
        return card

    def _ready(
        self, model: ImpurityFinder, log: TrainingLog
    ) -> tuple[Calibrated, Adaptation | None]:
        """The network that ships, calibrated, and why it is that one."""
        start, experiment = self.start, self.experiment
        if start is None or experiment is None:
            return calibrate(model, self.config), None
        loss = held_out_loss(start.ready.model, self.validation())
        losses = loss, log.kept(self.keep)["val_l0"]
        guard = Guard(start, losses, experiment)
        return guard.choose(model, self.config)


def validation_batches(config: ContextConfig) -> tf.data.Dataset:
    """The held-out batches that checkpoints are compared on."""
    batches = context_batches(config.data, config.batches, split="validation")
    return batches.take(VALIDATION_BATCHES).cache()


def _check_data(path: Path, config: ContextConfig) -> None:
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


class _Tested(NamedTuple):
    """How good a calibrated network is on the test split."""

    scores: dict[str, dict[str, Any]]
    diagram: Reliability
    z_deviation: float
    false_in_surrogates: float


def _test(ready: Calibrated, config: ContextConfig) -> _Tested:
    model, threshold = ready.model, ready.threshold
    look = Look(model)
    held = held_out(look, config, "test", 2 * SEED, surrogate_share=0.0)
    surrogates = held_out(
        look,
        config,
        "test",
        3 * SEED,
        surrogate_share=1.0,
        holes_share=0.0,
    )
    joined = held.joined()
    counts = sorted({field.n_maps for field in held.fields})
    return _Tested(
        {
            f"{n} maps": {
                "network": _pooled(held.fields, n, threshold).as_dict()
            }
            for n in counts
        },
        reliability(joined.probabilities(), joined.correct),
        float(np.nanstd(joined.z)),
        _false_a_frame(surrogates, config, threshold),
    )


def _kept(field: FieldResult, threshold: float) -> np.ndarray:
    """Detections that count, bool [n]."""
    p = field.probabilities
    return p >= least_kept(p, FALSE_DISCOVERY_RATE, threshold, PRIOR_FALSE)


def _pooled(
    fields: Sequence[FieldResult], n_maps: int, threshold: float
) -> Score:
    return reduce(
        add,
        (
            score_positions(
                field.positions[_kept(field, threshold)],
                field.truth,
                tolerance=TOLERANCE_PX,
            )
            for field in fields
            if field.n_maps == n_maps
        ),
        Score(tolerance=TOLERANCE_PX),
    )


def _false_a_frame(
    surrogates: HeldOut, config: ContextConfig, threshold: float
) -> float:
    """Detections in maps without an impurity, for each 80 x 80 px."""
    found = sum(
        int(_kept(field, threshold).sum()) for field in surrogates.fields
    )
    # Crops of every size are equally frequent.
    area = np.mean(np.square(config.batches.sizes_px))
    return float(found / (len(surrogates.fields) * area) * _FRAME_PX2)


def _card(
    ready: Calibrated,
    config: ContextConfig,
    log: TrainingLog,
    tested: _Tested,
    adaptation: Adaptation | None,
) -> ModelCard:
    model, threshold, _ = ready
    diagram = tested.diagram
    return ModelCard(
        name=config.out.name,
        network=network_of(model),
        command=config.command,
        data={
            str(n): {**data_of(path), "share": share}
            for n, (path, share) in enumerate(config.data)
        },
        training={
            **config.course(),
            "steps_per_checkpoint": log.steps_per_epoch,
            "keep": config.keep,
            "best": log.kept(config.keep),
            **_of_the_weights(config),
        },
        tile_px=max(config.batches.sizes_px),
        reach_px=model.network.reach_px,
        ring_rad_px=RING_RAD_PX,
        scores=tested.scores,
        made=made_now(log),
        versions=package_versions(),
        selection=ProbabilitySelection(
            threshold,
            FALSE_DISCOVERY_RATE,
            PRIOR_FALSE,
            measured={
                "tolerance_px": TOLERANCE_PX,
                "reliability": {
                    "stated": diagram.stated.round(4).tolist(),
                    "observed": diagram.observed.round(4).tolist(),
                    "counts": diagram.counts.tolist(),
                    "expected_calibration_error": diagram.error,
                },
                "z_standard_deviation": tested.z_deviation,
                "false_in_surrogate_80x80": tested.false_in_surrogates,
            },
        ),
        adaptation=adaptation and adaptation.as_dict(),
    )


def _of_the_weights(config: ContextConfig) -> dict[str, Any]:
    """Where the weights are from that no step has changed."""
    if config.steps or config.init is None:
        return {}
    start = read_card(config.init)
    return {
        "weights": {
            "command": start.command,
            "made": start.made,
            "training": start.training,
        }
    }
