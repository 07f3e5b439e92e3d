"""Fig. 4 of arXiv:2006.15898: four arms, ten trainings each, every epoch."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.reproduction.arms import ARMS, arm
from stm_keras.reproduction.experiments import load_experiments
from stm_keras.reproduction.fig4_picture import draw_fig4
from stm_keras.reproduction.fig4_tables import summarise
from stm_keras.reproduction.jobs import (
    EXPERIMENTS,
    RUNS,
    Report,
    check_processes,
    collect,
    run_all,
)
from stm_keras.reproduction.repeat import compare_run
from stm_keras.reproduction.settings import (
    ExperimentSettings,
    RunSettings,
    settings_of,
)
from stm_keras.reproduction.tables import Row, write_rows
from stm_keras.reproduction.without_network import (
    score_knowing_nothing,
    score_without_network,
)
from stm_keras.reproduction.worker import DONE
from stm_keras.system import atomic_file, writable_directory

PAPER_RUNS = 10


@dataclass(frozen=True, kw_only=True)
class Study:
    """A size of the study.

    Attributes:
        runs: trainings of each arm; run r has seed r.
        epochs: of each training.
        steps: of an epoch.
        experiment: what is scored.
    """

    runs: int = PAPER_RUNS
    epochs: int = 12
    steps: int = 20
    experiment: ExperimentSettings = field(default_factory=ExperimentSettings)

    def __post_init__(self) -> None:
        if self.runs < 1:
            raise InputError(f"--runs must be 1 or more. Received: {self.runs}")

    def jobs(self) -> dict[str, RunSettings]:
        """Settings of every run by its name, `ARM-RUN`.

        Run by run and not arm by arm: a study that is stopped has about as
        many runs of each arm.
        """
        return {
            job_name(name, run): settings_of(
                ARMS[name],
                run,
                epochs=self.epochs,
                steps=self.steps,
                experiment=self.experiment,
            )
            for run in range(self.runs)
            for name in ARMS
        }


FULL = Study()
QUICK = Study(
    runs=2,
    epochs=6,
    experiment=ExperimentSettings(n_shown=2, n_unseen=1, n_tuning=2),
)
"""A few minutes: enough to see the arms part, not to measure by how much."""


def job_name(arm_name: str, run: int) -> str:
    """Name of a run's folder."""
    return f"{arm_name}-{run}"


def parse_run(text: str, runs: int, option: str = "--only") -> str:
    """Name of the run that ARM:RUN asks for.

    Args:
        text: such as "both:3".
        runs: of each arm.
        option: that it was given with, for the error.

    Raises:
        InputError: for another form, an unknown arm, or a run beyond `runs`.
    """
    name, _, number = text.partition(":")
    if not number.isdecimal() or int(number) >= runs:
        raise InputError(
            f"{option} {text!r}: write ARM:RUN, such as both:3, with a run "
            f"from 0 to {runs - 1}."
        )
    return job_name(arm(name).name, int(number))


def run_fig4(
    study: Study,
    out: str | Path,
    *,
    processes: int,
    report: Report = lambda line: None,
) -> list[Path]:
    """Train what is missing, then write tables and picture.

    Args:
        study: its size.
        out: folder; what it holds of the same study is used.
        processes: trainings at once.
        report: told what is done.

    Returns:
        What was written, the picture first.

    Raises:
        InputError: see `stm_keras.reproduction.jobs.run_all`.
    """
    jobs = study.jobs()
    check_processes(processes)
    out = writable_directory(out)
    report("simulating the experiments ...")
    experiments = load_experiments(study.experiment, out / EXPERIMENTS)
    run_all(jobs, out, processes=processes, report=report)
    fronts = {name: _front(name) for name in jobs}
    points = collect(out, fronts, "points")
    lines = score_without_network(experiments)
    lines += score_knowing_nothing(experiments.shown)
    return _write(out, study, points, collect(out, fronts, "frames"), lines)


def run_one(
    study: Study,
    out: str | Path,
    only: str,
    *,
    compare: str | Path | None = None,
    report: Report = lambda line: None,
) -> Path:
    """Train one run of a study, where it is missing.

    Args:
        study: its size.
        out: folder; what it holds of the same study is used.
        only: ARM:RUN.
        compare: `fig4_points.csv` of an earlier study, to hold it against.
        report: told what is done.

    Returns:
        The run's points.

    Raises:
        InputError: as `run_fig4`, and for a run that is not in the table.
    """
    name = parse_run(only, study.runs)
    jobs = {name: study.jobs()[name]}
    out = writable_directory(out)
    report("simulating the experiments ...")
    load_experiments(study.experiment, out / EXPERIMENTS)
    run_all(jobs, out, processes=1, report=report)
    path = out / RUNS / name / "points.csv"
    if compare is not None:
        of = _front(name)
        again = compare_run(path, compare, arm=of["arm"], run=of["run"])
        report(f"{only} against {compare}: {again}")
    return path


def _front(name: str) -> Row:
    arm_name, _, run = name.rpartition("-")
    return {"arm": arm_name, "run": int(run), "seed": int(run)}


def _write(
    out: Path,
    study: Study,
    points: Sequence[Row],
    frames: Sequence[Row],
    lines: Sequence[Row],
) -> list[Path]:
    names = ("points.csv", "frames.csv", "lines.csv", "summary.md")
    paths = [out / f"fig4_{name}" for name in names]
    for path, rows in zip(paths, (points, frames, lines), strict=False):
        write_rows(path, rows)
    with atomic_file(paths[-1]) as temporary:
        text = summarise(points, lines, made=_made(out, study))
        temporary.write_text(text)
    picture = out / "fig4.png"
    draw_fig4(picture, points, lines)
    return [picture, *paths]


def _made(out: Path, study: Study) -> str:
    """Where, when, and how long the trainings took."""
    stored = [
        json.loads((out / RUNS / name / DONE).read_text())
        for name in study.jobs()
    ]
    cpu = sum(run["cpu_s"] for run in stored) / 60
    wall = sum(run["wall_s"] for run in stored) / 60
    return (
        f"{date.today()}, {os.cpu_count()} cores, {platform.machine()}: "
        f"{len(stored)} trainings of {study.epochs} epochs of {study.steps} "
        f"steps, {cpu:.0f} min of processor time, {wall:.0f} min on the clock "
        "if done one after another; the machine did other work beside it"
    )
