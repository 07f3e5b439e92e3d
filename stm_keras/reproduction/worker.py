"""The process of one training: `python -m stm_keras.reproduction.worker`.

It reads a job from a file and leaves, in the job's folder, `points.csv`,
`frames.csv`, `weights.npz` and at last `run.json`, which says that the run is
whole and what it was made from.
"""

import json
import os
import sys
import threading
import time
from pathlib import Path

from stm_keras.reproduction.settings import RunSettings
from stm_keras.reproduction.tables import write_rows
from stm_keras.system import atomic_file

DONE = "run.json"
JOB = "job.json"


def main(folder: Path, experiments: Path) -> None:
    """Train what a folder's job asks for.

    Args:
        folder: of the run.
        experiments: of the virtual experiments.
    """
    _end_with_parent()
    started, used = time.time(), time.process_time()
    from stm_keras.reproduction.experiments import load_experiments
    from stm_keras.reproduction.training_run import pin_to_one_thread, train_run

    pin_to_one_thread()
    job = json.loads((folder / JOB).read_text())
    settings = RunSettings.from_dict(job)
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


def _end_with_parent() -> None:
    """Stop as soon as the process that started this one is gone."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
