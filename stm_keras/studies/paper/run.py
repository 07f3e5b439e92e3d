"""Many trainings, each in a process of its own, resumable one by one.

It leaves in its folder `points.csv`, `frames.csv`, `weights.npz` and at last
`run.json`, which says that the run is whole and what it was made from.
"""

import json
import multiprocessing
import os
import sys
import time
from collections.abc import Callable, Mapping
from multiprocessing.context import SpawnProcess
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.studies.paper.settings import RunSettings
from stm_keras.studies.tables import Row, read_rows, write_rows
from stm_keras.system import end_with_parent, single_threaded

EXPERIMENTS = "experiments"
RUNS = "runs"
LOG = "log.txt"
DONE = "run.json"
_POLL_S = 0.2
Report = Callable[[str], None]


def run_all(
    jobs: Mapping[str, RunSettings],
    out: str | Path,
    *,
    processes: int = 2,
    report: Report = lambda line: None,
) -> None:
    """Do the trainings that a folder does not hold yet.

    Each is single-threaded: one run then gives the same bits however many
    run beside it. A run that was stopped half-way starts anew; finished ones
    stay.

    Args:
        jobs: settings by name; `out/runs/NAME` is the run's folder.
        out: folder of the study.
        processes: how many train at once.
        report: given a line a finished run.

    Raises:
        InputError: where the folder cannot be written to, holds runs made
            with other settings, or a run failed, with its log.
    """
    check_processes(processes)
    out = writable_directory(out)
    waiting = [name for name in jobs if not is_done(out, name, jobs[name])]
    if len(waiting) < len(jobs):
        report(f"{len(jobs) - len(waiting)} of {len(jobs)} runs are there")
    _work_off(waiting, jobs, out, processes, report)


def _work_off(
    waiting: list[str],
    jobs: Mapping[str, RunSettings],
    out: Path,
    processes: int,
    report: Report,
) -> None:
    """Train what waits, so many at once; see `run_all`."""
    running: dict[str, SpawnProcess] = {}
    done, started = 0, time.monotonic()
    total = len(waiting)
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                name = waiting.pop(0)
                running[name] = _start(out, name, jobs[name])
            time.sleep(_POLL_S)
            for name in [n for n, p in running.items() if not p.is_alive()]:
                _check(running.pop(name), out / RUNS / name)
                done += 1
                minutes = (time.monotonic() - started) / 60
                report(
                    f"{name}: {done} of {total}, {minutes:.1f} min, about "
                    f"{minutes / done * (total - done):.1f} to go"
                )
    finally:
        for process in running.values():
            process.terminate()


def check_processes(processes: int) -> None:
    """Refuse to train in no process at all.

    Raises:
        InputError: for fewer than one.
    """
    if processes < 1:
        raise InputError(f"--jobs must be 1 or more. Received: {processes}.")


def is_done(out: Path, name: str, settings: RunSettings) -> bool:
    """Whether a run is whole.

    Raises:
        InputError: where it was made with other settings.
    """
    path = Path(out) / RUNS / name / DONE
    if not path.exists():
        return False
    try:
        stored = json.loads(path.read_text())["settings"]
    except (ValueError, KeyError) as error:
        raise InputError(f"{path} is damaged: delete it.") from error
    if stored != json.loads(json.dumps(settings.as_dict())):
        raise InputError(
            f"{path.parent} holds a run with other settings (epochs, network "
            "or experiment): choose another --out."
        )
    return True


def _start(out: Path, name: str, settings: RunSettings) -> SpawnProcess:
    """Begin a training in a process of its own, of one thread."""
    folder = writable_directory(out / RUNS / name)
    process = multiprocessing.get_context("spawn").Process(
        target=_train, args=(folder, out / EXPERIMENTS, settings)
    )
    with single_threaded():
        process.start()
    return process


def _check(process: SpawnProcess, folder: Path) -> None:
    if process.exitcode == 0:
        return
    log = folder / LOG
    lines = log.read_text(errors="replace").strip().splitlines()
    raise InputError(
        f"The training in {folder} ended with {process.exitcode}: "
        f"{lines[-1] if lines else 'no message'} (see {log}). Run the same "
        "command again to continue."
    )


def collect(out: str | Path, names: Mapping[str, Row], table: str) -> list[Row]:
    """Rows of many runs in one table.

    Args:
        out: folder of the study.
        names: runs, and what goes in front of each row of them.
        table: "points" or "frames".
    """
    return [
        front | row
        for name, front in names.items()
        for row in read_rows(Path(out) / RUNS / name / f"{table}.csv")
    ]


def _train(folder: Path, experiments: Path, settings: RunSettings) -> None:
    """What a training's process does; all it says goes to the log.

    Args:
        folder: of the run.
        experiments: of the virtual experiments.
        settings: of the training.
    """
    end_with_parent()
    log = os.open(folder / LOG, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    os.dup2(log, sys.stdout.fileno())
    os.dup2(log, sys.stderr.fileno())
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    started, used = time.time(), time.process_time()
    from stm_keras.studies.paper.experiments import load_experiments
    from stm_keras.studies.paper.training import pin_to_one_thread, train_run

    pin_to_one_thread()
    run = train_run(
        settings,
        load_experiments(settings.experiment, experiments),
        report=lambda line: print(line, flush=True),
    )
    write_rows(folder / "points.csv", run.points)
    write_rows(folder / "frames.csv", run.frames)
    _write_weights(folder / "weights.npz", run.weights)
    done = {
        "settings": settings.as_dict(),
        "wall_s": round(time.time() - started, 1),
        "cpu_s": round(time.process_time() - used, 1),
        "finished": time.strftime("%Y-%m-%d"),
    }
    with atomic_file(folder / DONE) as temporary:
        temporary.write_text(json.dumps(done, indent=2) + "\n")


def _write_weights(path: Path, epochs: list) -> None:
    import numpy as np

    arrays = {
        f"epoch{epoch}_{i}": array
        for epoch, weights in enumerate(epochs, start=1)
        for i, array in enumerate(weights)
    }
    with atomic_file(path) as temporary:
        np.savez_compressed(temporary, allow_pickle=False, **arrays)
