"""Fields of `scattering` a second, before a change and after it.

    python benchmarks/field_rates.py --before COMMIT [--configs default
        context] [--fields 48] [--seed 0]

Two processes of one thread each, the commit's code and this one's, simulate
the same fields in turns of four, so that what else runs on the machine slows
both alike. Times are the processor's. Beside the configs stands `pairs`: 20
impurities in the frame of 48 x 48 px and 60 in a margin of 24 px, without
cores and decoys. The largest difference is that between their maps, in units
of the clean LDOS.
"""

import argparse
import os
import pickle
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

ROOT = Path(__file__).parents[1]
_AT_ONCE = 4
PAIRS = "pairs"


def config_named(name: str) -> Any:
    import dataclasses

    from data_builders.scattering.scattering_dataset_builder import Builder

    default = next(c for c in Builder.BUILDER_CONFIGS if c.name == "default")
    if name == PAIRS:
        density = 20 / 48**2
        return dataclasses.replace(
            default.simulation,
            density_per_px2=(density, density),
            cores=None,
            decoys=None,
        )
    return next(c.simulation for c in Builder.BUILDER_CONFIGS if c.name == name)


def serve() -> None:
    """Simulate what standard input asks for, and say how long it took."""
    answers, sys.stdout = sys.stdout.buffer, sys.stderr
    from stm_keras.simulation.training_fields import field_rng, simulate_field

    configs: dict[str, Any] = {}
    while True:
        try:
            name, seed, indices = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        config = configs.setdefault(name, config_named(name))
        start = time.process_time()
        maps = [
            simulate_field(config, field_rng(seed, i)).maps for i in indices
        ]
        taken = time.process_time() - start
        pickle.dump((taken, np.stack(maps)), answers)
        answers.flush()


@contextmanager
def server(code: Path) -> Iterator[tuple[IO[bytes], IO[bytes]]]:
    """A process that simulates with the code in a directory."""
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    process = subprocess.Popen(
        [sys.executable, __file__, "--serve"],
        env={**os.environ, **threads, "PYTHONPATH": str(code)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield process.stdin, process.stdout
    finally:
        process.stdin.close()
        process.wait()


def ask(
    of: tuple[Any, Any], name: str, seed: int, indices: list[int]
) -> tuple[float, np.ndarray]:
    pickle.dump((name, seed, indices), of[0])
    of[0].flush()
    return pickle.load(of[1])


def measure(
    both: list[tuple[Any, Any]], name: str, arguments: argparse.Namespace
) -> None:
    for one in both:
        ask(one, name, arguments.seed, [0])  # tables that are made once
    times, error = np.empty((0, 2)), 0.0
    for start in range(0, arguments.fields, _AT_ONCE):
        indices = list(range(start, start + _AT_ONCE))
        answers = [ask(one, name, arguments.seed, indices) for one in both]
        times = np.vstack([times, [taken for taken, _ in answers]])
        error = max(error, float(np.abs(answers[0][1] - answers[1][1]).max()))
    n = len(times) * _AT_ONCE
    before, after = n / times.sum(axis=0)
    ratios = np.sort(times[:, 0] / times[:, 1])
    print(
        f"{name:12}{before:10.1f}{after:10.1f}{after / before:8.2f}"
        f"{ratios[0]:8.2f}{ratios[-1]:8.2f}{error:12.1e}",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--before", default="HEAD")
    parser.add_argument("--configs", nargs="+", default=[PAIRS, "default"])
    parser.add_argument("--fields", type=int, default=48)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    if arguments.serve:
        serve()
        return
    from header import machine

    with tempfile.TemporaryDirectory() as directory, ExitStack() as stack:
        archive = subprocess.run(
            ["git", "archive", arguments.before, "stm_keras", "data_builders"],
            cwd=ROOT,
            check=True,
            capture_output=True,
        ).stdout
        subprocess.run(
            ["tar", "-x", "-C", directory], input=archive, check=True
        )
        both = [
            stack.enter_context(server(code))
            for code in (Path(directory), ROOT)
        ]
        print(
            f"{machine()}, load {os.getloadavg()[0]:.1f}; one thread each; "
            f"seed {arguments.seed}, {arguments.fields} fields; before: "
            f"{arguments.before}\n"
        )
        print(
            f"{'':12}{'before':>10}{'after':>10}{'ratio':>8}{'least':>8}"
            f"{'most':>8}{'difference':>12}"
        )
        for name in arguments.configs:
            measure(both, name, arguments)


if __name__ == "__main__":
    main()
