"""The work of `stmk waves`: from files and a table of positions to results."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras import surfaces
from stm_keras.detections import read_positions
from stm_keras.io.recording import ReadOptions
from stm_keras.io.sets import read_stack
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.cleaning import CleaningOptions, clean
from stm_keras.units import WAVE_NUMBER_PER_NM_PER_SQRT_EV
from stm_keras.waves.dispersion import wave_dispersion
from stm_keras.waves.fit import WaveFit, WaveOptions, fit_waves
from stm_keras.waves.results import (
    PHASES_ALONE,
    dispersion_line,
    gives_amplitudes,
    write_waves,
)
from stm_keras.waves.species import Species, find_species

SURFACE_UNCERTAINTY, RING_UNCERTAINTY = 0.05, 0.025
"""How far q may lie from that of a surface, scanners being wrong by a few per
cent, and from that of the ring in the Fourier transform."""


def waves_of_files(
    paths: Sequence[Path],
    positions: Path,
    out: Path,
    read: ReadOptions,
    *,
    surface: str | None = None,
    level: Any = "plane",
    multiple: bool = True,
    core_nm: float | None = None,
) -> Iterator[str]:
    """Fit the waves in files of one frame and write the results.

    Args:
        paths: the files.
        positions: CSV table of the impurities, in the files' pixels.
        out: directory of the results.
        read: how to read the files.
        surface: see `surfaces.surface`; None measures the FFT ring.
        level: see `CleaningOptions`.
        multiple: see `WaveOptions`.
        core_nm: see `WaveOptions`.

    Yields:
        Lines for the user.

    Raises:
        InputError: as `fit_waves`, and for files that cannot be read.
    """
    maps = clean(read_stack(paths, read), CleaningOptions.at_level(level))
    table = read_positions(positions)
    q = None if surface is None else surface_q(maps, surface)
    fit = fit_waves(
        maps,
        table.positions_px,
        None,
        q,
        WaveOptions(
            multiple=multiple,
            core_nm=core_nm,
            q_uncertainty=SURFACE_UNCERTAINTY if surface else RING_UNCERTAINTY,
        ),
    )
    species, dispersion = find_species(fit), wave_dispersion(fit)
    files = write_waves(out, maps, fit, species, dispersion)
    yield from _told(fit, species)
    if dispersion is None:
        yield "  m*, E0: not determined (they need q at two biases or more)"
    else:
        yield f"  {dispersion_line(dispersion)}"
    if not gives_amplitudes(maps):
        yield f"  {PHASES_ALONE}"
    yield from (f"  {note}" for note in fit.notes)
    yield from (f"  {file}" for file in files)


def surface_q(maps: ConductanceMaps, name: str) -> np.ndarray:
    """The q = 2k of each map on a surface [rad/nm], NaN below its band edge.

    Raises:
        InputError: for an unknown surface.
    """
    chosen = surfaces.surface(name)
    energy = chosen.effective_mass * (maps.bias_v - chosen.band_edge_ev)
    return (
        2
        * WAVE_NUMBER_PER_NM_PER_SQRT_EV
        * np.sqrt(np.where(energy > 0, energy, np.nan))
    )


def _told(fit: WaveFit, species: Species) -> Iterator[str]:
    n, n_maps = fit.amplitudes.shape
    known = np.isfinite(fit.q_per_nm)
    yield (
        f"waves of {n} impurities in {known.sum()} of {n_maps} maps: "
        f"{fit.determined.any(axis=1).sum()} have a phase"
    )
    for v in np.flatnonzero(known)[:: max(int(known.sum()) // 8, 1)]:
        yield (
            f"  {1000 * fit.bias_v[v]:.4g} mV: q = {fit.q_per_nm[v]:.3f} +- "
            f"{fit.std_q_per_nm[v]:.3f} / nm"
        )
    yield (
        f"  {species.n_kinds} kinds by evidence: "
        + ", ".join(str(count) for count in species.counts)
    )
