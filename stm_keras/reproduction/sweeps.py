"""How the effects change with one setting, all others being the study's."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.reproduction.arms import ARMS
from stm_keras.reproduction.experiments import load_experiments
from stm_keras.reproduction.fig4_tables import table
from stm_keras.reproduction.jobs import EXPERIMENTS, RUNS, Report, run_all
from stm_keras.reproduction.settings import (
    ExperimentSettings,
    RunSettings,
    settings_of,
)
from stm_keras.reproduction.statistics import mean_interval
from stm_keras.reproduction.sweep_picture import draw_sweep
from stm_keras.reproduction.tables import Row, read_rows, where, write_rows
from stm_keras.reproduction.worker import DONE

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

SHOWN_METRICS = {
    "hit_ratio_em": "hit ratio, EM",
    "jaccard_truth": "Jaccard, truth",
    "precision_truth": "precision, truth",
    "entropy": "entropy [nat]",
    "false_share": "share on surrogates",
}


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


def run_sweep(
    over: str,
    out: str | Path,
    *,
    seeds: int = 3,
    epochs: int = 8,
    steps: int = 20,
    experiment: ExperimentSettings | None = None,
    study: str | Path | None = None,
    processes: int = 2,
    report: Report = lambda line: None,
) -> list[Path]:
    """Train over the values of one setting, and draw how scores change.

    Args:
        over: a key of `SWEEPS`.
        out: folder; finished runs in it are used again.
        seeds: trainings of each arm and value.
        epochs: of each training.
        steps: of an epoch.
        experiment: the one that is changed; the study's if None.
        study: folder of `stmk reproduce fig4`: where it has the same training
            for as many epochs or more, that is used.
        processes: trainings at once.
        report: told what is done.

    Returns:
        The picture, the table of points and the table of means.

    Raises:
        InputError: see `stm_keras.reproduction.jobs.run_all`.
    """
    jobs = sweep_jobs(
        over,
        seeds=seeds,
        epochs=epochs,
        steps=steps,
        experiment=experiment or ExperimentSettings(),
    )
    out = writable_directory(out)
    there = known_runs(study) if study else {}
    places = {
        name: there.get(_course(made), out / RUNS / name)
        for (name, _), (made, _) in jobs.items()
    }
    missing = {
        name: made
        for (name, _), (made, _) in jobs.items()
        if places[name] == out / RUNS / name
    }
    report("simulating the experiments ...")
    for of in {made.experiment for made in missing.values()}:
        load_experiments(of, out / EXPERIMENTS)
    run_all(missing, out, processes=processes, report=report)
    rows = [
        front | row
        for (name, _), (_, front) in jobs.items()
        for row in read_rows(places[name] / "points.csv")
        if row["epoch"] <= epochs
    ]
    paths = [out / f"sweep_{over}{end}" for end in (".png", ".csv", ".md")]
    write_rows(paths[1], rows)
    with atomic_file(paths[2]) as temporary:
        temporary.write_text(sweep_table(rows) + "\n")
    draw_sweep(paths[0], rows)
    return paths


def known_runs(study: str | Path) -> dict[str, Path]:
    """Finished runs of a study by what their course depends on.

    An epoch depends on those before it and not on how many follow: a longer
    training begins with the shorter one, bit for bit.
    """
    return {
        _course(
            RunSettings.from_dict(json.loads(path.read_text())["settings"])
        ): path.parent
        for path in sorted(Path(study).glob(f"{RUNS}/*/{DONE}"))
    }


def _course(settings: RunSettings) -> str:
    values = settings.as_dict()
    del values["epochs"]
    return json.dumps(values, sort_keys=True)


def sweep_table(rows: Sequence[Row]) -> str:
    """Means over the seeds at the last epoch, in Markdown."""
    shown = where(rows, set="shown")
    last = max(row["epoch"] for row in shown)
    over = shown[0]["over"]
    lines = []
    for arm in dict.fromkeys(row["arm"] for row in shown):
        for value in dict.fromkeys(row["value"] for row in shown):
            at = where(shown, arm=arm, value=value, epoch=last)
            cells = [
                str(mean_interval([row[name] for row in at]))
                for name in SHOWN_METRICS
            ]
            lines.append([arm, str(value), *cells])
    return table(["arm", over, *SHOWN_METRICS.values()], lines)
