"""Calibrate and test a trained network `context`, and write its directory."""

from collections.abc import Callable, Sequence
from functools import reduce
from operator import add
from typing import Any, NamedTuple

import numpy as np

from stm_keras.fitting.adaptation_figures import Adaptation
from stm_keras.fitting.context_calibration import (
    FALSE_DISCOVERY_RATE,
    PRIOR_FALSE,
    SEED,
    Calibrated,
    calibrate,
    held_out,
)
from stm_keras.fitting.context_config import RING_RAD_PX, ContextFitConfig
from stm_keras.fitting.detection_run import (
    TOLERANCE_PX,
    FieldResult,
    HeldOut,
    Look,
)
from stm_keras.fitting.publication import (
    data_of,
    made_now,
    network_of,
    seal,
)
from stm_keras.fitting.training_log import TrainingLog
from stm_keras.models.card import ModelCard, ProbabilitySelection, read_card
from stm_keras.models.export import export_saved_model, move_into
from stm_keras.nn.calibration import FILE as GROUND
from stm_keras.nn.calibration import Reliability, reliability, write_ground
from stm_keras.nn.decoding import least_kept
from stm_keras.nn.model import ImpurityFinder
from stm_keras.scoring import Score, score_positions
from stm_keras.system import (
    Progress,
    atomic_file,
    no_progress,
    package_versions,
)

Choose = Callable[
    [ImpurityFinder, ContextFitConfig], tuple[Calibrated, Adaptation]
]
"""From an adapted network to the one that ships, calibrated, and why."""

_FRAME_PX2 = 80 * 80
_STAGES = 3


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
    choose: Choose | None = None,
    progress: Progress = no_progress,
) -> ModelCard:
    """Calibrate and test a trained network and write its directory.

    The validation split decides the calibration and the ground; the test
    split is looked at once, afterwards.

    Args:
        model: the network of the checkpoint to keep.
        config: of its training.
        log: of its training.
        choose: calibrates an adapted network, or puts another in its place;
            None for a network that is not adapted.
        progress: told the number of stages done and of all.

    Returns:
        The card that was written.

    Raises:
        InputError: where the network has learnt too little to calibrate.
    """
    adaptation = None
    if choose is None:
        ready = calibrate(model, config)
    else:
        ready, adaptation = choose(model, config)
    progress(1, _STAGES)
    tested = _test(ready, config)
    progress(2, _STAGES)
    card = _card(ready, config, log, tested, adaptation)
    _write(ready, config, log, card)
    seal(card, config.out)
    progress(_STAGES, _STAGES)
    return card


def _test(ready: Calibrated, config: ContextFitConfig) -> _Tested:
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
    surrogates: HeldOut, config: ContextFitConfig, threshold: float
) -> float:
    """Detections in maps without an impurity, for each 80 x 80 px."""
    found = sum(
        int(_kept(field, threshold).sum()) for field in surrogates.fields
    )
    # Crops of every size are equally frequent.
    area = np.mean(np.square(config.batches.sizes_px))
    return float(found / (len(surrogates.fields) * area) * _FRAME_PX2)


def _write(
    ready: Calibrated,
    config: ContextFitConfig,
    log: TrainingLog,
    card: ModelCard,
) -> None:
    model, _, ground = ready
    export = log.directory / "export"
    export_saved_model(model, card, export, ground)
    move_into(config.out, export)
    with atomic_file(config.out / "model.keras") as temporary:
        # Keras knows its own files by their ending.
        whole = temporary.with_suffix(".keras")
        model.save(whole)
        whole.replace(temporary)
    if ground is None:
        (config.out / GROUND).unlink(missing_ok=True)
    else:
        write_ground(ground, config.out)


def _card(
    ready: Calibrated,
    config: ContextFitConfig,
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


def _of_the_weights(config: ContextFitConfig) -> dict[str, Any]:
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
