"""At which pixel should `context` see a topograph?

Files sampled more finely than the training's pixels are resampled; to what,
is chosen here, on simulated topographs of molecules (`topographs.py`) and not
on real files. Prints the Jaccard index and RMSE at a tolerance of 1.3/2k
(0.3 nm on Cu(111) at the Fermi energy) by the 2k in rad/px that the maps are
resampled to. Run from the project's folder:

    python benchmarks/pixel.py --model saved_models/context
"""

import argparse
import datetime
import os
import platform
from functools import reduce
from operator import add
from pathlib import Path

from topographs import SEED, seen_topograph

from stm_keras.detector import ContextDetector, load_detector
from stm_keras.scoring import Score

RINGS_RAD_PX = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)


def found_at(finder: ContextDetector, ring_rad_px: float, number: int) -> Score:
    """The score of one topograph at one pixel."""
    seen = seen_topograph(finder, number, ring_rad_px)
    return seen.score(finder.least_kept(seen.found.probabilities))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=Path("saved_models/context")
    )
    parser.add_argument("--fields", type=int, default=12)
    options = parser.parse_args()
    finder = load_detector(options.model)
    if not isinstance(finder, ContextDetector):
        raise SystemExit("pixel.py: give a model of the network `context`.")
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {options.fields} fields, seed {SEED}"
    )
    print("| 2k [rad/px] | Jaccard | recall | precision | RMSE [1/2k] |")
    print("|---|---|---|---|---|")
    for ring in RINGS_RAD_PX:
        pooled = reduce(
            add, (found_at(finder, ring, i) for i in range(options.fields))
        )
        print(
            f"| {ring:g} | {pooled.jaccard:.3f} | {pooled.recall:.3f} | "
            f"{pooled.precision:.3f} | {ring * pooled.rmse:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
