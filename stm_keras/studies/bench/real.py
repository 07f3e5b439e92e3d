"""Suite real: files of instruments with reference positions.

Topographs of CO on Cu(111), whole and with the cores blanked, and a corral on
Ag(111) at five biases. Molecules of a wall, which cannot be told apart, count
neither way.

The files are not part of the project. Finders are given what a user could
know: their thresholds come from virtual experiments. Those without a network
get the files at the pixel of these, networks as `stmk predict` prepares a
file for them.
"""

import csv
import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy.spatial.distance import cdist

from stm_keras.detections import read_positions
from stm_keras.errors import InputError
from stm_keras.io.reader import read_maps
from stm_keras.io.sets import read_stack
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import CleaningOptions, clean
from stm_keras.preprocessing.preparation import to_network_pixel
from stm_keras.qpi.dispersion import given_q
from stm_keras.studies.bench.cases import Case, CaseId, Cell, File
from stm_keras.studies.bench.simulated import (
    VIRTUAL,
    virtual_make,
    virtual_name,
)
from stm_keras.surfaces import paper_wave_numbers

REAL = "real"
FOLDER = "cu111_co"
FILES = (
    "Topo102",
    "Topo015",
    "Topo002",
    "Topo007",
    "Topo305",
    "Topo309",
    "Topo312",
)
SURFACE = "cu111"
BARE = ("Topo312",)
"""Files without an impurity, of which there is nothing to blank."""

CORRAL = "corral"
CORRAL_FOLDER = "ag111_corral"
CORRAL_REFERENCE = "corral_045mV_core_positions.csv"
CORRAL_SURFACE = "ag111"
CORRAL_TOLERANCE_NM = 0.5
"""The maps drift by 0.2 to 0.5 nm against each other."""

IGNORED_NM = 0.6
"""About a molecule of a wall."""
N_DECOY_DRAWS = 8
"""Placements of the decoys, each a case of its own."""

_TUNED_ON = ("medium", "hard", 1)
"""Virtual experiment that finders are tuned on: medium density, one map."""

_Q = 2 * paper_wave_numbers()
RING_RAD_PX = (float(_Q.min()), float(_Q.max()))
"""q = 2k of those experiments, to which the files are resampled where a
finder has no pixel of its own."""

RADIUS_NM = 0.5
RING_NM = 0.3
"""Width of the ring around a disc whose median fills it."""

DECOYS_PER_MOLECULE = 3
MIN_DISTANCE_NM = 1.0
"""Of a decoy's centre from any molecule."""

_TRIES = 20_000
_CROWDED = 0.9
"""Where decoys do not fit, the distance between them shrinks by this."""


@dataclass(frozen=True)
class View:
    """What is made of a file.

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


def real_case(path: Path, view: View, which: CaseId) -> Case:
    """One file in a view, at the pixel of the tuning experiments.

    Args:
        path: the topograph; the reference positions lie beside it.
        view: see `View`.
        which: the case; each has decoys of its own.

    Raises:
        InputError: where a file is missing or cannot be read.
    """
    maps = read_maps(path).sorted_by_bias()
    reference = path.with_name(f"{path.stem}_core_positions.csv")
    positions, walls = reference_positions(reference)
    if view.blanked:
        rng = which.rng(f"real {path.stem}")
        maps = blanked(maps, positions, rng if view.decoys else None)
    return _case(maps, positions, walls, SURFACE, view.tolerance_nm)


def corral_case(folder: Path, which: CaseId) -> Case:
    """The corral, all biases as one stack.

    Args:
        folder: of the maps and their reference positions.
        which: not used: there is but one.

    Raises:
        InputError: where a file is missing or cannot be read.
    """
    del which
    maps = read_stack(sorted(folder.glob("corral_*.dat"))).sorted_by_bias()
    positions, walls = reference_positions(folder / CORRAL_REFERENCE)
    return _case(maps, positions, walls, CORRAL_SURFACE, CORRAL_TOLERANCE_NM)


def _case(
    maps: ConductanceMaps,
    positions: np.ndarray,
    walls: np.ndarray,
    surface: str,
    tolerance_nm: float,
) -> Case:
    """A case of a file's maps and positions in their pixels."""
    levelled = clean(maps, CleaningOptions())
    ready = to_network_pixel(levelled, RING_RAD_PX, surface)
    scale = np.divide(ready.shape[1:], maps.shape[1:])
    pixel_nm = float(np.mean(ready.pixel_nm))
    return Case(
        maps=ready.data,
        wave_numbers=given_q(levelled, surface)[0] / 2 * pixel_nm,
        positions=(positions + 0.5) * scale - 0.5,
        tolerance_px=tolerance_nm / pixel_nm,
        ignored=(walls + 0.5) * scale - 0.5,
        ignored_px=IGNORED_NM / pixel_nm,
        file=File(maps, surface),
    )


