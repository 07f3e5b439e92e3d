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
from stm_keras.io.channels import quantity
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
    "impurity: line of the table of positions, from 1; row, col [px]: refined",
    "phase_shift_rad [rad]: arg c - pi / 2 of the amplitude c of what is "
    "scattered; empty where no wave stands out",
    "amplitude: |c|, what the map gains is Re c H0(k r)^2",
    "species: kind, 1 the most numerous; empty where it is not determined",
)

PHASES_ALONE = (
    "the scale of a topograph is not known: phases alone, no amplitudes"
)

_SURE, _FAR = 0.9, 2.0
"""An impurity is of a kind where it is so probable that it is of no other,
and its misfit is no larger."""


def known_kinds(fit: WaveFit, species: Species) -> np.ndarray:
    """Kind of each impurity from 1; NaN where it is not determined.

    Args:
        fit: of the impurities.
        species: of the same.
    """
    known = (species.probability > _SURE) & (species.misfit <= _FAR)
    known &= fit.determined.any(axis=1)
    return np.where(known, species.member + 1.0, np.nan)


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
    write_scattering(folder / "scattering.csv", maps, fit, species)
    write_dispersion(folder / "dispersion.csv", fit, dispersion)
    report = summary(maps, fit, species, dispersion)
    with atomic_file(folder / "waves.json") as path:
        path.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
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


def gives_amplitudes(maps: ConductanceMaps) -> bool:
    """Whether amplitudes mean something: not of a topograph's heights."""
    return quantity(maps.channel or "", maps.unit or "") != "topograph"


def write_scattering(
    path: Path,
    maps: ConductanceMaps,
    fit: WaveFit | None,
    species: Species | None,
    *,
    reason: str = "",
    origin_px: tuple[int, int] = (0, 0),
    lines: np.ndarray | None = None,
) -> None:
    """Write phases and amplitudes of all impurities and maps.

    Args:
        path: of the CSV file.
        maps: what was fitted.
        fit: of it; None where nothing is determined.
        species: of the impurities; None likewise.
        reason: why nothing is.
        origin_px: of the maps in the file: added to the positions.
        lines: of the impurities in their table; None for 1, 2 and on.
    """
    unit = maps.unit or "the map's unit"
    header = [*_SCATTERING_HEADER, f"amplitude, std_amplitude [{unit}]"]
    header += [] if gives_amplitudes(maps) else [PHASES_ALONE]
    header += [f"not determined: {reason}"] if reason else []
    rows: Iterable[Sequence] = ()
    if fit is not None and species is not None:
        shown = fit.amplitudes, fit.std_amplitude
        if not gives_amplitudes(maps):
            shown = tuple(np.full_like(part, np.nan) for part in shown)
        if lines is None:
            lines = np.arange(len(fit.amplitudes)) + 1
        rows = _scattering_rows(fit, species, shown, origin_px, lines)
    _write_table(path, header, SCATTERING_COLUMNS, rows)


def write_dispersion(
    path: Path,
    fit: WaveFit | None,
    dispersion: Dispersion | None,
    *,
    reason: str = "",
) -> None:
    """Write q of every map; arguments as of `write_scattering`."""
    header = ["q_per_nm [rad/nm]: scattering wave vector q = 2k"]
    if reason:
        header.append(f"not determined: {reason}")
    elif dispersion is None:
        header.append("m*, E0: not determined (they need q at two biases)")
    else:
        header.append(dispersion_line(dispersion))
    rows: Iterable[Sequence] = ()
    if fit is not None:
        rows = zip(fit.bias_v, fit.q_per_nm, fit.std_q_per_nm, strict=True)
    _write_table(path, header, ("bias_v", "q_per_nm", "std_q_per_nm"), rows)


def dispersion_line(found: Dispersion) -> str:
    """Mass and band edge with their deviations, in words."""
    return (
        f"m* = {found.effective_mass:.4f} +- "
        f"{found.effective_mass_sigma:.4f} m_e, E0 = "
        f"{1000 * found.band_edge_ev:.1f} +- "
        f"{1000 * found.band_edge_sigma_ev:.1f} meV"
    )


def _scattering_rows(
    fit: WaveFit,
    species: Species,
    shown: tuple[np.ndarray, ...],
    origin_px: tuple[int, int],
    lines: np.ndarray,
) -> Iterable[Sequence]:
    amplitude, std = shown
    kinds = known_kinds(fit, species)
    for j, (row, col) in enumerate(fit.positions_px + np.asarray(origin_px)):
        for v, bias in enumerate(fit.bias_v):
            yield (
                int(lines[j]),
                row,
                col,
                bias,
                fit.phase_rad[j, v],
                fit.std_phase_rad[j, v],
                abs(amplitude[j, v]),
                std[j, v],
                kinds[j],
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


def summary(
    maps: ConductanceMaps,
    fit: WaveFit,
    species: Species,
    dispersion: Dispersion | None,
) -> dict[str, Any]:
    """What is known of a whole frame, as JSON has it; null is not determined.

    Args:
        maps: what was fitted.
        fit: of it.
        species: of the impurities.
        dispersion: of the maps; None where it is not determined.
    """
    notes, amplitudes = fit.notes, gives_amplitudes(maps)
    if not amplitudes:
        notes = (*notes, PHASES_ALONE)
    if dispersion is None:
        notes = (*notes, "m*, E0: not determined (they need q at two biases)")
    return {
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
        "scale": [_finite(s) if amplitudes else None for s in fit.scale],
        "std_scale": [
            _finite(s) if amplitudes else None for s in fit.std_scale
        ],
        "species": [
            {
                "members": int(count),
                "phase_shift_rad": [_finite(p) for p in phase],
                "amplitude": [
                    _finite(abs(c)) if amplitudes else None for c in amplitude
                ],
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
        "notes": list(notes),
    }


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
