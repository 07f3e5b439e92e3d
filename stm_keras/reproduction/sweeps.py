"""How the effects change with one setting, all others being the study's."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from stm_keras.reproduction.experiments import load_experiments
from stm_keras.reproduction.fig4_tables import table
from stm_keras.reproduction.jobs import (
    EXPERIMENTS,
    RUNS,
    Report,
    check_processes,
    run_all,
)
from stm_keras.reproduction.settings import ExperimentSettings, RunSettings
from stm_keras.reproduction.statistics import mean_interval
from stm_keras.reproduction.sweep_picture import draw_sweep
from stm_keras.reproduction.sweep_settings import sweep_jobs
from stm_keras.reproduction.tables import Row, read_rows, where, write_rows
from stm_keras.reproduction.worker import DONE
from stm_keras.system import atomic_file, writable_directory

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
        report: told what is done.

    Returns:
        The picture, every run at the last epoch, and the table of means.

    Raises:
        InputError: see `stm_keras.reproduction.jobs.run_all`.
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
    return table(["arm", over, *SHOWN_METRICS.values()], lines)
