"""Do more maps find less where some of them are bad?

Spoils maps of virtual Au(111) stacks and counts what `context` finds with all
of them, and with those that `stmk predict` keeps. Run from the project's
folder:

    python benchmarks/map_quality.py
"""

import argparse
from dataclasses import replace
from pathlib import Path

import numpy as np
from detecting import detector
from header import machine

from stm_keras.detector import ContextDetector
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import CleaningOptions
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.scoring import score_positions
from stm_keras.studies.bench.cases import Case, CaseId, Role
from stm_keras.studies.bench.surfaces import SURFACE, surface_case

SEED = 412
N_BAD = (1, 4, 12)
N_MAPS = 16
FAULTS = ("noise x 10", "nearly blank", "saturated", "moved", "1/f x 10")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default="saved_models/context")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--kinds", default="plain")
    asked = parser.parse_args()
    finder = detector(asked.model)
    print(
        f"{machine()}; {asked.draws} draws a row, seed {SEED}\n\n"
        "| | maps | of them bad | left out: bad | good | Jaccard, all maps "
        "| left out |\n|---|---|---|---|---|---|---|"
    )
    for kind in asked.kinds.split(","):
        for n_maps in (4, N_MAPS):
            row(finder, kind, n_maps, "", 0, asked.draws)
        for fault in FAULTS:
            for n_bad in N_BAD:
                row(finder, kind, N_MAPS, fault, n_bad, asked.draws)


def row(
    finder: ContextDetector,
    kind: str,
    n_maps: int,
    fault: str,
    n_bad: int,
    draws: int,
) -> None:
    """Print one line of the table."""
    jaccard, gone = [], []
    for i in range(draws):
        case = surface_case(kind, n_maps, False, CaseId(Role.TEST, SEED, i))
        assert case.file is not None
        rng = np.random.default_rng([SEED, i])
        bad = np.isin(np.arange(n_maps), rng.permutation(n_maps)[:n_bad])
        maps = spoilt(case.file.maps, fault, bad, rng)
        every, _ = searched(finder, maps, case, leave_out=False)
        some, bias_v = searched(finder, maps, case, leave_out=True)
        kept = np.isin(maps.bias_v, bias_v)
        jaccard.append((every, some))
        gone.append(((~kept & bad).sum(), (~kept & ~bad).sum()))
    first, second = np.mean(jaccard, axis=0)
    right, wrong = np.sum(gone, axis=0)
    print(
        f"| {kind}{', ' + fault if fault else ''} | {n_maps} | {n_bad} "
        f"| {right} of {draws * n_bad} | {wrong} of {draws * (n_maps - n_bad)} "
        f"| {first:.3f} | {second:.3f} |",
        flush=True,
    )


def spoilt(
    maps: ConductanceMaps, fault: str, bad: np.ndarray, rng: np.random.Generator
) -> ConductanceMaps:
    """Maps of which some are bad."""
    data = maps.data.copy()
    shape = data.shape[1:]
    k = np.hypot(
        np.fft.fftfreq(shape[0])[:, None], np.fft.rfftfreq(shape[1])[None]
    )
    for index in np.flatnonzero(bad):
        image, spread = data[index], data[index].std()
        white = rng.normal(size=shape)
        if fault == "noise x 10":
            # The typical noise is 0.3 of the waves.
            data[index] = image + 3 * spread * white
        elif fault == "1/f x 10":
            slow = np.fft.irfft2(
                np.fft.rfft2(white) / np.maximum(k, 1 / shape[0]), shape
            )
            data[index] = image + 3 * spread * slow / slow.std()
        elif fault == "nearly blank":
            data[index] = image.mean() + 1e-3 * spread * white
        elif fault == "saturated":
            data[index] = np.minimum(image, np.median(image))
        elif fault == "moved":
            away = rng.integers(8, shape[0] - 8, 2)
            data[index] = np.roll(image, away, (0, 1))
    return maps.with_data(data, f"{int(bad.sum())} maps spoilt: {fault}")


def searched(
    finder: ContextDetector,
    maps: ConductanceMaps,
    case: Case,
    *,
    leave_out: bool,
) -> tuple[float, np.ndarray]:
    """Jaccard index, and the biases of the maps that were searched."""
    options = PredictOptions(
        surface=SURFACE,
        cleaning=replace(CleaningOptions(), leave_out=leave_out),
    )
    prepared = finder.prepare(finder.card, maps, options)
    assert prepared.q_per_nm is not None
    q = prepared.q_per_nm * np.mean(prepared.ready.pixel_nm)
    found = finder.detect(prepared.ready.data, q, fit_rings=False)
    sure = found.probabilities >= finder.least_kept(found.probabilities)
    score = score_positions(
        prepared.to_file_pixels(found.positions[sure]),
        case.positions,
        tolerance=1.0,
    )
    return score.jaccard, prepared.ready.bias_v


if __name__ == "__main__":
    main()
