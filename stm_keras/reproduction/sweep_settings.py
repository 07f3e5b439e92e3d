"""Which trainings a sweep over one setting consists of."""

from dataclasses import replace
from typing import Any

from stm_keras.errors import InputError
from stm_keras.reproduction.arms import ARMS
from stm_keras.reproduction.settings import (
    ExperimentSettings,
    RunSettings,
    settings_of,
)
from stm_keras.reproduction.tables import Row

SWEEPS: dict[str, tuple[Any, ...]] = {
    "difficulty": ("clean", "typical", "hard"),
    "alpha": (0.0, 0.003, 0.01, 0.03, 0.1, 0.3),
    "eta": (0.0, 0.2, 0.4, 0.8, 1.2),
    "core": ("none", "hole", "round", "odd", "wide"),
    "density": (15, 30, 60),
    "voltages": (2, 4, 6, 12),
}
"""What can be swept, and over what values."""

ARMS_SHOWN: dict[str, tuple[str, ...]] = {
    "difficulty": ("neither", "noise", "confidence", "both"),
    "alpha": ("confidence", "both"),
    "eta": ("noise", "both"),
    "core": ("noise", "both"),
    "density": ("noise", "both"),
    "voltages": ("noise", "both"),
}
"""Arms whose other setting stays as it is while one is swept."""

_EXPERIMENTAL = {
    "difficulty": "difficulty",
    "core": "core",
    "density": "n_impurities",
    "voltages": "n_voltages",
}
"""Sweeps over the experiment, by the name of what changes in it."""


def changed(base: RunSettings, over: str, value: Any) -> RunSettings:
    """Settings with one of them changed.

    Args:
        base: of an arm.
        over: a key of `SWEEPS`.
        value: the new one.
    """
    if over == "alpha":
        return replace(base, alpha=float(value))
    if over == "eta":
        return replace(base, noise=float(value))
    name = _EXPERIMENTAL[over]
    if over == "density":
        value = float(value)
    return replace(base, experiment=replace(base.experiment, **{name: value}))


def run_name(settings: RunSettings) -> str:
    """Name of a run's folder: sweeps that cross share what they can."""
    of = settings.experiment
    return (
        f"eta{settings.noise:g}-alpha{settings.alpha:g}-{of.difficulty}-"
        f"{of.core}-"
        f"n{of.n_impurities:g}-v{of.n_voltages}-{settings.seed}"
    )


def sweep_jobs(
    over: str,
    *,
    seeds: int,
    epochs: int,
    steps: int,
    experiment: ExperimentSettings,
) -> dict[tuple[str, str], tuple[RunSettings, Row]]:
    """The runs of a sweep by name and arm, each with what leads its rows.

    Raises:
        InputError: for an unknown sweep.
    """
    if over not in SWEEPS:
        raise InputError(
            f"Unknown sweep: {over!r}. Known: {', '.join(SWEEPS)}."
        )
    jobs = {}
    for seed in range(seeds):
        for arm in ARMS_SHOWN[over]:
            base = settings_of(
                ARMS[arm],
                seed,
                epochs=epochs,
                steps=steps,
                experiment=experiment,
            )
            for value in SWEEPS[over]:
                settings = changed(base, over, value)
                front = {"over": over, "arm": arm, "value": value}
                jobs[run_name(settings), arm] = (
                    settings,
                    front | {"seed": seed},
                )
    return jobs
