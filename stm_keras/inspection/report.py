"""An inspected file on one screen."""

import dataclasses
import json
import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras import surfaces
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, result_directory
from stm_keras.inspection.inspect import (
    FileReport,
    KnownSurfaces,
    MapReport,
    evenly,
    inspect_file,
    joint_surfaces,
)
from stm_keras.io.channels import quantity
from stm_keras.io.recording import Channel, ReadOptions
from stm_keras.io.sets import expand
from stm_keras.qpi.dispersion import Deviation, n_biases
from stm_keras.units import height_by_width

_LABEL = 14
_WIDTH = 79
_MOST_ROWS = 10
_MOST_CHANNELS = 8
_FIRST = ("title", "date", "set point", "comment")
_QUANTITIES = {"didv": "dI/dV", "current": "current", "topograph": "topograph"}


def report_lines(report: FileReport) -> Iterator[str]:
    """The report of a file as text, about 80 columns wide."""
    recording = report.recording
    yield f"{recording.source}: {recording.format}"
    known = recording.metadata
    for key in (*_FIRST, *(key for key in known if key not in _FIRST)):
        if key in known and known[key] != Path(recording.source).stem:
            yield from _field(key, known[key])
    yield from _field("frame", _frame(report))
    yield from _field("channels", "; ".join(_channels(recording.channels)))
    yield from _field("maps at", bias_text([m.bias_v for m in report.maps]))
    if report.selection is not None:
        channel = report.selection.channel
        name = channel.name or "without a name"
        made = f"d({name})/dV" if report.selection.derive else name
        yield from _field(
            "would use",
            f"{made}, {channel.direction}: {report.selection.reason}",
        )
    yield from _rings(report)
    yield from surface_lines(report.surfaces)
    for line in report.warnings:
        yield from _field("warning", line)


def surface_lines(about: KnownSurfaces | None) -> Iterator[str]:
    """What the rings say about k(V), as text."""
    if about is None:
        return
    fit = about.dispersion
    if fit is None:
        yield from _field("k(V)", f"not fitted: {about.no_fit}")
    else:
        out = f"; {len(fit.left_out)} left out" if fit.left_out else ""
        yield from _field(
            "k(V)",
            f"m* = {fit.effective_mass:.3f} ± {fit.effective_mass_sigma:.3f} "
            f"m_e, E0 = {1e3 * fit.band_edge_ev:.0f} ± "
            f"{1e3 * fit.band_edge_sigma_ev:.0f} meV ({fit.n_rings} rings at "
            f"{n_biases(about.rings.bias_v)} biases{out})",
        )
    one = about.rings.bias_v[0] if about.rings.bias_v.size == 1 else None
    for deviation in about.deviations:
        yield from _field(
            deviation.name,
            deviation_text(deviation, one),
        )
    if about.asked is not None:
        verdict = "fits" if about.asked.fits else "does not fit"
        yield from _field("asked for", f"{about.asked.surface.name} {verdict}")
    yield from _field("suggested", _suggestion(about))


def deviation_text(deviation: Deviation, bias_v: float | None = None) -> str:
    """How far the rings lie from a surface's; one ring at `bias_v` [V]."""
    surface = deviation.surface
    if not math.isfinite(deviation.relative):
        return (
            f"no waves at these biases: {surface.name}'s band begins at "
            f"{surface.band_edge_ev:g} V"
        )
    expected = ""
    if bias_v is not None:
        q = float(2 * surface.wave_number(bias_v))
        expected = f"q = {q:.3f} rad/nm expected; "
    below = (
        f", {deviation.n_below_edge} ring(s) below its band"
        if deviation.n_below_edge
        else ""
    )
    sigmas = deviation.relative / deviation.relative_sigma
    return (
        f"{expected}measured {100 * deviation.relative:+.1f} ± "
        f"{100 * deviation.relative_sigma:.1f} % off ({sigmas:+.1f} sigma"
        f"{below})"
    )


def bias_text(bias_v: Sequence[float]) -> str:
    """Biases [V], compactly."""
    bias = np.round(np.asarray(bias_v, dtype=np.float64), 9)
    known = bias[np.isfinite(bias)]
    if not known.size:
        return "unknown"
    if known.size <= 6:
        return ", ".join(f"{b:.4g}" for b in known) + " V"
    steps = np.diff(known)
    even = np.abs(steps - steps.mean()).max() <= 0.01 * abs(steps.mean())
    step = f" in steps of {1e3 * steps.mean():.3g} mV" if even else ""
    return f"{known.size} from {known[0]:.4g} to {known[-1]:.4g} V{step}"


def _suggestion(about: KnownSurfaces) -> str:
    first = about.suggested
    if first is None:
        return (
            "no --surface: none fits. Leave it out, and the measured q sets "
            "the scale"
        )
    others = [d.name for d in about.deviations[1:] if d.fits]
    also = f" ({', '.join(others)} would fit too)" if others else ""
    return f"--surface {first.name}{also}"


