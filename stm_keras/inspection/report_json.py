"""An inspected file as JSON; the unit of a number is in its name."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

from stm_keras.inspection.inspect import FileReport, MapReport
from stm_keras.inspection.surfaces import KnownSurfaces
from stm_keras.io.channels import quantity
from stm_keras.qpi.dispersion import Deviation


def as_json(
    reports: Sequence[FileReport], together: KnownSurfaces | None
) -> dict[str, Any]:
    """Everything that was found, of plain types.

    Args:
        reports: of the files.
        together: of all files.

    Returns:
        Keys `files` and `together` (None where files with rings are fewer
        than two). What is unknown is None.
    """
    return {
        "files": [_file(report) for report in reports],
        "together": _surfaces(together),
    }


def _file(report: FileReport) -> dict[str, Any]:
    recording, selection = report.recording, report.selection
    place = recording.placement
    return {
        "source": recording.source,
        "format": recording.format,
        "metadata": dict(recording.metadata),
        "notes": list(recording.notes),
        "shape_px": list(recording.shape),
        "extent_nm": None if report.extent_nm is None else [*report.extent_nm],
        "pixel_nm": None if report.pixel_nm is None else [*report.pixel_nm],
        "centre_nm": None if place is None else [*place.centre_nm],
        "angle_deg": None if place is None else place.angle_deg,
        "channels": [
            {
                "name": channel.name,
                "unit": channel.unit,
                "direction": channel.direction,
                "quantity": quantity(channel.name, channel.unit),
                "n_maps": len(channel.bias_v),
                "sweep": channel.sweep,
                "lock_in_off": channel.lock_in_off,
                "note": channel.note,
            }
            for channel in recording.channels
        ],
        "selected": None
        if selection is None
        else {
            "name": selection.channel.name,
            "direction": selection.channel.direction,
            "differentiated": selection.derive,
            "reason": selection.reason,
        },
        "maps": [_map(one) for one in report.maps],
        "surfaces": _surfaces(report.surfaces),
        "warnings": list(report.warnings),
    }


def _map(one: MapReport) -> dict[str, Any]:
    ring = one.ring
    return {
        "index": one.index,
        "bias_v": _number(one.bias_v),
        "fault": one.fault or None,
        "bad_lines": one.bad_lines or None,
        "no_waves": one.spots or None,
        "ring": None
        if ring is None
        else {
            "q_per_nm": ring.q_per_nm,
            "q_sigma_per_nm": ring.q_sigma,
            "prominence_sigma": ring.prominence,
            "contrast": ring.contrast,
        },
    }


def _surfaces(about: KnownSurfaces | None) -> dict[str, Any] | None:
    if about is None:
        return None
    fit = about.dispersion
    first = about.suggested
    return {
        "k_of_v": None if fit is None else dataclasses.asdict(fit),
        "no_fit": about.no_fit or None,
        "deviations": [_deviation(d) for d in about.deviations],
        "asked": None if about.asked is None else _deviation(about.asked),
        "suggested": None if first is None else first.name,
    }


def _deviation(deviation: Deviation) -> dict[str, Any]:
    return {
        "surface": deviation.name,
        "relative": _number(deviation.relative),
        "relative_sigma": _number(deviation.relative_sigma),
        "typical": _number(deviation.typical),
        "rings_below_edge": deviation.n_below_edge,
        "fits": deviation.fits,
    }


def _number(value: float) -> float | None:
    """A number, None where it is none: JSON knows no NaN."""
    return value if math.isfinite(value) else None
