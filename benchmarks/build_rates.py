"""Fields per second: simulation, TFDS's writing, and both together.

    python benchmarks/build_rates.py [--friedel 4000] [--scattering 400]
        [--processes 2] [--seed 0] [--beam-pipeline-options "--runner=..."]

All of it in one run, for the sets `friedel` (config au111) and `scattering`
(config default). Beside the wall clock's rate stands that per second of
processor time, summed over all processes, which other programs on the machine
disturb less. Beam's rows are there where its options are given.
"""

import argparse
import functools
import importlib
import io
import os
import platform
import resource
import tempfile
import time
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any, NamedTuple

from header import machine

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

# TFDS and the builders are imported where they are used: processes that
# simulate load this file, and should not wait for TensorFlow.
SETS = {"friedel": "au111", "scattering": "default"}


class Rate(NamedTuple):
    """What a piece of work took."""

    wall_s: float
    processor_s: float


def processor_seconds() -> float:
    return sum(
        usage.ru_utime + usage.ru_stime
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
        for usage in (resource.getrusage(who),)
    )


def timed(work: Callable[[], Any]) -> Rate:
    wall, processor = time.perf_counter(), processor_seconds()
    work()
    return Rate(time.perf_counter() - wall, processor_seconds() - processor)


def builder_of(name: str) -> Any:
    module = f"data_builders.{name}.{name}_dataset_builder"
    return importlib.import_module(module).Builder


def write_ready(builder: Any, ready: list[Any]) -> None:
    """Have TFDS write examples that are there already."""

    def make(split: int, numbers: range, processes: int) -> Any:
        del split, processes
        return (ready[i] for i in numbers)

    builder._make = lambda: make
    with redirect_stdout(io.StringIO()):  # TFDS tells where it writes
        builder.download_and_prepare()


def ways_of(
    builder_class: Any, config: Any, arguments: argparse.Namespace, out: Path
) -> dict[str, Callable[[], Any]]:
    """What is timed, by name."""
    from data_builders.building import build

    ready: list[Any] = []
    make = builder_class(config=config, data_dir=out)._make()
    numbers = range(config.n_examples[0])
    ways: dict[str, Callable[[], Any]] = {
        "simulation, 1 process": lambda: ready.extend(make(0, numbers, 1)),
        "TFDS's writing, arrays ready": lambda: write_ready(
            builder_class(config=config, data_dir=out / "ready"), ready
        ),
    }
    for n in sorted({1, arguments.processes}):
        ways[f"both, --processes {n}"] = functools.partial(
            build, builder_class, config, out / f"both{n}", processes=n
        )
    if arguments.beam_pipeline_options:
        ways["both, Apache Beam"] = functools.partial(
            build,
            builder_class,
            config,
            out / "beam",
            beam_options=arguments.beam_pipeline_options,
        )
    return ways


def measure(
    name: str, n_fields: int, arguments: argparse.Namespace, out: Path
) -> None:
    from data_builders.building import named_config

    builder_class = builder_of(name)
    config = named_config(builder_class, SETS[name]).changed(
        n_examples=(n_fields, 1, 1), seed=arguments.seed
    )
    print(f"\n{name}/{SETS[name]}, {n_fields} fields")
    print(f"{'':30}{'fields/s':>10}{'per processor s':>18}{'wall s':>9}")
    for way, work in ways_of(builder_class, config, arguments, out).items():
        rate = timed(work)
        print(
            f"{way:30}{n_fields / rate.wall_s:10.1f}"
            f"{n_fields / rate.processor_s:18.1f}{rate.wall_s:9.1f}",
            flush=True,
        )
    shards = (out / "both1" / name).rglob("*-train.tfrecord*")
    size = sum(shard.stat().st_size for shard in shards)
    print(f"{'bytes a field on disk':30}{size / n_fields:10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--friedel", type=int, default=4000)
    parser.add_argument("--scattering", type=int, default=400)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--beam-pipeline-options")
    arguments = parser.parse_args()

    import tensorflow_datasets as tfds

    from data_builders.building import build, named_config

    tfds.disable_progress_bar()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    print(
        f"{machine()}, "
        f"{memory:.0f} GiB; load before {os.getloadavg()[0]:.1f}; "
        f"seed {arguments.seed}\nPython {platform.python_version()}, "
        f"TFDS {tfds.__version__}"
    )
    with tempfile.TemporaryDirectory() as directory:
        out = Path(directory)
        # Modules that are loaded at the first build count for none.
        first = builder_of("friedel")
        small = named_config(first, "demo").changed(n_examples=(1, 1, 1))
        build(first, small, out / "first")
        for name in SETS:
            measure(name, getattr(arguments, name), arguments, out)


if __name__ == "__main__":
    main()