def reference_positions(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Impurities of a reference, and those of walls.

    Args:
        path: CSV; a column `kind` holds "wall" where molecules cannot be told
            apart. Without it all are single.

    Returns:
        Row and column [px], float64 [n, 2] and [m, 2].

    Raises:
        InputError: see `read_positions`.
    """
    positions = read_positions(path).positions_px
    with path.open(newline="") as source:
        kinds = [row.get("kind") for row in csv.DictReader(source)]
    wall = np.array([kind == "wall" for kind in kinds], bool)
    return positions[~wall], positions[wall]


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


def blank(
    maps: np.ndarray,
    centres_px: np.ndarray,
    pixel_nm: tuple[float, float],
    *,
    radius_nm: float = RADIUS_NM,
) -> np.ndarray:
    """Fill discs with the median of the ring around each.

    Pixels of other discs do not count for a median, so that nothing of what
    one disc hides fills another.

    Args:
        maps: float32 [V, H, W]; not changed.
        centres_px: row and column [px], float [n, 2].
        pixel_nm: height and width of a pixel [nm].
        radius_nm: of the discs [nm].

    Returns:
        float32 [V, H, W]; NaN in the discs of a map that has nothing measured
        around them.
    """
    result = np.array(maps, np.float32)
    rows, cols = np.indices(maps.shape[1:])
    distances = [
        np.hypot((rows - r) * pixel_nm[0], (cols - c) * pixel_nm[1])
        for r, c in centres_px
    ]
    hidden = np.zeros(maps.shape[1:], bool)
    for distance in distances:
        hidden |= distance <= radius_nm
    for distance in distances:
        inside = distance <= radius_nm
        around = (distance <= radius_nm + RING_NM) & ~hidden
        values = maps[:, around]
        for image, near in zip(result, values, strict=True):
            near = near[np.isfinite(near)]
            image[inside] = np.median(near) if len(near) else np.nan
    return result


def decoy_centres(
    molecules_px: np.ndarray,
    shape: tuple[int, int],
    pixel_nm: tuple[float, float],
    rng: np.random.Generator,
) -> np.ndarray:
    """Random places for discs that hide nothing.

    They keep a distance from the molecules and, as far as there is room for
    it, from each other, as molecules do.

    Args:
        molecules_px: row and column [px], float [n, 2].
        shape: H, W [px].
        pixel_nm: height and width of a pixel [nm].
        rng: source of randomness.

    Returns:
        Row and column [px], float64 [`DECOYS_PER_MOLECULE` n, 2].

    Raises:
        InputError: where molecules leave no room for them.
    """
    scale = np.asarray(pixel_nm)
    wanted = DECOYS_PER_MOLECULE * len(molecules_px)
    drawn = rng.uniform((-0.5, -0.5), np.subtract(shape, 0.5), (_TRIES, 2))
    gaps = cdist(drawn * scale, molecules_px * scale)
    free = drawn[gaps.min(axis=1) >= MIN_DISTANCE_NM]
    if wanted and not len(free):
        raise InputError("The molecules leave no room for decoys.")
    apart = MIN_DISTANCE_NM
    while True:
        chosen = _spaced(free, scale, apart, wanted)
        if len(chosen) >= wanted:
            return np.array(chosen).reshape(-1, 2)
        apart *= _CROWDED


def _spaced(
    free: np.ndarray, scale: np.ndarray, apart_nm: float, wanted: int
) -> Sequence[np.ndarray]:
    """The first of `free` that keep a distance, at most `wanted`."""
    chosen: list[np.ndarray] = []
    for place in free:
        if len(chosen) == wanted:
            break
        if not chosen or (
            np.linalg.norm((np.array(chosen) - place) * scale, axis=1).min()
            >= apart_nm
        ):
            chosen.append(place)
    return chosen


def real_cells(
    folder: Path | None,
    cache: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[Cell]:
    """Cells of the suite; none where the files are missing.

    Args:
        folder: the one that holds `cu111_co`; None where there is none.
        cache: see `stm_keras.studies.bench.simulated.experiment`.
        report: given a line where files are missing.
    """
    cells = []
    for name in FILES:
        path = (folder or Path()) / FOLDER / f"{name}.sxm"
        if folder is None or not path.exists():
            where = "no folder of real files" if folder is None else str(path)
            report(f"left out: real, {name} ({where}; see --real)")
            continue
        cells += _views(path, cache)
    corral = (folder or Path()) / CORRAL_FOLDER
    if folder is not None and (corral / CORRAL_REFERENCE).exists():
        cells.append(_corral_cell(corral, cache))
    else:
        report(f"left out: real, {CORRAL} ({corral}; see --real)")
    return cells


def _corral_cell(folder: Path, cache: Path | None) -> Cell:
    return Cell(
        REAL,
        CORRAL,
        functools.partial(corral_case, folder),
        source=f"real {CORRAL}",
        make_tune=virtual_make(*_TUNED_ON, cache),
        tuned_on=f"{VIRTUAL}/{virtual_name(*_TUNED_ON)}",
        n_test=1,
        shows_best=True,
    )


def named_cells() -> list[Cell]:
    """All cells of the suite, whose cases can only be made where files are."""
    cells = [cell for name in FILES for cell in _views(Path(name), None)]
    return [*cells, _corral_cell(Path(CORRAL_FOLDER), None)]


def _views(path: Path, cache: Path | None) -> list[Cell]:
    """The cells of one file."""
    return [
        Cell(
            REAL,
            f"{path.stem}, {name}",
            functools.partial(real_case, path, view),
            source=f"real {path.stem}",
            make_tune=virtual_make(*_TUNED_ON, cache),
            tuned_on=f"{VIRTUAL}/{virtual_name(*_TUNED_ON)}",
            n_test=N_DECOY_DRAWS if view.decoys else 1,
            shows_best=True,
        )
        for name, view in VIEWS.items()
        if not (view.blanked and path.stem in BARE)
    ]
