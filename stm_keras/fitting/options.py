"""Checks of what every training is asked to do."""

from pathlib import Path

import numpy as np

from stm_keras.errors import InputError


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
