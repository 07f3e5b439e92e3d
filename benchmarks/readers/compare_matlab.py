"""Why MATLAB's files of versions 5 to 7 are not read with SciPy.

    python benchmarks/readers/compare_matlab.py [--n 2000] [--seed 0]

Sound files are read by SciPy and by `stm_keras` and must agree to the last
bit. Then damaged ones are given to SciPy, each in a process that may crash:
counted are crashes, exceptions by kind, and memory beyond 100 MB.
"""

import argparse
import collections
import multiprocessing
import signal
import tempfile
import tracemalloc
import warnings
from multiprocessing import sharedctypes
from pathlib import Path
from typing import Any

import numpy as np
import scipy
from fuzz_mutations import mutated
from scipy.io import loadmat
from tiny_matlab import tiny_files

from stm_keras.io.reader import open_recording

_FAR_TOO_MUCH = 100_000_000


def _sound() -> dict[str, bytes]:
    return {
        name: content
        for name, content in tiny_files().items()
        if name != "hdf5.mat"
    }


def compare_sound(folder: Path) -> None:
    """Both readers on what nobody damaged."""
    for name, content in _sound().items():
        path = folder / name
        path.write_bytes(content)
        by_scipy = loadmat(path)
        for channel in open_recording(path).channels:
            theirs = np.atleast_3d(by_scipy[channel.name])
            ours = np.moveaxis(channel.load(), 0, 2)
            equal = np.array_equal(ours, theirs)
            print(f"{name} {channel.name}: {'equal' if equal else 'DIFFER'}")


def read_damaged(folder: Path, n: int, seed: int) -> collections.Counter:
    """What became of SciPy; a crash costs one process."""
    context = multiprocessing.get_context("fork")
    done = sharedctypes.RawValue("l")
    results, outcome = context.SimpleQueue(), collections.Counter()
    while done.value < n:
        work = context.Process(
            target=_read_on, args=(folder, n, seed, done, results)
        )
        work.start()
        while work.is_alive() or not results.empty():
            if results.empty():
                work.join(0.01)
            else:
                outcome[results.get()] += 1
        if work.exitcode:
            outcome[signal.Signals(-work.exitcode).name] += 1
            done.value += 1
    return outcome


def _read_on(folder: Path, n: int, seed: int, done: Any, results: Any) -> None:
    warnings.simplefilter("ignore")
    contents, path = list(_sound().values()), folder / "damaged.mat"
    tracemalloc.start()
    while done.value < n:
        rng = np.random.default_rng([seed, done.value])
        which = int(rng.integers(len(contents)))
        path.write_bytes(mutated(contents, which, rng))
        tracemalloc.reset_peak()
        try:
            loadmat(path)
            result = "read"
        except Exception as error:
            result = type(error).__name__
        results.put(result)
        if tracemalloc.get_traced_memory()[1] > _FAR_TOO_MUCH:
            results.put("more than 100 MB")
        done.value += 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    print(f"SciPy {scipy.__version__}")
    with tempfile.TemporaryDirectory() as folder:
        compare_sound(Path(folder))
        outcome = read_damaged(Path(folder), arguments.n, arguments.seed)
    for result, count in outcome.most_common():
        print(f"{result}: {count}")


if __name__ == "__main__":
    main()
