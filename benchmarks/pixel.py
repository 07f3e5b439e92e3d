"""At which pixel should `context` see a topograph?

Files sampled more finely than the training's pixels are resampled; to what,
is chosen here, on simulated topographs of molecules (one map, high cores that
are alike, most of them in clusters, least distance 2.7/2k) and not on real
files. Prints the Jaccard index and RMSE at a tolerance of 1.3/2k (0.3 nm on
Cu(111) at the Fermi energy) by the 2k in rad/px that the maps are resampled
to. Run from the project's folder:

    python benchmarks/pixel.py --model saved_models/context
"""

import argparse
import datetime
import os
import platform
from functools import reduce
from operator import add
from pathlib import Path

import numpy as np

from data_builders.scattering.fields import (
    TrainingFieldConfig,
    add_short_range,
)
from stm_keras.analysis.metrics import Score, score_positions
from stm_keras.finding.detection_finder import DetectionFinder
from stm_keras.finding.saved_finder import load_finder
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.resampling import resample
from stm_keras.simulation.randomised import field_rng
from stm_keras.simulation.scattering_field import simulate_field
from stm_keras.simulation.short_range import CoreRanges, DecoyRanges

RINGS_RAD_PX = (0.7, 0.8, 0.9, 1.0, 1.1, 1.2, 1.4)
SEED = 77_000_000
"""Of no training set."""

TOLERANCE_RAD = 1.3
NOISE = (0.05, 0.3)
"""White and line noise, in units of the map's spread."""

FILE_RAD_PX = 0.35
FIELDS = TrainingFieldConfig(
    size_px=190,
    n_voltages=2,
    margin_px=60.0,
    density_per_px2=(4e-4, 1.4e-3),
    min_distance_px=2.7 / FILE_RAD_PX,
    clustered_share=0.7,
    cluster_size=(3.0, 10.0),
    cluster_spread_px=(2 / FILE_RAD_PX, 5 / FILE_RAD_PX),
    ring_rad_px=(0.34, 0.36),
    ring_ratio=(1.05, 1.05),
    mean_free_path_px=(100.0, 1000.0),
    cores=CoreRanges(
        amplitude=(5.0, 12.0),
        sigma=(0.4, 0.9),
        shift=(0.0, 0.1),
        anisotropy=(1.0, 1.2),
        alike_share=1.0,
    ),
    decoys=DecoyRanges(density_per_px=(0.0, 0.0)),
)


def topograph(number: int) -> tuple[ConductanceMaps, np.ndarray]:
    """One map whose "nm" are 1/2k, and the positions [px]."""
    rng = field_rng(SEED, number)
    field = add_short_range(FIELDS, simulate_field(FIELDS, rng), rng)
    image = field.maps[0] / field.maps[0].std()
    white, lines = rng.uniform(*NOISE, 2)
    image = image + white * rng.standard_normal(image.shape)
    image += lines * rng.standard_normal((len(image), 1)) / 3
    ring = 2 * float(field.wave_numbers[0])
    side = ring * FIELDS.size_px
    maps = ConductanceMaps(
        image[None].astype(np.float32), np.zeros(1), (side, side)
    )
    return maps, field.positions[field.in_frame]


def found_at(finder: DetectionFinder, ring_rad_px: float, number: int) -> Score:
    """The score of one topograph at one pixel."""
    maps, truth = topograph(number)
    ready = resample(maps, ring_rad_px)
    told = np.array([np.mean(ready.pixel_nm)])
    found = finder.detect(ready.data, told)
    sure = found.probabilities >= finder.least_kept(found.probabilities)
    scale = np.divide(ready.shape[1:], maps.shape[1:])
    return score_positions(
        (found.positions[sure] + 0.5) * ready.pixel_nm,
        (truth + 0.5) * scale * ready.pixel_nm,
        tolerance=TOLERANCE_RAD,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--model", type=Path, default=Path("saved_models/context")
    )
    parser.add_argument("--fields", type=int, default=12)
    options = parser.parse_args()
    finder = load_finder(options.model)
    if not isinstance(finder, DetectionFinder):
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
            f"{pooled.precision:.3f} | {pooled.rmse:.3f} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
