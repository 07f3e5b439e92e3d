"""What does it give to correct the rings of a surface by those in the maps?

A scanner's lengths are off by a few per cent, and so is a published k(V). Here
simulated topographs (`topographs.py`) say lengths that are wrong by a factor,
and the network is told 2k as the surface has it, or corrected
(`finding/rings.py`). Prints, for what `stmk predict` would keep, the Jaccard
index of both, and of the corrections their median and spread. Run from the
project's folder:

    python benchmarks/wrong_scale.py --fields 30
"""

import datetime
import functools
import operator
import os
import platform

import numpy as np
from detecting import detector, model_options
from topographs import (
    BLANKED_RADIUS_RAD,
    BLANKED_TOLERANCE_RAD,
    SEED,
    TOLERANCE_RAD,
    topograph,
)

from stm_keras.detector import ContextDetector
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.resampling import resample
from stm_keras.preprocessing.cleaning import CleaningOptions, clean
from stm_keras.preprocessing.preparation import MIDDLE_RAD_PX
from stm_keras.qpi.dispersion import q_scale
from stm_keras.scoring import Score, score_positions
from stm_keras.studies.bench.real import blank

FACTORS = (0.92, 0.95, 0.98, 1.0, 1.02, 1.05, 1.08)
"""True lengths over those that the file says."""

EXPECTED = np.ones(1)
"""2k of the surface, for the lengths of a topograph are in 1/2k."""


def main() -> None:
    options = model_options(__doc__, fields=30)
    finder = detector(options.model)
    print(
        f"{datetime.date.today()}, {os.cpu_count()} cores, "
        f"{platform.machine()}; {options.fields} simulated topographs, seed "
        f"{SEED}\n"
    )
    print(
        "| true rings over the surface's | correction | whole: as the surface "
        "says | corrected | blanked: as the surface says | corrected |"
    )
    print("|---|---|---|---|---|---|")
    for factor in FACTORS:
        cells, scales = [], []
        for blanked in (False, True):
            rows = [
                seen(finder, number, factor, blanked=blanked)
                for number in range(options.fields)
            ]
            scales += [scale for _, scale in rows]
            pairs = [pair for pair, _ in rows]
            cells += [
                functools.reduce(operator.add, each).jaccard
                for each in zip(*pairs, strict=True)
            ]
        numbers = " | ".join(f"{jaccard:.3f}" for jaccard in cells)
        middle, spread = np.median(scales), np.std(scales)
        print(
            f"| {factor:.2f} | {middle:.3f} ± {spread:.3f} | {numbers} |",
            flush=True,
        )


def seen(
    finder: ContextDetector, number: int, factor: float, *, blanked: bool
) -> tuple[tuple[Score, Score], float]:
    """Scores of one topograph without and with correction, and this one.

    Args:
        finder: the network.
        number: of the topograph.
        factor: true rings over the surface's, by wrong lengths.
        blanked: whether the cores are.
    """
    maps, truth = topograph(number)
    if blanked:
        shown = blank(
            maps.data, truth, maps.pixel_nm, radius_nm=BLANKED_RADIUS_RAD
        )
        maps = maps.with_data(shown, "cores blanked")
    height, width = maps.extent_nm
    wrong = ConductanceMaps(
        maps.data, maps.bias_v, (height / factor, width / factor)
    )
    levelled = clean(wrong, CleaningOptions())
    scale = q_scale(levelled, EXPECTED)
    ready = resample(levelled, MIDDLE_RAD_PX)
    told = np.array([np.mean(ready.pixel_nm)])
    tolerance = BLANKED_TOLERANCE_RAD if blanked else TOLERANCE_RAD
    places = (truth + 0.5) * np.divide(ready.shape[1:], maps.shape[1:]) - 0.5
    scores = []
    for ring in (told, scale * told):
        found = finder.detect(ready.data, ring, fit_rings=False)
        kept = found.probabilities >= finder.least_kept(found.probabilities)
        scores.append(
            score_positions(
                found.positions[kept],
                places,
                # Of a true length, in pixels that say another.
                tolerance=tolerance / factor / MIDDLE_RAD_PX,
            )
        )
    return (scores[0], scores[1]), scale


if __name__ == "__main__":
    main()
