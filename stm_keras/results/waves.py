"""What waves tell of a result's impurities: columns, files, a section.

`stmk predict --waves` fits the waves around what was found. A number that
they do not tell is left out, and `not_determined` says why.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stm_keras.detections import Detections
from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.qpi.dispersion import Dispersion
from stm_keras.waves.command import (
    RING_UNCERTAINTY,
    SURFACE_UNCERTAINTY,
    surface_q,
)
from stm_keras.waves.dispersion import wave_dispersion
from stm_keras.waves.evidence import distinct
from stm_keras.waves.fit import WaveFit, WaveOptions, fit_waves, known_q
from stm_keras.waves.picture import plot_waves
from stm_keras.waves.prepared import CLOSEST_PERIODS
from stm_keras.waves.results import (
    known_kinds,
    summary,
    write_dispersion,
    write_scattering,
)
from stm_keras.waves.species import Species, find_species

SPECIES = "species"
RESIDUAL = "residual"
WAVE_FILES = ("scattering.csv", "dispersion.csv")
WAVE_PICTURE = "waves.png"

NOTES = (
    "wave_evidence: amplitude of the waves about a place, in deviations; "
    "chance gives about 2; empty where waves say nothing",
    "species: kind by the waves' phases, 1 the most numerous; empty where it "
    "is not determined",
)
"""What the columns are, for comments."""


class FoundWaves(NamedTuple):
    """Waves about the impurities of a result.

    Attributes:
        maps: what was fitted: the part that was searched, levelled.
        fit: of it; None where nothing is determined.
        species: of the impurities; None likewise.
        dispersion: None where it is not determined.
        reason: why nothing is; empty where something is.
        origin_px: of the part in the file.
        fitted: which of the impurities were, bool [n]: of two at one place
            the surer.
    """

    maps: ConductanceMaps
    fit: WaveFit | None
    species: Species | None
    dispersion: Dispersion | None
    reason: str
    origin_px: tuple[int, int]
    fitted: np.ndarray


def waves_about(found: Detections) -> FoundWaves:
    """Fit the waves about the impurities of a result.

    Args:
        found: searched with a surface, or with visible FFT rings.
    """
    search = found.search
    maps, origin = search.levelled, search.origin_px
    places = found.positions_px - np.asarray(origin)
    # A position found on the rim may lie beside it by a part of a pixel.
    places = np.clip(places, -0.49, np.subtract(maps.shape[1:], 0.51))
    fitted = np.ones(len(found), bool)
    surface = search.options.get("surface")
    try:
        q = known_q(
            maps, None if surface is None else surface_q(maps, surface)
        )[0]
        apart = CLOSEST_PERIODS * 2 * np.pi / np.nanmax(q)
        pixel = np.asarray(maps.pixel_nm)
        fitted = distinct(places * pixel, found.scores, apart)
        deviations = found.deviations_px
        fit = fit_waves(
            maps,
            places[fitted],
            None if deviations is None else deviations[fitted],
            q,
            WaveOptions(
                q_uncertainty=SURFACE_UNCERTAINTY
                if surface
                else RING_UNCERTAINTY
            ),
        )
    except InputError as error:
        return FoundWaves(maps, None, None, None, str(error), origin, fitted)
    species, dispersion = find_species(fit), wave_dispersion(fit)
    return FoundWaves(maps, fit, species, dispersion, "", origin, fitted)


def with_species(found: Detections, waves: FoundWaves) -> Detections:
    """The result with a column `species`, NaN where it is not determined."""
    kinds = np.full(len(found), np.nan)
    if waves.fit is not None and waves.species is not None:
        kinds[waves.fitted] = known_kinds(waves.fit, waves.species)
    physics: Mapping[str, np.ndarray] = {**found.physics, SPECIES: kinds}
    return replace(found, physics=physics)


def with_residual(found: Detections, waves: FoundWaves) -> Detections:
    """The result with what the waves leave of its maps, for the report page.

    It is a layer `residual` of `found.search`, at the maps' own pixels and
    NaN in the cores; none where no wave was fitted.
    """
    if waves.fit is None:
        return found
    down, right = waves.fit.joined
    fitted = waves.fit.residual.repeat(down, axis=1).repeat(right, axis=2)
    # The fit joins whole pixels: a rest at the lower and right edge is left.
    residual = np.full(waves.maps.shape, np.nan, np.float32)
    residual[:, : fitted.shape[1], : fitted.shape[2]] = fitted
    layers = {**found.search.layers, RESIDUAL: residual}
    return replace(found, search=replace(found.search, layers=layers))


def section(waves: FoundWaves) -> dict[str, Any]:
    """What `positions.json` says of the waves."""
    if waves.fit is None or waves.species is None:
        return {"not_determined": waves.reason}
    return summary(waves.maps, waves.fit, waves.species, waves.dispersion)


def write_wave_files(folder: Path, waves: FoundWaves) -> list[str]:
    """Write tables, and a picture where anything was fitted.

    Args:
        folder: where.
        waves: see `FoundWaves`.

    Returns:
        Names of the files.
    """
    scattering, dispersion = (folder / name for name in WAVE_FILES)
    write_scattering(
        scattering,
        waves.maps,
        waves.fit,
        waves.species,
        reason=waves.reason,
        origin_px=waves.origin_px,
        lines=np.flatnonzero(waves.fitted) + 1,
    )
    write_dispersion(
        dispersion, waves.fit, waves.dispersion, reason=waves.reason
    )
    if waves.fit is None or waves.species is None:
        return [*WAVE_FILES]
    plot_waves(
        folder / WAVE_PICTURE,
        waves.maps,
        waves.fit,
        waves.species,
        waves.dispersion,
    )
    return [*WAVE_FILES, WAVE_PICTURE]
