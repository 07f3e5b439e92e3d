"""What to be wary of in an inspected file, a line each."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from stm_keras.io.channels import quantity
from stm_keras.io.selection import lock_in_faults
from stm_keras.qpi.dispersion import n_biases
from stm_keras.qpi.ring import MIN_SIDE_PX
from stm_keras.surfaces import SURFACES, Surface

if TYPE_CHECKING:  # the report holds the warnings
    from stm_keras.inspection.inspect import FileReport, MapReport

_LISTED = 6
# The ring finder looks up to 0.85 of the Nyquist limit, and needs four waves
# in the frame (analysis.ring).
_NYQUIST_SHARE = 0.85
_MIN_PERIODS = 4.0
# A topograph sums the states from 0 to V: its ring is that of neither.
_SUMMED_V = 0.05


def channel_warnings(report: FileReport) -> list[str]:
    """Lock-in faults, and what is not dI/dV."""
    recording = report.recording
    # What a person put into a file alone, such as maps about their mean, is
    # taken at its word.
    trusted = recording.curated and len(recording.channels) == 1
    lines = [
        f"{name}: {fault}; it carries no dI/dV"
        for name, fault in (
            {} if trusted else lock_in_faults(recording)
        ).items()
    ]
    if report.selection is not None and report.selection.doubt:
        lines.append(report.selection.doubt)
    if report.selection is None:
        return [*lines, report.no_channel.removeprefix(f"{recording.source}: ")]
    if report.extent_nm is None:
        lines.append(
            "the file does not tell its size, so no ring can be measured: "
            "give --extent-nm, height and width in nm"
        )
    channel = report.selection.channel
    kind = quantity(channel.name, channel.unit)
    largest = max((abs(m.bias_v) for m in report.maps), default=0.0)
    if kind == "topograph" and largest > _SUMMED_V:
        lines.append(
            f"a topograph at {largest:.3g} V shows all states between 0 and "
            "that bias: its ring may be a mixture"
        )
    return lines


def bias_warnings(report: FileReport) -> list[str]:
    """Biases that are unknown, or measured twice."""
    bias = np.array([m.bias_v for m in report.maps])
    lines, known = [], bias[np.isfinite(bias)]
    if bias.size > known.size:
        lines.append(
            f"the file does not tell the bias of {bias.size - known.size} of "
            f"{bias.size} map(s): give --bias, in V"
        )
    if known.size > n_biases(known):
        counts = Counter(np.round(known, 6).tolist())
        twice = [f"{b:g} V" for b, n in counts.items() if n > 1]
        lines.append(f"measured more than once: {_listed(twice)}")
    return lines


def map_warnings(report: FileReport) -> list[str]:
    """Maps without content, noisy bands, rows that are not measured."""
    lines = []
    empty: dict[str, list[MapReport]] = {}
    spots: dict[str, list[MapReport]] = {}
    bad: dict[str, list[MapReport]] = {}
    for one in report.maps:
        if one.spots:
            spots.setdefault(one.spots, []).append(one)
        if one.fault:
            empty.setdefault(one.fault, []).append(one)
        elif one.bad_lines:
            bad.setdefault(one.bad_lines, []).append(one)
    left = sum(not one.fault and one.levelled is None for one in report.maps)
    if left:
        n_maps = len(report.maps)
        lines.append(f"{n_maps - left} of {n_maps} maps are measured here")
    for fault, maps in empty.items():
        lines.append(f"nothing to see in {_biases(maps, report)}: {fault}")
    for text, maps in list(spots.items())[:_LISTED]:
        lines.append(f"no waves in {_biases(maps, report)}: {text}")
    for text, maps in list(bad.items())[:_LISTED]:
        lines.append(f"scan {text}, in {_biases(maps, report)}")
    if len(bad) > _LISTED:
        rest = sum(len(maps) for maps in list(bad.values())[_LISTED:])
        lines.append(f"bad scan lines in {rest} more map(s): see --json")
    return lines


def ring_warnings(report: FileReport, named: Surface | None) -> list[str]:
    """Rings that are not seen or cannot be, and biases without waves."""
    pixel = report.pixel_nm
    looked = [m for m in report.maps if m.levelled is not None]
    if pixel is None or not looked or report.extent_nm is None:
        return []
    unseen = [m for m in looked if m.ring is None]
    lines = []
    if unseen:
        where = _biases(unseen, report)
        lines.append(f"no ring stands out in {where}")
    suggested = report.surfaces.suggested if report.surfaces else None
    surface = named or (suggested.surface if suggested else None)
    if surface is not None:
        below = [m for m in looked if m.bias_v <= surface.band_edge_ev]
        if below:
            lines.append(
                f"below the band edge of {surface.name} "
                f"({surface.band_edge_ev:g} V), so without waves: "
                f"{_biases(below, report)}"
            )
    if min(report.recording.shape) < MIN_SIDE_PX:
        return [
            *lines,
            f"a ring needs {MIN_SIDE_PX} px or more along both sides",
        ]
    seen = any(m.ring is not None for m in looked)
    wanted = [surface] if surface else [] if seen else [*SURFACES.values()]
    bias = np.array([m.bias_v for m in looked])
    return [*lines, *_resolution(report.extent_nm, max(pixel), bias, wanted)]


def _resolution(
    extent_nm: tuple[float, float],
    pixel_nm: float,
    bias_v: np.ndarray,
    wanted: list[Surface],
) -> list[str]:
    """Surfaces whose waves are too short or too long for a frame."""
    highest = _NYQUIST_SHARE * np.pi / pixel_nm
    lowest = _MIN_PERIODS * 2 * np.pi / min(extent_nm)
    coarse, small = list[str](), list[str]()
    for surface in wanted:
        above = bias_v[bias_v > surface.band_edge_ev]
        q = 2 * surface.wave_number(above)
        if q.size and q.max() > highest:
            pixel = _NYQUIST_SHARE * np.pi / q.max()
            coarse.append(f"{surface.name} ({pixel:.2g} nm or less)")
        if q.size and q.min() < lowest:
            frame = _MIN_PERIODS * 2 * np.pi / q.min()
            small.append(f"{surface.name} ({frame:.3g} nm or more)")
    lines = []
    if coarse:
        lines.append(
            f"pixel of {pixel_nm:.3g} nm too coarse for all waves of "
            f"{_listed(coarse)}"
        )
    if small:
        lines.append(
            f"frame of {min(extent_nm):.3g} nm too small for all waves of "
            f"{_listed(small)}"
        )
    return lines


def _biases(maps: list[MapReport], report: FileReport) -> str:
    """Maps by their bias, in words."""
    if len(maps) == len(report.maps):
        return "the map" if len(maps) == 1 else f"all {len(maps)} maps"
    if len(maps) > _LISTED:
        volts = [m.bias_v for m in maps if np.isfinite(m.bias_v)]
        ends = f", from {min(volts):.4g} to {max(volts):.4g} V" if volts else ""
        return f"{len(maps)} of {len(report.maps)} maps{ends}"
    volts = _listed([f"{m.bias_v:.4g} V" for m in maps])
    return f"the {'map' if len(maps) == 1 else 'maps'} at {volts}"


def _listed(words: list[str]) -> str:
    more = f" and {len(words) - _LISTED} more" if len(words) > _LISTED else ""
    return ", ".join(words[:_LISTED]) + more
