"""How long does a fit of waves take? Two states of the project side by side.

Fields of 80 x 80 px with 40 impurities in the frame and 60 around it. With
--beside, another checkout of the project does the same fits in turn with this
one, so that what else the machine does slows both alike; the table then also
says how far apart their results are, in deviations. From the project's folder:

    git worktree add /tmp/before COMMIT
    python benchmarks/waves_cost.py --beside /tmp/before
"""

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
from header import machine

SEED = 20_007
N_INSIDE, N_OUTSIDE = 40, 60


class Took(NamedTuple):
    """Seconds of a fit by the clock and of the processors, and its results."""

    wall: float
    used: float
    result: dict[str, np.ndarray]


class Worker:
    """A process in which one state of the project fits."""

    def __init__(self, project: Path) -> None:
        environment = os.environ | {"PYTHONPATH": str(project)}
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )

    def fit(self, n_maps: int, out: Path) -> Took:
        """Fit a field of so many maps once; `out` is written on the way."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(n_maps, out, file=self._process.stdin, flush=True)
        wall, used = map(float, self._process.stdout.readline().split())
        with np.load(out) as file:
            return Took(wall, used, dict(file))

    def close(self) -> None:
        """End it."""
        self._process.communicate()


def work() -> None:
    """Fit what the lines of the standard input ask for."""
    from stm_keras.studies.bench.waves import fitted_field, phase_field
    from stm_keras.system import keep_freed_memory

    keep_freed_memory()  # as `stmk` does
    fields = {}
    for line in sys.stdin:
        number, out = line.split(maxsplit=1)
        n_maps = int(number)
        if n_maps not in fields:
            fields[n_maps] = phase_field(
                SEED,
                n_maps,
                white=0.3,
                pink=0.2,
                inside=N_INSIDE,
                outside=N_OUTSIDE,
            )
        wall, used = time.perf_counter(), time.process_time()
        fit = fitted_field(fields[n_maps], SEED)
        took = time.perf_counter() - wall, time.process_time() - used
        names = ("amplitudes", "covariance", "q_per_nm", "std_q_per_nm")
        names += ("positions_px", "deviations_px", "std_phase_rad")
        np.savez(out.strip(), **{name: getattr(fit, name) for name in names})
        print(*took, flush=True)


def apart(one: dict, other: dict) -> dict[str, np.ndarray]:
    """How far two results are apart, in deviations of the first."""
    step = other["amplitudes"] - one["amplitudes"]
    pair = np.stack([step.real, step.imag], -1)
    inverse = np.linalg.inv(one["covariance"])
    return {
        "amplitude": np.sqrt(
            np.einsum("nva,nvab,nvb->nv", pair, inverse, pair) / 2
        ),
        "phase": np.abs(
            np.angle(other["amplitudes"] / one["amplitudes"])
            / one["std_phase_rad"]
        ),
        "q": np.abs(other["q_per_nm"] - one["q_per_nm"]) / one["std_q_per_nm"],
        "position": np.abs(other["positions_px"] - one["positions_px"])
        / one["deviations_px"],
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--beside", type=Path)
    parser.add_argument("--maps", default="1,16,126")
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--out", type=Path, default=Path("/tmp"))
    parser.add_argument("--worker", action="store_true")
    options = parser.parse_args()
    if options.worker:
        work()
        return
    here = Path(__file__).resolve().parents[1]
    trees = {"this": here}
    if options.beside:
        trees["beside"] = options.beside.resolve()
    workers = {name: Worker(tree) for name, tree in trees.items()}
    print(
        f"{machine()}, load {os.getloadavg()[0]:.1f} at the start; 80 x 80 px, "
        f"{N_INSIDE} impurities in the frame and {N_OUTSIDE} around it, seed "
        f"{SEED}; {options.runs} runs each in turn, after one that does not "
        "count; median, and the least\n"
    )
    print("| maps | which | seconds | of the processors |\n|---|---|---|---|")
    for n_maps in map(int, options.maps.split(",")):
        took: dict[str, list[Took]] = {name: [] for name in workers}
        for run in range(options.runs + 1):
            for name, worker in workers.items():
                one = worker.fit(n_maps, options.out / f"waves-{name}.npz")
                took[name] += [one] if run else []
        for name, runs in took.items():
            cells = [
                f"{statistics.median(values):.2f} ({min(values):.2f})"
                for values in ([t.wall for t in runs], [t.used for t in runs])
            ]
            print(f"| {n_maps} | {name} | {cells[0]} | {cells[1]} |")
        if options.beside:
            _compare(n_maps, took)
    for worker in workers.values():
        worker.close()


def _compare(n_maps: int, took: dict[str, list[Took]]) -> None:
    ratio = statistics.median(
        here.used / there.used
        for here, there in zip(took["this"], took["beside"], strict=True)
    )
    gaps = apart(took["beside"][-1].result, took["this"][-1].result)
    text = ", ".join(
        f"{name} {np.nanmedian(gap):.1e} (most {np.nanmax(gap):.1e})"
        for name, gap in gaps.items()
    )
    print(
        f"| {n_maps} | this over beside | | {ratio:.2f} |\n\nresults apart in "
        f"deviations, median and most: {text}\n"
    )


if __name__ == "__main__":
    main()
