"""Suite (ii): virtual Au(111) experiments at several numbers of voltages."""

import functools
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.bench.case import Case, Cell, Make, Role, case_rng
from stm_keras.files import atomic_file, writable_directory
from stm_keras.simulation.virtual_experiment import (
    DENSITIES,
    DIFFICULTIES,
    VirtualConfig,
    named_virtual,
    simulate_virtual,
)

SUITE = "virtual"
N_MAPS = (1, 4, 16, 32, 126)
_IN_MEMORY = 48
"""Experiments kept, of 3 MB each."""


class Experiment(NamedTuple):
    """What is kept of a `VirtualExperiment`; see there."""

    maps: np.ndarray
    waves: np.ndarray
    wave_numbers: np.ndarray
    positions: np.ndarray


@functools.lru_cache(maxsize=_IN_MEMORY)
def experiment(
    config: VirtualConfig,
    stream: str,
    role: Role,
    seed: int,
    number: int,
    cache: Path | None = None,
    waves: bool = False,
) -> Experiment:
    """Simulate one experiment, or read it from the cache.

    Args:
        config: what it is drawn from.
        stream: see `case_rng`; configs that share it share impurities.
        role: see `Role`.
        seed: of the bench.
        number: of the case.
        cache: folder to keep it in; None keeps it in memory alone.
        waves: whether the waves alone are wanted beside the maps.
    """
    path = None
    if cache is not None:
        name = f"{stream}-{config.difficulty}-{role.name}-{seed}-{number}"
        path = writable_directory(cache) / f"{name.replace(' ', '_')}.npz"
        if path.exists():
            with np.load(path) as stored:
                return Experiment(**{n: stored[n] for n in Experiment._fields})
    rng = case_rng(stream, role, seed, number)
    whole = simulate_virtual(config, rng)
    nothing = np.empty((0, 0, 0), np.float32)
    kept = Experiment(
        whole.maps,
        whole.waves if waves else nothing,
        whole.wave_numbers,
        whole.positions,
    )
    if path is not None:
        with atomic_file(path) as temporary:
            np.savez(temporary, **kept._asdict())
    return kept


def evenly_spaced(n_kept: int, n_maps: int) -> np.ndarray:
    """The middle of each of `n_kept` equal parts of `n_maps`, int [n_kept]."""
    return ((np.arange(n_kept) + 0.5) * n_maps / n_kept).astype(int)


def virtual_case(
    density: str,
    difficulty: str,
    n_maps: int,
    cache: Path | None,
    role: Role,
    seed: int,
    number: int,
) -> Case:
    """Some of the maps of one virtual experiment.

    The three difficulties of a density share impurities and waves, the
    numbers of maps the whole experiment.

    Args:
        density: a key of `DENSITIES`.
        difficulty: a key of `DIFFICULTIES`.
        n_maps: how many of the 126, evenly spaced.
        cache: see `experiment`.
        role: see `Role`.
        seed: of the bench.
        number: of the case.
    """
    whole = experiment(
        named_virtual(density, difficulty),
        f"virtual {density}",
        role,
        seed,
        number,
        cache,
    )
    kept = evenly_spaced(n_maps, len(whole.maps))
    return Case(whole.maps[kept], whole.wave_numbers[kept], whole.positions)


def virtual_make(
    density: str, difficulty: str, n_maps: int, cache: Path | None
) -> Make:
    """`virtual_case` of one cell."""
    return functools.partial(virtual_case, density, difficulty, n_maps, cache)


def virtual_name(density: str, difficulty: str, n_maps: int) -> str:
    """Name of a cell."""
    return f"{difficulty}, {density}, {n_maps} maps".replace("1 maps", "1 map")


def virtual_cells(cache: Path | None = None) -> list[Cell]:
    """Cells of the suite, those of one experiment together.

    Args:
        cache: see `experiment`.
    """
    return [
        Cell(
            SUITE,
            virtual_name(density, difficulty, n_maps),
            virtual_make(density, difficulty, n_maps, cache),
            source=f"virtual {density} {difficulty}",
        )
        for difficulty in DIFFICULTIES
        for density in DENSITIES
        for n_maps in N_MAPS
    ]
