"""An inspected file on one screen."""

import math
import textwrap
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stm_keras.inspection.inspect import FileReport, MapReport
from stm_keras.inspection.surfaces import KnownSurfaces
from stm_keras.io.channels import quantity
from stm_keras.io.recording import Channel
from stm_keras.io.units import height_by_width
from stm_keras.qpi.dispersion import Deviation, n_biases

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
    told = recording.metadata
    for key in (*_FIRST, *(key for key in told if key not in _FIRST)):
        if key in told and told[key] != Path(recording.source).stem:
            yield from _field(key, told[key])
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
        expected = f"2k = {q:.3f} rad/nm expected; "
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
        return "not told"
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
            "no --surface: none fits. Leave it out, and the measured ring "
            "sets the scale"
        )
    others = [d.name for d in about.deviations[1:] if d.fits]
    also = f" ({', '.join(others)} would fit too)" if others else ""
    return f"--surface {first.name}{also}"


def _rings(report: FileReport) -> Iterator[str]:
    looked = [m for m in report.maps if m.levelled is not None]
    if not looked or report.extent_nm is None:
        return
    seen = [m for m in looked if m.ring is not None]
    yield from _field("rings", f"seen in {len(seen)} of {len(looked)} map(s)")
    if not seen:
        return
    yield f"  {'bias [V]':>12} {'2k [rad/nm]':>16} {'wavelength [nm]':>16}"
    shown = evenly(seen, _MOST_ROWS)
    for one in shown:
        yield _ring_row(one)
    if len(shown) < len(seen):
        yield f"  {'...':>12} {len(seen) - len(shown)} more in --json"


def _ring_row(one: MapReport) -> str:
    ring = one.ring
    assert ring is not None
    q = f"{ring.q_per_nm:.3f} ± {ring.q_sigma:.3f}"
    return (
        f"  {round(one.bias_v, 9):>12.4g} {q:>16} "
        f"{2 * np.pi / ring.q_per_nm:>16.3f}   "
        f"{ring.prominence:.0f} sigma, {ring.contrast:.1f} x background"
    )


def evenly(maps: Sequence[MapReport], most: int) -> list[MapReport]:
    """At most so many maps, evenly chosen from all."""
    if len(maps) <= most:
        return list(maps)
    places = np.linspace(0, len(maps) - 1, most).round().astype(int)
    return [maps[place] for place in places]


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
