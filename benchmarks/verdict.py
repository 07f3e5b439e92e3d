"""Does the verdict of the surrogate maps cry wolf, and does it when it should?

Counts what `context` finds in stacks, and in phase-randomised surrogates of
them: of the whole spectrum, and of that of the background, as `stmk predict`
makes them. Stacks are virtual surfaces with and without impurities, correlated
noise alone, and the development files where they are. Run from the project's
folder:

    python benchmarks/verdict.py --real ../shared/data
"""

import argparse
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from detecting import detector
from header import machine

from stm_keras.detector import ContextDetector
from stm_keras.detector.context import half_wave_px, in_doubt
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.preprocessing.tall import strong_objects
from stm_keras.simulation.surface_kinds import KINDS
from stm_keras.simulation.surrogates import phase_surrogate
from stm_keras.studies.bench.cases import Case, CaseId, File, Role
from stm_keras.studies.bench.real import real_cells
from stm_keras.studies.bench.surfaces import (
    NEEDS_IMPURITIES,
    SURFACE,
    surface_case,
)
from stm_keras.surfaces import PAPER_BIAS_V, PAPER_PIXEL_NM

SEED = 311
N_MAPS = 4
N_PX = 80
NOISES = (("1/f", None), ("at q", 1.5))
"""Correlated noise without impurities; the band's q [rad/px]."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default="saved_models/context")
    parser.add_argument("--real", type=Path, help="the development files")
    parser.add_argument(
        "--kinds",
        default=",".join(KINDS),
        help="of surfaces, with commas; empty for none",
    )
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--surrogates", type=int, default=5)
    asked = parser.parse_args()
    finder = detector(asked.model)
    print(
        f"{machine()}; {asked.draws} draws, {asked.surrogates} surrogates each,"
        f" {N_MAPS} maps of a surface, seed {SEED}\n\n"
        "| | impurities | found | in a surrogate: whole spectrum | background "
        "| cries wolf: whole spectrum | background |\n"
        "|---|---|---|---|---|---|---|"
    )
    kinds = [kind for kind in asked.kinds.split(",") if kind]
    for name, files, number in cases(kinds, asked.real, asked.draws):
        rows = [counts(finder, one, asked.surrogates) for one in files]
        found, whole, rest = np.mean([row[:3] for row in rows], axis=0)
        wolves = np.sum([row[3:] for row in rows], axis=0)
        print(
            f"| {name} | {number:.3g} | {found:.3g} | {whole:.2g} | {rest:.2g} "
            f"| {wolves[0]} of {len(rows)} | {wolves[1]} of {len(rows)} |",
            flush=True,
        )


def cases(
    kinds: list[str], real: Path | None, draws: int
) -> Iterator[tuple[str, list[File], float]]:
    """Name, stacks, and the mean number of impurities in them."""
    for name, q in NOISES:
        for n_maps in (1, N_MAPS):
            stacks = [
                noise_maps(np.random.default_rng([SEED, i]), n_maps, q)
                for i in range(draws)
            ]
            files = [File(one, SURFACE) for one in stacks]
            maps = "1 map" if n_maps == 1 else f"{n_maps} maps"
            yield f"noise {name}, {maps}", files, 0
    for kind in kinds:
        for empty in (False, True):
            if empty and kind in NEEDS_IMPURITIES:
                continue
            made = [
                surface_case(kind, N_MAPS, empty, CaseId(Role.TEST, SEED, i))
                for i in range(draws)
            ]
            yield (f"{kind}, empty" if empty else kind, *_told(made))
    for cell in real_cells(real):
        if cell.label.endswith(("whole", "corral")):
            yield cell.name, *_told([cell.make(CaseId(Role.TEST, SEED, 0))])


def noise_maps(
    rng: np.random.Generator, n_maps: int, q_rad_px: float | None
) -> ConductanceMaps:
    """Noise that maps share by half: 1/f, or a band about q [rad/px]."""
    shape = (N_PX, N_PX)
    k = np.hypot(
        *np.meshgrid(np.fft.fftfreq(N_PX), np.fft.rfftfreq(N_PX), indexing="ij")
    )
    k *= 2 * np.pi
    size = 1 / np.maximum(k, 2 * np.pi / N_PX)
    if q_rad_px is not None:
        size = np.exp(-(((k - q_rad_px) / 0.12) ** 2) / 2)
    white = rng.normal(size=(1 + n_maps, *shape))
    noise = np.fft.irfft2(np.fft.rfft2(white) * size, shape)
    data = (noise[:1] + noise[1:]).astype(np.float32)
    bias_v = np.linspace(min(PAPER_BIAS_V), max(PAPER_BIAS_V), n_maps)
    side = N_PX * PAPER_PIXEL_NM
    return ConductanceMaps(data, bias_v, (side, side), source="noise")


def _told(made: list[Case]) -> tuple[list[File], float]:
    files = [one.file for one in made if one.file is not None]
    return files, float(np.mean([len(one.positions) for one in made]))


def counts(
    finder: ContextDetector, file: File, n_surrogates: int
) -> tuple[float, float, float, bool, bool]:
    """Found, in surrogates of the whole and of the background; verdicts."""
    options = PredictOptions(surface=file.surface)
    prepared = finder.prepare(finder.card, file.maps, options)
    maps = prepared.ready.data
    assert prepared.q_per_nm is not None
    q = prepared.q_per_nm * np.mean(prepared.ready.pixel_nm)

    def selected(stack: np.ndarray) -> int:
        sure = finder.detect(stack, q, fit_rings=False).probabilities
        return int((sure >= finder.least_kept(sure)).sum())

    found, means, wolves = selected(maps), [], []
    rate = finder.selection.false_discovery_rate
    for left_out in (None, strong_objects(maps, half_wave_px(q))):
        rng = np.random.default_rng(0)
        made = [
            selected(phase_surrogate(maps, rng, left_out))
            for _ in range(n_surrogates)
        ]
        means.append(float(np.mean(made)))
        wolves.append(in_doubt(found, np.array(made), rate))
    return found, means[0], means[1], wolves[0], wolves[1]


if __name__ == "__main__":
    main()
