"""Igor waves: our reader against igor2 and, where installed, igorwriter.

Run: PYTHONPATH=. python benchmarks/readers/compare_igor.py
"""

import importlib
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import tiny_igor
from igor2 import binarywave

from stm_keras.io.igor import read_wave


def main() -> None:
    cube = np.random.default_rng(0).normal(size=(6, 5, 4))
    files = tiny_igor.tiny_files()
    broken = bytearray(files["stack.ibw"])
    broken[64 + 84] ^= 0xFF  # the scale of x
    files["a damaged scale"] = bytes(broken)
    files["64-bit integers"] = tiny_igor.wave(cube * 9, kind="i8")
    files["a note of 2 MB"] = tiny_igor.wave(cube, note="x" * 2_000_000)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "wave.ibw"
        for name, content in files.items():
            path.write_bytes(content)
            theirs, their_peak = _read(_theirs, path)
            ours, our_peak = _read(lambda p: read_wave(p).values, path)
            said = f"igor2 {_short(theirs)}; here {_short(ours)}"
            if isinstance(theirs, np.ndarray) and isinstance(ours, np.ndarray):
                said = f"same numbers: {np.array_equal(theirs, ours)}"
            print(
                f"{name}: {said}; memory {their_peak / len(content):.1f} and "
                f"{our_peak / len(content):.1f} x the file"
            )
        _written_by_another(path, cube)


def _written_by_another(path: Path, cube: np.ndarray) -> None:
    try:
        writer = importlib.import_module("igorwriter")
    except ModuleNotFoundError:
        print("igorwriter is not installed")
        return
    wave = writer.IgorWave(cube, name="dIdV")
    for axis, step, unit in (("x", 1e-9, "m"), ("y", 2e-9, "m")):
        wave.set_dimscale(axis, 0, step, unit)
    wave.set_dimscale("z", -0.1, 0.05, "V")
    wave.save(str(path))
    read = read_wave(path)
    same = np.array_equal(read.values, cube)
    print(f"written by igorwriter: {same}, {read.scales}, {read.units}")


def _theirs(path: Path) -> np.ndarray:
    return binarywave.load(str(path))["wave"]["wData"]


def _read(read: Callable, path: Path) -> tuple[object, int]:
    tracemalloc.start()
    try:
        return read(path), tracemalloc.get_traced_memory()[1]
    except Exception as error:
        return error, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def _short(value: object) -> str:
    if isinstance(value, np.ndarray):
        return f"reads {value.shape}"
    return f"{type(value).__name__}: {str(value)[-50:]}"


if __name__ == "__main__":
    main()
