"""What `stmk waves` writes."""

import csv
import io
import json
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.files import atomic_file, result_directory
from stm_keras.maps import ConductanceMaps
from stm_keras.qpi.dispersion import Dispersion
from stm_keras.waves.fit import WaveFit
from stm_keras.waves.kernel import mean_kernel
from stm_keras.waves.picture import plot_waves
from stm_keras.waves.species import Species

SCATTERING_COLUMNS = (
    "impurity",
    "row",
    "col",
    "bias_v",
    "phase_shift_rad",
    "std_phase_shift_rad",
    "amplitude",
    "std_amplitude",
    "species",
)

_SCATTERING_HEADER = (
    "impurity: line of the positions given, from 1; row, col [px]: refined",
    "phase_shift_rad [rad]: arg c - pi / 2 of the amplitude c of what is "
    "scattered; empty where no wave stands out",
    "amplitude: |c|, what the map gains is Re c H0(k r)^2",
    "species: kind, 1 the most numerous",
)


def write_waves(
    out: str | Path,
    maps: ConductanceMaps,
    fit: WaveFit,
    species: Species,
    dispersion: Dispersion | None,
) -> list[Path]:
    """Write all results into a directory.

    Args:
        out: the directory; made where missing.
        maps: what was fitted, for its unit and name.
        fit: of it.
        species: of the impurities.
        dispersion: of the maps; None where it is not determined.

    Returns:
        The files: scattering.csv, dispersion.csv, waves.json, kernel.npz,
        waves.npz and waves.png.

    Raises:
        InputError: where the directory cannot be written to.
    """
    folder = result_directory(out)
    unit = maps.unit or "the map's unit"
    _write_table(
        folder / "scattering.csv",
        (*_SCATTERING_HEADER, f"amplitude, std_amplitude [{unit}]"),
        SCATTERING_COLUMNS,
        _scattering_rows(fit, species),
    )
    _write_table(
        folder / "dispersion.csv",
        ("q_per_nm [rad/nm]: scattering wave vector q = 2k",),
        ("bias_v", "q_per_nm", "std_q_per_nm"),
        zip(fit.bias_v, fit.q_per_nm, fit.std_q_per_nm, strict=True),
    )
    _write_json(folder / "waves.json", maps, fit, species, dispersion)
    with atomic_file(folder / "kernel.npz") as path:
        np.savez(path, bias_v=fit.bias_v, **mean_kernel(fit, species)._asdict())
    with atomic_file(folder / "waves.npz") as path:
        np.savez(
            path,
            bias_v=fit.bias_v,
            pixel_nm=fit.pixel_nm,
            maps=fit.maps,
            waves=fit.waves,
            subtracted=fit.maps - fit.waves,
            residual=fit.residual,
        )
    plot_waves(folder / "waves.png", maps, fit, species, dispersion)
    names = (
        "scattering.csv",
        "dispersion.csv",
        "waves.json",
        "kernel.npz",
        "waves.npz",
        "waves.png",
    )
    return [folder / name for name in names]


def _scattering_rows(fit: WaveFit, species: Species) -> Iterable[Sequence]:
    std = fit.std_amplitude
    for j, (row, col) in enumerate(fit.positions_px):
        for v, bias in enumerate(fit.bias_v):
            yield (
                j + 1,
                row,
                col,
                bias,
                fit.phase_rad[j, v],
                fit.std_phase_rad[j, v],
                abs(fit.amplitudes[j, v]),
                std[j, v],
                int(species.member[j]) + 1,
            )


def _write_table(
    path: Path,
    header: Sequence[str],
    columns: Sequence[str],
    rows: Iterable[Sequence],
) -> None:
    text = io.StringIO()
    text.writelines(f"# {line}\n" for line in header)
    table = csv.writer(text, lineterminator="\n")
    table.writerow(columns)
    table.writerows([_cell(value) for value in row] for row in rows)
    with atomic_file(path) as temporary:
        temporary.write_text(text.getvalue(), "utf-8")


def _cell(value: float) -> str:
    """A number, or nothing where it is not determined."""
    if isinstance(value, int):
        return str(value)
    return f"{value:.7g}" if math.isfinite(value) else ""


def _write_json(
    path: Path,
    maps: ConductanceMaps,
    fit: WaveFit,
    species: Species,
    dispersion: Dispersion | None,
) -> None:
    report: dict[str, Any] = {
        "source": maps.source,
        "dispersion": None
        if dispersion is None
        else {
            "effective_mass": dispersion.effective_mass,
            "std_effective_mass": float(dispersion.effective_mass_sigma),
            "band_edge_ev": dispersion.band_edge_ev,
            "std_band_edge_ev": float(dispersion.band_edge_sigma_ev),
            "correlation": dispersion.correlation,
            "n_maps": dispersion.n_rings,
        },
        "mean_free_path_nm": _finite(fit.mean_free_path_nm),
        "std_damping_per_nm": fit.std_damping_per_nm,
        "scale": [_finite(s) for s in fit.scale],
        "std_scale": [_finite(s) for s in fit.std_scale],
        "species": [
            {
                "members": int(count),
                "phase_shift_rad": [_finite(p) for p in phase],
                "amplitude": [_finite(abs(c)) for c in amplitude],
            }
            for count, phase, amplitude in zip(
                species.counts,
                species.phase_rad,
                species.amplitudes,
                strict=True,
            )
        ],
        "evidence_of_numbers_of_species": species.evidence.tolist(),
        "core_nm": fit.core_nm.tolist(),
        "notes": list(fit.notes),
    }
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
