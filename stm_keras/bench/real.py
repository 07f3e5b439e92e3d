"""Suite (iv): topographs of CO on Cu(111), whole and with the cores blanked.

The files are not part of the project. Finders are told what a user could
know: their thresholds come from virtual experiments. Those without a network
are shown the files at the pixel of these, networks as `stmk predict` prepares
a file for them.
"""

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_keras.bench.blanking import blank, decoy_centres
from stm_keras.bench.case import Case, Cell, File, Role, case_rng
from stm_keras.bench.virtual import SUITE as VIRTUAL
from stm_keras.bench.virtual import virtual_make, virtual_name
from stm_keras.detections import read_positions
from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.reader import read_maps
from stm_keras.preprocessing.cleaning import CleaningOptions, clean
from stm_keras.preprocessing.preparation import to_network_pixel
from stm_keras.qpi.dispersion import given_q
from stm_keras.surfaces import paper_wave_numbers

SUITE = "real"
FOLDER = "cu111_co"
FILES = ("Topo102", "Topo015")
SURFACE = "cu111"
N_DECOY_DRAWS = 8
"""Placements of the decoys, each a case of its own."""

_TOLD_THE_SAME = ("medium", "hard", 1)
"""Virtual experiment that finders are tuned on: medium density, one map."""

_RING = 2 * paper_wave_numbers()
RING_RAD_PX = (float(_RING.min()), float(_RING.max()))
"""2k of those experiments, to which the files are resampled where a finder
has no pixel of its own."""


@dataclass(frozen=True)
class View:
    """How a file is shown.

    Attributes:
        tolerance_nm: farthest match [nm].
        blanked: whether the molecules' cores are.
        decoys: whether discs elsewhere are, too.
    """

    tolerance_nm: float
    blanked: bool = False
    decoys: bool = False


VIEWS: dict[str, View] = {
    "whole": View(0.3),
    "cores blanked": View(0.37, blanked=True),
    "blanked with decoys": View(0.37, blanked=True, decoys=True),
}


def real_case(
    path: Path, view: View, role: Role, seed: int, number: int
) -> Case:
    """One file as a view shows it, at the pixel of the tuning experiments.

    Args:
        path: the topograph; the reference positions lie beside it.
        view: see `View`.
        role: see `Role`.
        seed: of the bench.
        number: of the case; each has decoys of its own.

    Raises:
        InputError: where a file is missing or cannot be read.
    """
    maps = read_maps(path).sorted_by_bias()
    reference = path.with_name(f"{path.stem}_core_positions.csv")
    positions = read_positions(reference).positions_px
    if view.blanked:
        rng = case_rng(f"real {path.stem}", role, seed, number)
        maps = blanked(maps, positions, rng if view.decoys else None)
    levelled = clean(maps, CleaningOptions())
    ready = to_network_pixel(levelled, RING_RAD_PX, SURFACE)
    scale = np.divide(ready.shape[1:], maps.shape[1:])
    pixel_nm = float(np.mean(ready.pixel_nm))
    return Case(
        maps=ready.data,
        wave_numbers=given_q(levelled, SURFACE)[0] / 2 * pixel_nm,
        positions=(positions + 0.5) * scale - 0.5,
        tolerance_px=view.tolerance_nm / pixel_nm,
        file=File(maps, SURFACE),
    )


def blanked(
    maps: ConductanceMaps,
    positions_px: np.ndarray,
    rng: np.random.Generator | None,
) -> ConductanceMaps:
    """Maps with the cores blanked, before anything is made of them.

    Levelling comes after: it must not see the cores either.

    Args:
        maps: as they were read.
        positions_px: of the molecules, [n, 2] [px].
        rng: of the decoys; None for none.
    """
    centres = positions_px
    if rng is not None:
        height, width = maps.shape[1:]
        decoys = decoy_centres(
            positions_px, (height, width), maps.pixel_nm, rng
        )
        centres = np.concatenate([centres, decoys])
    return maps.with_data(
        blank(maps.data, centres, maps.pixel_nm),
        f"{len(centres)} discs filled with the median around them",
    )


def real_cells(
    folder: Path | None,
    cache: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[Cell]:
    """Cells of the suite; none where the files are missing.

    Args:
        folder: the one that holds `cu111_co`; None where there is none.
        cache: see `stm_keras.bench.virtual.experiment`.
        report: told a line where files are missing.
    """
    cells = []
    for name in FILES:
        path = (folder or Path()) / FOLDER / f"{name}.sxm"
        if folder is None or not path.exists():
            where = "no folder of real files" if folder is None else str(path)
            report(f"left out: real, {name} ({where}; see --real)")
            continue
        cells += _views(path, cache)
    return cells


def named_cells() -> list[Cell]:
    """All cells of the suite, whose cases can only be made where files are."""
    return [cell for name in FILES for cell in _views(Path(name), None)]


def _views(path: Path, cache: Path | None) -> list[Cell]:
    """The cells of one file."""
    density, difficulty, n_maps = _TOLD_THE_SAME
    return [
        Cell(
            SUITE,
            f"{path.stem}, {name}",
            functools.partial(real_case, path, view),
            source=f"real {path.stem}",
            make_tune=virtual_make(density, difficulty, n_maps, cache),
            tuned_on=f"{VIRTUAL}/" + virtual_name(density, difficulty, n_maps),
            n_test=N_DECOY_DRAWS if view.decoys else 1,
            shows_best=True,
        )
        for name, view in VIEWS.items()
    ]


def check_folder(folder: Path | None) -> None:
    """Refuse a folder that was asked for and is not there.

    Raises:
        InputError: for such a folder.
    """
    if folder is not None and not folder.is_dir():
        raise InputError(
            f"No such folder of real files: {folder}. Leave --real out to do "
            "without."
        )
