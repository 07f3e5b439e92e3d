"""Make the probabilities of a trained network `context` true."""

import math
from dataclasses import replace
from typing import Any, NamedTuple

from stm_keras.data.context_pipeline import ContextBatchConfig
from stm_keras.fitting.context_config import ContextFitConfig
from stm_keras.fitting.detection_run import HeldOut, Look, run_held_out
from stm_keras.nn.calibration import (
    FIELDS_A_FEATURE,
    Ground,
    fit_calibration,
    fit_ground,
)
from stm_keras.nn.context import N_ROTATIONS
from stm_keras.nn.model import ImpurityFinder
from stm_keras.nn.output import UNCALIBRATED

FALSE_DISCOVERY_RATE = 0.4
PRIOR_FALSE = 0.3
LEAST_PROBABILITY = 0.4
"""See `least_kept`: one alone must be 0.9 sure, two 0.75 in the mean, many 0.6.
Another detection raises a Jaccard index of J as long as its probability is
above J / (1 + J), so that nothing is kept below 0.4, where J is 2/3. Chosen on
tuning stacks (docs/experiments.md, 13 and 14). Of all stacks together far
fewer are false than in the worst of them."""

SEED = 1_000_000
"""Of the effects on held-out fields; multiples of it for further runs."""


class Calibrated(NamedTuple):
    """A network ready to be used.

    Attributes:
        model: whose network has its calibration.
        threshold: least probability of a detection.
        ground: what its training fields look like to it; None where it is
            not known, as for a model from before there was one.
    """

    model: ImpurityFinder
    threshold: float
    ground: Ground | None


def calibrate(model: ImpurityFinder, config: ContextFitConfig) -> Calibrated:
    """Calibrate a network on the validation split.

    Args:
        model: the trained network; its calibration and rotations are set.
        config: of its training.

    Returns:
        The model, with `LEAST_PROBABILITY`.

    Raises:
        InputError: where the network has learnt too little to calibrate.
    """
    model.network.calibration = UNCALIBRATED
    # Training and its held-out loss look once, for the time's sake.
    model.network.rotations = N_ROTATIONS
    seen = held_out(Look(model), config, "validation", SEED)
    model.network.calibration = fit_calibration(seen.joined())
    return Calibrated(model, LEAST_PROBABILITY, fit_ground(seen.features))


def held_out(
    look: Look,
    config: ContextFitConfig,
    split: str,
    seed: int,
    **effects: Any,
) -> HeldOut:
    """Find impurities in held-out fields.

    Args:
        look: the network.
        config: of its training.
        split: "validation" or "test".
        seed: of the instrument's effects.
        **effects: changes of the training's effects.
    """
    batches = replace(
        config.batches,
        effects=replace(config.batches.effects, **effects),
        equation_3=replace(config.batches.equation_3, **effects),
    )
    return run_held_out(
        look,
        config.data,
        batches,
        split=split,
        n_batches=max(config.held_out_batches, _enough(look, config.batches)),
        seed=seed,
    )


def _enough(look: Look, batches: ContextBatchConfig) -> int:
    """Batches for each number of maps that give the ground its fields."""
    own = look.model.network.own
    features = 2 * own.decoder_filters + own.first_filters + 1
    fields = batches.batch_size * len(set(batches.voltages))
    return math.ceil(FIELDS_A_FEATURE * features / fields)
