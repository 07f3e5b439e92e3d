"""Processor time of a whole command, of two states of the project in turn.

    python benchmarks/startup.py --tree BEFORE --tree . -- \
        predict scan.sxm --surface cu111 --surrogates 0

Runs `stmk` of every tree once a round, one after the other, so that whatever
else the machine does falls on all alike, and prints user and system time of
each. `--importtime` prints what took longest to import instead, and `--profile`
the functions that a single run spent its time in.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

_RUN = "import cli.main; cli.main.main()"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--tree", type=Path, action="append", default=[])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--importtime", action="store_true")
    parser.add_argument("--profile", action="store_true")
    parser.add_argument("command", nargs="+")
    given = parser.parse_args()
    trees = [tree.resolve() for tree in given.tree or [Path()]]
    if given.importtime or given.profile:
        for tree in trees:
            inspect(tree, given.command, profile=given.profile)
        return
    spent: dict[Path, list[tuple[float, float]]] = {tree: [] for tree in trees}
    for number in range(given.rounds):
        for tree in trees:
            processor, wall = run(tree, given.command)
            spent[tree].append((processor, wall))
            print(f"{number} {tree}: {processor:.2f} s, wall {wall:.2f} s")
    for tree, times in spent.items():
        processor, wall = (
            statistics.median(t) for t in zip(*times, strict=True)
        )
        least = min(time for time, _ in times)
        print(
            f"{tree}: processor {processor:.2f} s (least {least:.2f}), "
            f"wall {wall:.2f} s; medians of {len(times)}"
        )


def run(tree: Path, command: list[str]) -> tuple[float, float]:
    """Seconds of the processor, and of the clock, that a command takes."""
    with started(tree, command, ["-c", _RUN]) as process:
        begin = time.perf_counter()
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - begin
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"{tree}: stmk ended with {process.returncode}")
    return used.ru_utime + used.ru_stime, wall


def started(
    tree: Path, command: list[str], python: list[str]
) -> "subprocess.Popen[bytes]":
    """`stmk COMMAND` of a tree; a result goes to a folder of no name."""
    if command[0] == "predict" and "--out" not in command:
        command = [*command, "--out", tempfile.mkdtemp()]
    return subprocess.Popen(
        [sys.executable, *python, *command],
        env=environment(tree),
        stdout=subprocess.DEVNULL,
    )


def environment(tree: Path) -> dict[str, str]:
    """In which Python takes a tree's packages, not those of this folder."""
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONSAFEPATH": "1"}


def inspect(tree: Path, command: list[str], *, profile: bool) -> None:
    """Print what one run spent its time on."""
    with tempfile.TemporaryDirectory() as scratch:
        kept = Path(scratch) / "kept"
        if profile:
            code = (
                "import cProfile, pstats, runpy, sys, cli.main\n"
                "p = cProfile.Profile()\n"
                "try: p.runcall(cli.main.main)\n"
                "except SystemExit: pass\n"
                f"p.dump_stats({str(kept)!r})"
            )
            with started(tree, command, ["-c", code]) as process:
                process.wait()
            import pstats

            pstats.Stats(str(kept)).sort_stats("cumulative").print_stats(40)
            return
        # Standard error is turned away while TensorFlow is imported.
        code = (
            "import cli.quiet, contextlib, sys\n"
            "cli.quiet.quiet_imports = contextlib.nullcontext\n" + _RUN
        )
        with (
            kept.open("w") as errors,
            subprocess.Popen(
                [sys.executable, "-X", "importtime", "-c", code, *command],
                env=environment(tree),
                stderr=errors,
            ) as process,
        ):
            process.wait()
        lines = [line.split("|") for line in kept.read_text().splitlines()]
        times = [
            (int(b), c)
            for _, b, c in (x for x in lines if len(x) == 3)
            if b.strip().isdigit()
        ]
        for microseconds, name in sorted(times, reverse=True)[:40]:
            print(f"{microseconds / 1000:8.0f} ms {name}")


if __name__ == "__main__":
    main()
