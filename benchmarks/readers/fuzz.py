"""Damages tiny files of every format a hundred thousand times, and reads them.

    python benchmarks/readers/fuzz.py [--n 100000] [--seed 0] [--format NAME]

Every damaged file must be refused with one line or give a recording of the
shape that it promises, in less than a second, with less memory than four
times its size (and a fixed amount, see `fuzz_trial.py`). What breaks this is
kept under /tmp/stmk-fuzz, and the exit status is 1. Readers that rest on
libraries get a tenth of the damage. A format is read in a process of its own,
so that a crash or a hang is seen and counted as well.
"""

import argparse
import ctypes
import importlib
import multiprocessing
import resource
import signal
import sys
import tempfile
import time
import tracemalloc
import warnings
import zlib
from ctypes import c_double
from multiprocessing import sharedctypes
from pathlib import Path

import numpy as np
from fuzz_mutations import mutated
from fuzz_trial import trial

LIBRARY_BACKED = ("gxsm", "netcdf", "nexus", "tiff")
"""Formats whose reader rests on a library; one in ten mutations is enough."""

_LIBRARY_SHARE = 10
_HANG_S = 20
_SPARE_BYTES = 1 << 29  # of address space, beyond what is in use at the start
_KEPT = Path(tempfile.gettempdir()) / "stmk-fuzz"
_UNSOUND = 3  # exit status
_DAMAGED = "damaged"  # folder of a copy, should the process crash
_MAX_KEPT = 20  # violations of one format are enough


class Counts(ctypes.Structure):
    """What a process has done so far, shared so that a crash loses nothing."""

    _fields_ = (
        ("done", ctypes.c_long),
        ("answers", ctypes.c_long),
        ("faults", ctypes.c_long),
        ("slowest_s", c_double),
        ("peak_bytes", ctypes.c_long),
        ("peak_size", ctypes.c_long),
    )


def formats() -> list[str]:
    """Names of the formats that have a writer of tiny files."""
    here = Path(__file__).parent
    return sorted(
        path.stem.removeprefix("tiny_") for path in here.glob("tiny_*.py")
    )


def run_format(name: str, n: int, seed: int) -> tuple[Counts, float]:
    """Fuzz one format; gives the counts and the time it took [s]."""
    context = multiprocessing.get_context("fork")
    counts = sharedctypes.RawValue(Counts)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        while counts.done < n and counts.faults < _MAX_KEPT:
            work = context.Process(
                target=_work, args=(name, n, seed, folder, counts)
            )
            work.start()
            work.join()
            code = work.exitcode or 0
            if code == 0:
                break
            damaged = list(folder.glob(f"{_DAMAGED}/*"))
            if code == _UNSOUND or not damaged:
                counts.faults += 1
                print(f"VIOLATION {name}: exit {code} before any damage")
                break
            reason = signal.Signals(-code).name if code < 0 else str(code)
            _keep(name, damaged[0], counts, reason)
            counts.done += 1
    return counts, time.monotonic() - started


def _work(name: str, n: int, seed: int, folder: Path, counts: Counts) -> None:
    """Read damaged files, from where an earlier process stopped."""
    warnings.simplefilter("ignore")
    writer = importlib.import_module(f"tiny_{name}")
    sound: dict[str, bytes] = writer.tiny_files()
    # What must lie beside them is damaged as well.
    beside = getattr(writer, "companion_files", dict)()
    whole = {**sound, **beside}
    contents, read_names = list(whole.values()), list(sound)
    tracemalloc.start()
    for number in range(-len(sound), 0):  # imports and caches, and a check
        _check_sound(folder, beside, read_names[number], sound)
    _bound_memory()
    for number in range(counts.done, n):
        rng = np.random.default_rng([seed, zlib.crc32(name.encode()), number])
        which = int(rng.integers(len(contents)))
        damaged = mutated(contents, which, rng)
        place = int(rng.integers(len(read_names)))
        target = read_names[which if which < len(sound) else place]
        files = {**beside, target: sound[target], list(whole)[which]: damaged}
        _judge(name, folder, files, target, list(whole)[which], counts)
        if counts.faults >= _MAX_KEPT:
            return


def _judge(
    name: str,
    folder: Path,
    files: dict[str, bytes],
    target: str,
    damaged: str,
    counts: Counts,
) -> None:
    """Read one file, with what lies beside it, and count."""
    kept = folder / _DAMAGED / damaged
    kept.parent.mkdir(exist_ok=True)
    kept.write_bytes(files[damaged])
    for file_name, content in files.items():
        (folder / file_name).write_bytes(content)
    size = sum(map(len, files.values()))
    signal.setitimer(signal.ITIMER_REAL, _HANG_S)
    result = trial(folder / target, size)
    if result.fault:  # imports and caches are paid for once
        result = trial(folder / target, size)
    signal.setitimer(signal.ITIMER_REAL, 0)
    counts.answers += result.answered
    counts.slowest_s = max(counts.slowest_s, result.cpu_s)
    if result.peak_bytes > counts.peak_bytes:
        counts.peak_bytes, counts.peak_size = result.peak_bytes, size
    if result.fault:
        _keep(name, kept, counts, result.fault)
    counts.done += 1
    kept.unlink(missing_ok=True)
    (folder / target).unlink()


def _check_sound(
    folder: Path, beside: dict[str, bytes], target: str, sound: dict[str, bytes]
) -> None:
    """A harness whose own files are refused would find nothing."""
    files = {**beside, target: sound[target]}
    for file_name, content in files.items():
        (folder / file_name).write_bytes(content)
    result = trial(folder / target, sum(map(len, files.values())))
    if not result.answered or "shape" in result.fault:
        print(f"{target}, undamaged, is not read: {result.fault}", flush=True)
        raise SystemExit(_UNSOUND)
    (folder / target).unlink()


def _bound_memory() -> None:
    """Make C code fail that asks for far too much."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("VmSize:"):
            limit = int(line.split()[1]) * 1024 + _SPARE_BYTES
            resource.setrlimit(resource.RLIMIT_AS, (limit, limit))


def _keep(name: str, path: Path, counts: Counts, reason: str) -> None:
    counts.faults += 1
    _KEPT.mkdir(exist_ok=True)
    kept = _KEPT / f"{name}-{counts.done}-{path.name}"
    kept.write_bytes(path.read_bytes())
    print(f"VIOLATION {kept}: {reason}", flush=True)
    path.unlink()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--n", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--format", action="append", choices=formats())
    arguments = parser.parse_args()
    print(
        "| format | mutations | read | refused | slowest [ms] | "
        "most memory [kB] | of a file of [kB] | violations | took [s] |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    faults = 0
    for name in arguments.format or formats():
        share = _LIBRARY_SHARE if name in LIBRARY_BACKED else 1
        counts, took = run_format(
            name, max(1, arguments.n // share), arguments.seed
        )
        faults += counts.faults
        print(
            f"| {name} | {counts.done} | {counts.answers} | "
            f"{counts.done - counts.answers} | {1e3 * counts.slowest_s:.0f} | "
            f"{counts.peak_bytes / 1e3:.0f} | {counts.peak_size / 1e3:.1f} | "
            f"{counts.faults} | {took:.0f} |",
            flush=True,
        )
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main())
