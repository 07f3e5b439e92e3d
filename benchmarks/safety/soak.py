"""Many predictions in one process, and its memory.

    python benchmarks/safety/soak.py --n 1000 [--minutes 60] [--out out/safety]

Each reads a file of two maps of 40 x 40 px, finds and writes a result, with
the little model of the tests, loaded once. Memory rises and falls with Python's
collections; the most of the second half of the predictions must not exceed the
most of the first by more than a fiftieth. A line of JSON goes to `soak.jsonl`.
"""

import argparse
import json
import resource
import shutil
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

import stm_keras
from stm_keras.files import atomic_file, writable_directory
from stm_keras.models.export import export_in_place
from stm_keras.results.folder import write_result

LITTLE = Path(__file__).parents[2] / "tests/models/wang2020"
_MOST_GROWTH = 0.02
_PAGE = resource.getpagesize()


def in_use_mb() -> float:
    """Resident memory of this process [MB]."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * _PAGE / 1e6


def soak(count: int, folder: Path, until: float) -> list[float]:
    """Predict many times, while there is time; the memory after each [MB]."""
    model = folder / "model"
    shutil.copytree(LITTLE, model)
    export_in_place(model)
    rng = np.random.default_rng(0)
    scan = folder / "scan.npz"
    detector = stm_keras.load_detector(model)
    used = []
    while len(used) < count and time.monotonic() < until:
        maps = rng.normal(size=(2, 40, 40))
        np.savez(scan, maps=maps, bias_v=[0.1, 0.2], extent_nm=[20.0, 20.0])
        found = stm_keras.find(scan, surface="au111", detector=detector)
        write_result(found, folder / "found")
        used.append(in_use_mb())
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=1000)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--out", type=Path, default=Path("out/safety"))
    options = parser.parse_args()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="soak-") as folder:
        until = started + 60 * options.minutes
        used = soak(options.n, Path(folder), until)
    half = len(used) // 2
    begin, end = max(used[:half]), max(used[half:])
    flat = end < begin * (1 + _MOST_GROWTH)
    row = {
        "attack": "predictions in one process, memory flat (the most in the "
        f"first half {begin:.0f} MB, in the second {end:.0f} MB)",
        "tried": len(used),
        "held": len(used) if flat else 0,
        "seconds": round(time.monotonic() - started),
    }
    path = writable_directory(options.out) / "soak.jsonl"
    with atomic_file(path) as draft:
        draft.write_text(json.dumps(row) + "\n")
    print(json.dumps(row))
    sys.exit(not flat)


if __name__ == "__main__":
    main()
