"""How the effects change with one setting, all others being the study's."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes

from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.studies.paper.criteria import mean_interval
from stm_keras.studies.paper.drawing import (
    STYLE,
    band,
    letter,
    new_figure,
    save,
)
from stm_keras.studies.paper.experiments import load_experiments
from stm_keras.studies.paper.run import (
    DONE,
    EXPERIMENTS,
    RUNS,
    Report,
    check_processes,
    run_all,
)
from stm_keras.studies.paper.settings import (
    ARMS,
    ExperimentSettings,
    RunSettings,
    settings_of,
)
from stm_keras.studies.tables import (
    Row,
    markdown_table,
    read_rows,
    where,
    write_rows,
)


class Sweep(NamedTuple):
    """A setting that can be swept.

    Attributes:
        values: that it takes.
        title: in the picture.
        arms: that are trained; their other setting stays as it is.
        experimental: name of what changes in `ExperimentSettings`; empty for
            a setting of the training.
    """

    values: tuple[Any, ...]
    title: str
    arms: tuple[str, ...] = ("noise", "both")
    experimental: str = ""


SWEEPS: dict[str, Sweep] = {
    "difficulty": Sweep(
        ("clean", "typical", "hard"),
        "noise and short range",
        tuple(ARMS),
        "difficulty",
    ),
    "alpha": Sweep(
        (0.0, 0.003, 0.01, 0.03, 0.1, 0.3), "alpha", ("confidence", "both")
    ),
    "eta": Sweep((0.0, 0.2, 0.4, 0.8, 1.2), "eta"),
    "core": Sweep(
        ("none", "hole", "round", "odd", "wide"),
        "short-range core",
        experimental="core",
    ),
    "density": Sweep(
        (15, 30, 60), "impurities in the frame", experimental="n_impurities"
    ),
    "voltages": Sweep((2, 4, 6, 12), "voltages", experimental="n_voltages"),
}

_PANELS = (
    ("a", "hit_ratio_em", "paper's hit ratio, EM"),
    ("b", "jaccard_truth", "Jaccard, truth"),
    ("c", "precision_truth", "precision, truth"),
    ("d", "entropy", "entropy [nat]"),
)

SHOWN_METRICS = {
    "hit_ratio_em": "hit ratio, EM",
    "jaccard_truth": "Jaccard, truth",
    "precision_truth": "precision, truth",
    "entropy": "entropy [nat]",
    "false_share": "share on surrogates",
}


def run_sweep(
    over: str,
    out: str | Path,
    *,
    seeds: int = 3,
    epochs: int = 8,
    steps: int = 20,
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
        study: folder of `stmk reproduce fig4`; see `known_runs`.
        processes: trainings at once.
        report: given what is done.

    Returns:
        The picture, every run at the last epoch, and the table of means.

    Raises:
        InputError: see `run_all`.
    """
    check_processes(processes)
    jobs = sweep_jobs(
        over,
        seeds=seeds,
        epochs=epochs,
        steps=steps,
        experiment=ExperimentSettings(),
    )
    out = writable_directory(out)
    rows = _trained(jobs, out, study, processes, report)
    return _write(out, over, where(rows, epoch=epochs))


def _write(out: Path, over: str, rows: Sequence[Row]) -> list[Path]:
    paths = [out / f"sweep_{over}{end}" for end in (".png", ".csv", ".md")]
    write_rows(paths[1], rows)
    with atomic_file(paths[2]) as temporary:
        temporary.write_text(sweep_table(rows) + "\n")
    draw_sweep(paths[0], rows)
    return paths


def _trained(
    jobs: Mapping[tuple[str, str], tuple[RunSettings, Row]],
    out: Path,
    study: str | Path | None,
    processes: int,
    report: Report,
) -> list[Row]:
    """Points of all runs, those that are missing trained first."""
    runs = {name: made for (name, _), (made, _) in jobs.items()}
    places = known_runs(study, runs) if study else {}
    missing = {name: made for name, made in runs.items() if name not in places}
    report("simulating the experiments ...")
    for of in {made.experiment for made in missing.values()}:
        load_experiments(of, out / EXPERIMENTS)
    run_all(missing, out, processes=processes, report=report)
    return [
        front | row
        for (name, _), (_, front) in jobs.items()
        for row in read_rows(places.get(name, out / RUNS / name) / "points.csv")
    ]


def known_runs(
    study: str | Path, wanted: Mapping[str, RunSettings]
) -> dict[str, Path]:
    """Folders of a study's runs that serve for those that are wanted.

    An epoch depends on those before it and not on how many follow: a longer
    training begins with the shorter one, bit for bit.

    Args:
        study: folder of the study.
        wanted: settings by name.

    Returns:
        A folder for each name that the study can serve.
    """
    there = {}
    for path in sorted(Path(study).glob(f"{RUNS}/*/{DONE}")):
        stored = json.loads(path.read_text())["settings"]
        made = RunSettings.from_dict(stored)
        there[_course(made)] = made.epochs, path.parent
    found = {name: there.get(_course(w)) for name, w in wanted.items()}
    return {
        name: known[1]
        for name, known in found.items()
        if known and known[0] >= wanted[name].epochs
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
    return markdown_table(["arm", over, *SHOWN_METRICS.values()], lines)


def changed(base: RunSettings, over: str, value: Any) -> RunSettings:
    """Settings of an arm with one of them, a key of `SWEEPS`, changed."""
    if over == "alpha":
        return replace(base, alpha=float(value))
    if over == "eta":
        return replace(base, noise=float(value))
    if over == "density":
        value = float(value)
    new = {SWEEPS[over].experimental: value}
    return replace(base, experiment=replace(base.experiment, **new))


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
        for arm in SWEEPS[over].arms:
            base = settings_of(
                ARMS[arm],
                seed,
                epochs=epochs,
                steps=steps,
                experiment=experiment,
            )
            for value in SWEEPS[over].values:
                settings = changed(base, over, value)
                front = {"over": over, "arm": arm, "value": value}
                jobs[run_name(settings), arm] = (
                    settings,
                    front | {"seed": seed},
                )
    return jobs


def draw_sweep(path: str | Path, rows: Sequence[Row]) -> None:
    """Draw scores at the last epoch against the setting that was swept.

    Args:
        path: PNG to write.
        rows: of all runs.
    """
    shown = where(rows, set="shown")
    last = max(row["epoch"] for row in shown)
    shown = where(shown, epoch=last)
    with mpl.rc_context(STYLE):
        figure = new_figure(10.4, 2.6)
        panels = figure.subplots(1, len(_PANELS))
        for axes, (key, metric, title) in zip(panels, _PANELS, strict=True):
            _panel(axes, shown, metric)
            letter(axes, key, title)
        panels[0].legend(loc="best")
    save(figure, path)


def _panel(axes: Axes, rows: Sequence[Row], metric: str) -> None:
    values = list(dict.fromkeys(row["value"] for row in rows))
    places = np.arange(len(values))
    for arm in dict.fromkeys(row["arm"] for row in rows):
        scores = np.array(
            [
                [row[metric] for row in where(rows, arm=arm, value=value)]
                for value in values
            ]
        ).T
        colour = ARMS[arm].colour
        band(axes, places, scores, colour, arm, marker="o", ms=3)
        for run in scores:
            axes.plot(places, run, ".", color=colour, ms=2.5, alpha=0.6)
    axes.set_xticks(places, [str(value) for value in values])
    axes.set_xlabel(SWEEPS[rows[0]["over"]].title)
    axes.grid(axis="y", lw=0.3, color="#cccccc")
    if metric != "entropy":
        axes.set_ylim(0, 1)
