"""Suite surfaces: what real surfaces add, kind by kind, with and without.

A cell is a kind of `simulation.surface_kinds` at a number of maps, and the
same without an impurity. Finders get the maps as a user's file of Au(111), so
that the preparation counts: terraces, clipping, and what a network is given.
"""

import functools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from stm_keras.files import atomic_file
from stm_keras.maps import ConductanceMaps
from stm_keras.simulation.surface_kinds import KINDS, named_kind
from stm_keras.simulation.virtual_experiment import (
    VirtualConfig,
    simulate_virtual,
)
from stm_keras.studies.bench.cases import Case, CaseId, Cell, File
from stm_keras.studies.bench.scoring import CellResult
from stm_keras.studies.bench.simulated import evenly_spaced
from stm_keras.studies.tables import markdown_table
from stm_keras.surfaces import PAPER_BIAS_V

SURFACES = "surfaces"
MAPS = (1, 4, 16)
SURFACE = "au111"
N_IMPURITIES = 20.0
"""To be expected in the frame of 80 x 80 px."""

EMPTY = "empty"
NEEDS_IMPURITIES = (
    "adsorbates at elbows",
    "two species",
    "bound states",
    "close pairs",
    "wall",
    "constant current",
    "set point",
    "ellipse 1.3",
    "warped 8 %",
)
"""Kinds that without an impurity are the plain surface."""


def surface_config(kind: str, n_maps: int, *, empty: bool) -> VirtualConfig:
    """A virtual experiment of a cell.

    Args:
        kind: a key of `KINDS`.
        n_maps: at biases evenly spaced over the paper's.
        empty: without an impurity, in the frame or beside it.
    """
    bias_v = np.array(PAPER_BIAS_V)[evenly_spaced(n_maps, len(PAPER_BIAS_V))]
    config = VirtualConfig(
        n_impurities=0.0 if empty else N_IMPURITIES,
        bias_v=tuple(float(v) for v in bias_v),
    )
    return named_kind(kind, config)


def surface_case(kind: str, n_maps: int, empty: bool, which: CaseId) -> Case:
    """One frame of a kind; kinds and numbers of maps share the impurities.

    Args:
        kind: see `surface_config`.
        n_maps: see there.
        empty: see there.
        which: the case.
    """
    config = surface_config(kind, n_maps, empty=empty)
    scene = simulate_virtual(config, which.rng(SURFACES))
    file = ConductanceMaps(
        scene.maps,
        np.array(config.bias_v),
        (config.extent_nm, config.extent_nm),
        source=f"{kind}, {which.number}",
    )
    return Case(
        scene.maps,
        scene.wave_numbers,
        scene.positions,
        file=File(file, SURFACE),
    )


def surface_name(kind: str, n_maps: int, *, empty: bool) -> str:
    """Name of a cell."""
    maps = "1 map" if n_maps == 1 else f"{n_maps} maps"
    return f"{kind}, {EMPTY}, {maps}" if empty else f"{kind}, {maps}"


def surface_cells() -> list[Cell]:
    """Cells of the suite, a kind's one after the other."""
    return [
        Cell(
            SURFACES,
            surface_name(kind, n_maps, empty=empty),
            functools.partial(surface_case, kind, n_maps, empty),
            source=f"surface {kind}",
        )
        for kind in KINDS
        for empty in (False, True)
        if not (empty and kind in NEEDS_IMPURITIES)
        for n_maps in MAPS
    ]


def write_surfaces(results: Sequence[CellResult], out: Path) -> list[Path]:
    """Write `surfaces.md`: for each finder a table with a row a kind.

    Args:
        results: of all suites; those of this one count.
        out: folder.

    Returns:
        The file; nothing where the suite was not done.
    """
    own = [result for result in results if result.suite == SURFACES]
    if not own:
        return []
    parts = ["# Kinds of surfaces"]
    for finder in dict.fromkeys(result.finder for result in own):
        found = {r.cell: r for r in own if r.finder == finder}
        parts += [f"## {finder}", _table(found)]
    path = out / "surfaces.md"
    with atomic_file(path) as temporary:
        temporary.write_text("\n\n".join(parts) + "\n")
    return [path]


_HEAD = [
    "",
    *(f"Jaccard, {n} maps".replace("1 maps", "1 map") for n in MAPS),
    "false: found / promised",
    "calibration error",
    "std of z",
    "out of distribution",
    "empty: false a frame",
    "empty: promised",
]


def _table(found: dict[str, CellResult]) -> str:
    rows = []
    for kind in KINDS:
        here, bare = (
            [
                found[name]
                for n in MAPS
                if (name := surface_name(kind, n, empty=empty)) in found
            ]
            for empty in (False, True)
        )
        if not here and not bare:
            continue
        rows.append(
            [
                kind,
                *(
                    _number(found[name].score.jaccard)
                    if (name := surface_name(kind, n, empty=False)) in found
                    else ""
                    for n in MAPS
                ),
                _false(here),
                _number(_pooled_error(here)),
                _number(_pooled_z(here), 2),
                _number(_mean([r.out_of_distribution for r in here]), 2),
                _number(
                    _mean([r.score.n_predicted / len(r.counts) for r in bare]),
                    2,
                ),
                _number(
                    _mean([r.promised_false / len(r.counts) for r in bare]), 2
                ),
            ]
        )
    return markdown_table(_HEAD, rows)


def _false(results: Sequence[CellResult]) -> str:
    if not results:
        return ""
    wrong = sum(r.score.n_predicted - r.score.true_positives for r in results)
    promised = sum(r.promised_false for r in results)
    return f"{wrong} / {promised:.1f}"


def _pooled_error(results: Sequence[CellResult]) -> float:
    tables = [r.calibration for r in results if r.calibration]
    if not tables:
        return math.nan
    return replace(
        results[0], calibration=np.sum(tables, axis=0).tolist()
    ).calibration_error


def _pooled_z(results: Sequence[CellResult]) -> float:
    if not results:
        return math.nan
    total = np.sum([r.z for r in results], axis=0).tolist()
    return replace(results[0], z=total).z_deviation


def _mean(values: Sequence[float]) -> float:
    known = [v for v in values if math.isfinite(v)]
    return float(np.mean(known)) if known else math.nan


def _number(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else ""
