"""What a night of files costs, by plain `stmk predict` and by Beam.

    python benchmarks/night.py [--files 4 16] [--side 80] [--maps 1]
        [--night 10000] [--options "--surrogates 0 --no-report"]

Folders of that many files, with the rings of impurities (Eq. 3) in noise, go
through both commands. Printed is the processor time of all their processes,
which other programs on the machine disturb less than the clock's; what one
file more takes, from the difference; and what that makes of a night.
"""

import argparse
import os
import resource
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from header import machine

from stm_keras.simulation.friedel import FriedelConfig, simulate_friedel

BEAM = (
    "--runner=DirectRunner --direct_num_workers=2 "
    "--direct_running_mode=multi_processing"
)


def write_files(folder: Path, count: int, side: int, n_maps: int) -> None:
    folder.mkdir()
    rng = np.random.default_rng(0)
    config = FriedelConfig(
        size_px=side, n_voltages=n_maps, n_impurities=(15, 15)
    )
    for i in range(count):
        maps = simulate_friedel(config, rng, 1).maps[0]
        maps = maps + 0.1 * rng.standard_normal(maps.shape)
        np.savez(
            folder / f"{i:05}.npz",
            maps=maps.astype(np.float32),
            bias_v=np.linspace(-0.1, 0.1, n_maps),
            extent_nm=[37.5 * side / 80] * 2,
        )


def predict(folder: Path, out: Path, more: list[str]) -> tuple[float, float]:
    """Processor and clock seconds of one command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    start = time.perf_counter()
    subprocess.run(
        [
            *(sys.executable, "-c", "from cli.main import main; main()"),
            *("predict", str(folder), "--out", str(out), "--quiet"),
            *("--surface", "au111", *more),
        ],
        check=True,
    )
    wall = time.perf_counter() - start
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return used, wall


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--files", type=int, nargs=2, default=(4, 16))
    parser.add_argument("--side", type=int, default=80)
    parser.add_argument("--maps", type=int, default=1)
    parser.add_argument("--night", type=int, default=10_000)
    parser.add_argument("--options", default="")
    arguments = parser.parse_args()
    few, many = arguments.files
    more = shlex.split(arguments.options)
    ways = {"plain": more, "Beam": [*more, "--beam-pipeline-options", BEAM]}
    print(
        f"{machine()}, load {os.getloadavg()[0]:.1f}; {arguments.maps} map(s) "
        f"of {arguments.side} x {arguments.side} px, seed 0; processor s, and "
        f"the clock's in brackets; {arguments.options}\n"
    )
    head = (f"{few} files", f"{many} files", "one more", f"{arguments.night}")
    print(f"{'':8}" + "".join(f"{name:>18}" for name in head))
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory)
        for count in (few, many):
            write_files(
                root / str(count), count, arguments.side, arguments.maps
            )
        for name, options in ways.items():
            (small, clock), (large, longer) = (
                predict(root / str(count), root / f"{name}{count}", options)
                for count in (few, many)
            )
            each = (large - small) / (many - few)
            night = small + each * (arguments.night - few)
            print(
                f"{name:8}{f'{small:.1f} ({clock:.0f})':>18}"
                f"{f'{large:.1f} ({longer:.0f})':>18}{each:>18.2f}"
                f"{f'{night / 3600:.2f} h':>18}",
                flush=True,
            )


if __name__ == "__main__":
    main()