def _rings(report: FileReport) -> Iterator[str]:
    levelled = [m for m in report.maps if m.levelled is not None]
    if not levelled or report.extent_nm is None:
        return
    visible = [m for m in levelled if m.ring is not None]
    yield from _field(
        "FFT rings",
        f"visible in {len(visible)} of {len(levelled)} map(s); their radius "
        "is q = 2k",
    )
    if not visible:
        return
    yield f"  {'bias [V]':>12} {'q [rad/nm]':>16} {'wavelength [nm]':>16}"
    listed = evenly(visible, _MOST_ROWS)
    for one in listed:
        yield _ring_row(one)
    if len(listed) < len(visible):
        yield f"  {'...':>12} {len(visible) - len(listed)} more in --json"


def _ring_row(one: MapReport) -> str:
    ring = one.ring
    assert ring is not None
    q = f"{ring.q_per_nm:.3f} ± {ring.q_sigma:.3f}"
    return (
        f"  {round(one.bias_v, 9):>12.4g} {q:>16} "
        f"{2 * np.pi / ring.q_per_nm:>16.3f}   "
        f"{ring.prominence:.0f} sigma, {ring.contrast:.1f} x background"
    )


def _frame(report: FileReport) -> str:
    size = height_by_width(report.recording.shape, "px")
    if report.extent_nm is not None and report.pixel_nm is not None:
        down, right = report.pixel_nm
        pixel = (
            f"{right:.4g} nm"
            if math.isclose(down, right, rel_tol=1e-3)
            else height_by_width((down, right), "nm")
        )
        frame = height_by_width(report.extent_nm, "nm")
        size = f"{frame}, {size}, pixel {pixel}"
    place = report.recording.placement
    if place is not None:
        x, y = place.centre_nm
        size += f", centre ({x:.1f}, {y:.1f}) nm, angle {place.angle_deg:.4g}°"
    return size


def _channels(channels: Sequence[Channel]) -> Iterator[str]:
    names = list(dict.fromkeys(channel.name for channel in channels))
    for name in names[:_MOST_CHANNELS]:
        same = [channel for channel in channels if channel.name == name]
        first = same[0]
        kind = quantity(first.name, first.unit)
        words = [
            f"[{first.unit}]" if first.unit else "",
            "+".join(dict.fromkeys(c.direction for c in same)),
            f"x {len(first.bias_v)}" if len(first.bias_v) > 1 else "",
            f"= {_QUANTITIES[kind]}" if kind else "",
        ]
        yield " ".join([name or "unnamed", *(w for w in words if w)])
    if len(names) > _MOST_CHANNELS:
        yield f"{len(names) - _MOST_CHANNELS} more in --json"


def _field(label: str, text: str) -> list[str]:
    return textwrap.wrap(
        text or "-",
        _WIDTH,
        initial_indent=f"  {label:<{_LABEL}} ",
        subsequent_indent=" " * (_LABEL + 3),
        break_long_words=False,
        break_on_hyphens=False,
    )


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


def inspect_files(
    paths: Sequence[Path],
    read: ReadOptions,
    *,
    surface: str | None = None,
    out: Path | None = None,
    json_path: Path | None = None,
) -> Iterator[str]:
    """Inspect files one by one, and what they say together.

    Args:
        paths: files and folders.
        read: how to read them.
        surface: a key of `SURFACES` to check the rings against.
        out: directory for a picture of each file; None for none.
        json_path: file for the reports; None for none.

    Yields:
        Lines for the user.

    Raises:
        InputError: where an option or the only file cannot be used; of
            several files, once the others are reported.
    """
    if surface is not None:
        surfaces.surface(surface)
    files, notes = expand(paths)
    if out is not None:
        out = result_directory(out)
    yield from notes
    reports, failed = list[FileReport](), list[InputError]()
    for number, path in enumerate(files):
        try:
            report = inspect_file(path, read, surface)
        except InputError as error:
            if len(files) == 1:
                raise
            failed.append(error)
            yield f"not read: {error}"
            continue
        reports.append(report)
        if number:
            yield ""
        yield from report_lines(report)
        if out is not None:
            yield from _picture(report, out)
    together = joint_surfaces(reports, surface)
    if together is not None:
        yield ""
        yield f"All {len(reports)} files together, if of one sample:"
        yield from surface_lines(together)
    if json_path is not None:
        write_json(json_path, as_json(reports, together))
        yield f"report: {json_path}"
    if failed:
        raise InputError(
            f"{len(failed)} of {len(files)} files could not be read: see "
            "above. Leave them out or copy them again."
        )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a report; see `report_json.as_json`."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _picture(report: FileReport, out: Path) -> Iterator[str]:
    # matplotlib takes as long to load as all the rest.
    from stm_keras.inspection.picture import plot_report

    # With its suffix: a.sxm and a.npz have a picture each.
    path = out / f"{Path(report.recording.source).name}.inspect.png"
    with atomic_file(path) as temporary:
        drawn = plot_report(temporary, report)
    yield f"  {'picture':14} {path if drawn else 'nothing to draw'}"
