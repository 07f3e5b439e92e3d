"""Calibrate and test a trained network `context`, and write its directory."""

from collections.abc import Sequence
from dataclasses import replace
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from stm_keras.analysis.calibration import (
    Reliability,
    fit_calibration,
    reliability,
)
from stm_keras.analysis.false_discovery import least_kept
from stm_keras.analysis.metrics import Score, score_positions
from stm_keras.analysis.novelty import Ground, fit_ground, write_ground
from stm_keras.export.model_export import move_into
from stm_keras.export.saved_model import export_saved_model
from stm_keras.files import atomic_file
from stm_keras.fitting.context_config import ContextFitConfig
from stm_keras.fitting.detection_run import (
    TOLERANCE_PX,
    FieldResult,
    HeldOut,
    run_held_out,
)
from stm_keras.fitting.publication import (
    data_of,
    made_now,
    network_of,
    seal,
)
from stm_keras.fitting.training_log import TrainingLog
from stm_keras.model_card import ModelCard
from stm_keras.nn.detection_output import UNCALIBRATED
from stm_keras.nn.model import ImpurityFinder
from stm_keras.progress import Progress, no_progress
from stm_keras.versions import package_versions

FALSE_DISCOVERY_RATE = 0.1
LEAST_PROBABILITY = 0.5
"""So many of what is kept may be false, by expectation in every stack, and
nothing is that is more likely false than true."""

RING_RAD_PX = (0.6, 2.2)
"""Least and greatest 2k of the training sets [rad/px]."""

_SEED = 1_000_000
_FRAME_PX2 = 80 * 80
_STAGES = 4


class _Tested(NamedTuple):
    """How good a calibrated network is on the test split."""

    scores: dict[str, dict[str, Any]]
    diagram: Reliability
    z_deviation: float
    false_in_surrogates: float


def publish_context(
    model: ImpurityFinder,
    config: ContextFitConfig,
    log: TrainingLog,
    *,
    progress: Progress = no_progress,
) -> ModelCard:
    """Calibrate and test a trained network and write its directory.

    The validation split decides the calibration and the ground; the test
    split is looked at once, afterwards.

    Args:
        model: the network with its best weights.
        config: of its training.
        log: of its training.
        progress: told the number of stages done and of all.

    Returns:
        The card that was written.

    Raises:
        InputError: where the network has learnt too little to calibrate.
    """
    model.network.calibration = UNCALIBRATED
    seen = _run(model, config, "validation", _SEED)
    progress(1, _STAGES)
    model.network.calibration = fit_calibration(seen.joined())
    ground = fit_ground(seen.features)
    progress(2, _STAGES)
    tested = _test(model, config)
    progress(3, _STAGES)
    card = _card(model, config, log, tested)
    _write(model, config, log, card, ground)
    seal(card, config.out)
    progress(_STAGES, _STAGES)
    return card


def _run(
    model: ImpurityFinder,
    config: ContextFitConfig,
    split: str,
    seed: int,
    **effects: Any,
) -> HeldOut:
    batches = replace(
        config.batches,
        effects=replace(config.batches.effects, **effects),
        equation_3=replace(config.batches.equation_3, **effects),
    )
    return run_held_out(
        model,
        config.data,
        batches,
        split=split,
        n_batches=config.held_out_batches,
        seed=seed,
    )


def _test(model: ImpurityFinder, config: ContextFitConfig) -> _Tested:
    held = _run(model, config, "test", 2 * _SEED, surrogate_share=0.0)
    surrogates = _run(
        model,
        config,
        "test",
        3 * _SEED,
        surrogate_share=1.0,
        holes_share=0.0,
    )
    joined = held.joined()
    counts = sorted({field.n_maps for field in held.fields})
    return _Tested(
        {
            f"{n} maps": {"network": _pooled(held.fields, n).as_dict()}
            for n in counts
        },
        reliability(joined.probabilities(), joined.correct),
        float(np.nanstd(joined.z)),
        _false_a_frame(surrogates, config),
    )


def _kept(field: FieldResult) -> np.ndarray:
    """Detections that count, bool [n]."""
    least = least_kept(
        field.probabilities, FALSE_DISCOVERY_RATE, LEAST_PROBABILITY
    )
    return field.probabilities >= least


def _pooled(fields: Sequence[FieldResult], n_maps: int) -> Score:
    return reduce(
        add,
        (
            score_positions(
                field.positions[_kept(field)],
                field.truth,
                tolerance=TOLERANCE_PX,
            )
            for field in fields
            if field.n_maps == n_maps
        ),
        Score(tolerance=TOLERANCE_PX),
    )


def _false_a_frame(surrogates: HeldOut, config: ContextFitConfig) -> float:
    """Detections in maps without an impurity, for each 80 x 80 px."""
    found = sum(int(_kept(field).sum()) for field in surrogates.fields)
    # Crops of every size are equally frequent.
    area = np.mean(np.square(config.batches.sizes_px))
    return float(found / (len(surrogates.fields) * area) * _FRAME_PX2)


def _write(
    model: ImpurityFinder,
    config: ContextFitConfig,
    log: TrainingLog,
    card: ModelCard,
    ground: Ground,
) -> None:
    export = log.directory / "export"
    export_saved_model(model, card, export, ground)
    move_into(config.out, export)
    with atomic_file(config.out / "model.keras") as temporary:
        # Keras knows its own files by their ending.
        whole = temporary.with_suffix(".keras")
        model.save(whole)
        whole.replace(temporary)
    write_ground(ground, config.out)


def _card(
    model: ImpurityFinder,
    config: ContextFitConfig,
    log: TrainingLog,
    tested: _Tested,
) -> ModelCard:
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
            "best": log.best,
        },
        tile_px=max(config.batches.sizes_px),
        reach_px=model.network.reach_px,
        ring_rad_px=RING_RAD_PX,
        thresholds={},
        floors={},
        scores=tested.scores,
        made=made_now(log),
        versions=package_versions(),
        detection={
            "threshold": LEAST_PROBABILITY,
            "false_discovery_rate": FALSE_DISCOVERY_RATE,
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
    )
