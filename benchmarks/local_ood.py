"""Does the local OOD score light steps, blobs and clusters, and nothing else?

Truth is where a virtual surface differs from the plain one of the same
impurities and noise by more than twice its spread. Prints the AUC of such
pixels against those of plain frames, the share that is lit, and how much is lit
of what is far from any. Run from the
project's folder:

    python benchmarks/local_ood.py
"""

import argparse
from pathlib import Path

import numpy as np
from header import machine
from scipy import ndimage

from stm_keras.detector import ContextDetector
from stm_keras.models.card import ModelCard, read_card
from stm_keras.preprocessing.local_ood import LIMIT, local_ood_score
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.studies.bench.cases import CaseId, Role
from stm_keras.studies.bench.surfaces import SURFACE, surface_case

SEED = 502
STRANGE = ("step", "narrow blobs", "clusters", "tall protrusions")
PLAIN = ("plain", "herringbone", "real")
_BEYOND = 2.0
_FAR_PX = 8
QUANTILE = 0.995


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, default="saved_models/context")
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--maps", type=int, default=1)
    asked = parser.parse_args()
    card = read_card(asked.model)
    print(
        f"{machine()}; {asked.draws} draws with and as many without "
        f"impurities, {asked.maps} map(s), seed {SEED}\n\n"
        "| | pixels | AUC | lit | lit far from any |\n|---|---|---|---|---|"
    )
    plain = np.empty(0)
    for kind in (*PLAIN, *STRANGE):
        there, far = [], []
        for draw in range(asked.draws):
            for empty in (False, True):
                which = CaseId(Role.TEST, SEED, draw)
                score, hit = scores(card, kind, asked.maps, empty, which)
                if kind in PLAIN:
                    far.append(score[np.isfinite(score)])
                    continue
                near = np.asarray(
                    ndimage.binary_dilation(hit, None, _FAR_PX), bool
                )
                there.append(score[hit])
                far.append(score[~near & np.isfinite(score)])
        rest = np.concatenate(far)
        if kind == "plain":
            plain = np.sort(rest)
        row = f"| {kind} | | | "
        if there:
            own = np.concatenate(there)
            auc = np.searchsorted(plain, own).mean() / len(plain)
            row = f"| {kind} | {len(own)} | {auc:.3f} | {np.mean(own > 1):.2f}"
        print(f"{row} | {np.mean(rest > 1):.4f} |", flush=True)
    usual = LIMIT * np.quantile(plain, QUANTILE)
    print(f"\nThe limit by plain frames: {usual:.2f}; in use: {LIMIT:g}")


def scores(
    card: ModelCard, kind: str, n_maps: int, empty: bool, which: CaseId
) -> tuple[np.ndarray, np.ndarray]:
    """The score [H, W], and where the surface is strange, bool [H, W]."""
    case = surface_case(kind, n_maps, empty, which)
    plain = surface_case("plain", n_maps, empty, which)
    assert case.file is not None
    prepared = ContextDetector.prepare(
        card, case.file.maps, PredictOptions(surface=SURFACE)
    )
    assert prepared.q_per_nm is not None
    maps = prepared.ready.data
    q = prepared.q_per_nm * np.mean(prepared.ready.pixel_nm)
    off = np.abs(case.maps - plain.maps).mean(axis=0) / plain.maps.std()
    seen = np.isfinite(maps).any(axis=0)
    return local_ood_score(maps, q), (off > _BEYOND) & seen


if __name__ == "__main__":
    main()
