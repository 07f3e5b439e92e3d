"""What a file is and what can be seen in it, before anything is trained on it.

A report never fails on what is merely missing: a bias that a file does not
tell, or a map without content, is a warning of the report.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from stm_keras import surfaces
from stm_keras.errors import InputError
from stm_keras.io.channels import quantity
from stm_keras.io.reader import open_recording
from stm_keras.io.recording import ReadOptions, Recording
from stm_keras.io.selection import (
    Selection,
    differentiate,
    lock_in_faults,
    select_channel,
)
from stm_keras.maps import (
    ConductanceMaps,
    checked_extent,
    finite_or_nan,
)
from stm_keras.preprocessing.preparation import level
from stm_keras.qpi.dispersion import (
    Deviation,
    Dispersion,
    Rings,
    deviation_from,
    deviations_from_surfaces,
    fit_dispersion,
    n_biases,
    rings_of_frames,
)
from stm_keras.qpi.ring import MIN_SIDE_PX, Ring
from stm_keras.qpi.spots import ring_or_spots
from stm_keras.surfaces import SURFACES, Surface


@dataclass(frozen=True, eq=False)
class KnownSurfaces:
    """What rings say about k(V).

    Attributes:
        rings: those that were seen.
        dispersion: the fit; None with rings at fewer than two biases.
        no_fit: why there is no fit.
        deviations: from every known surface, the nearest first.
        asked: from the surface that the user named.
    """

    rings: Rings
    dispersion: Dispersion | None
    no_fit: str
    deviations: tuple[Deviation, ...]
    asked: Deviation | None = None

    @property
    def suggested(self) -> Deviation | None:
        """The nearest surface, where it fits."""
        first = next(iter(self.deviations), None)
        return first if first is not None and first.fits else None


def compare_with_surfaces(
    frames: Sequence[Sequence[tuple[float, Ring]]], surface: str | None
) -> KnownSurfaces | None:
    """Fit k(V) to rings and compare them with the known surfaces.

    Args:
        frames: for each frame, bias [V] and ring of its maps.
        surface: to compare with in any case, see `surfaces.surface`.

    Returns:
        None where there is no ring.

    Raises:
        InputError: for an unknown surface.
    """
    rings = rings_of_frames(frames)
    if not rings.bias_v.size:
        return None
    dispersion, no_fit = None, ""
    if n_biases(rings.bias_v) < 2:
        no_fit = "rings at one bias only; m* and E0 need two or more"
    else:
        try:
            dispersion = fit_dispersion(rings)
        except InputError as error:
            no_fit = str(error)
    deviations = tuple(deviations_from_surfaces(rings))
    asked = None
    if surface is not None:
        wanted = surfaces.surface(surface)
        asked = deviation_from(surface, wanted, rings)
    return KnownSurfaces(rings, dispersion, no_fit, deviations, asked)


if TYPE_CHECKING:  # the report holds the warnings
    from stm_keras.inspection.inspect import FileReport, MapReport

_LISTED = 6
# The ring finder looks up to 0.85 of the Nyquist limit, and needs four waves
# in the frame (qpi/ring.py).
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
            "the file does not say its size, so q cannot be measured: "
            "give --extent-nm, height and width in nm"
        )
    channel = report.selection.channel
    kind = quantity(channel.name, channel.unit)
    largest = max((abs(m.bias_v) for m in report.maps), default=0.0)
    if kind == "topograph" and largest > _SUMMED_V:
        lines.append(
            f"a topograph at {largest:.3g} V sums all states between 0 and "
            "that bias: its ring may be a mixture"
        )
    return lines


def bias_warnings(report: FileReport) -> list[str]:
    """Biases that are unknown, or measured twice."""
    bias = np.array([m.bias_v for m in report.maps])
    lines, known = [], bias[np.isfinite(bias)]
    if bias.size > known.size:
        lines.append(
            f"the file does not say the bias of {bias.size - known.size} of "
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
        lines.append(f"no content in {_biases(maps, report)}: {fault}")
    for text, maps in list(spots.items())[:_LISTED]:
        lines.append(f"no waves in {_biases(maps, report)}: {text}")
    for text, maps in list(bad.items())[:_LISTED]:
        lines.append(f"scan {text}, in {_biases(maps, report)}")
    if len(bad) > _LISTED:
        rest = sum(len(maps) for maps in list(bad.values())[_LISTED:])
        lines.append(f"bad scan lines in {rest} more map(s): see --json")
    return lines


def ring_warnings(report: FileReport, named: Surface | None) -> list[str]:
    """Rings that are not visible or cannot be, and biases without waves."""
    pixel = report.pixel_nm
    looked = [m for m in report.maps if m.levelled is not None]
    if pixel is None or not looked or report.extent_nm is None:
        return []
    unseen = [m for m in looked if m.ring is None]
    lines = []
    if unseen:
        where = _biases(unseen, report)
        lines.append(f"no FFT ring stands out in {where}")
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


MOST_MEASURED = 256
"""Of a file with more maps so many are measured, evenly chosen: each takes
some 10 ms."""


@dataclass(frozen=True, eq=False)
class MapReport:
    """One map of a file.

    Attributes:
        index: its place in the file's channel.
        bias_v: [V]; NaN where unknown.
        levelled: the map, plane and line offsets subtracted, noisy lines NaN;
            None where it has no content, or was not measured as one of many.
        bad_lines: which lines are noisy, dead or not measured, as a text.
        ring: None where none stands out.
        spots: what else stands out in its transform and is no ring of waves,
            as a text.
        fault: why `levelled` is None.
    """

    index: int
    bias_v: float
    levelled: ConductanceMaps | None = None
    bad_lines: str = ""
    ring: Ring | None = None
    spots: str = ""
    fault: str = ""


@dataclass(frozen=True, eq=False)
class FileReport:
    """What `inspect_file` found.

    Attributes:
        recording: the file, as far as its header.
        extent_nm: height and width [nm], by the file or the user.
        selection: the channel that would be read; None where none suits.
        no_channel: why not.
        maps: of that channel.
        surfaces: what the rings say; None where none was seen.
        warnings: what to be wary of, a line each.
    """

    recording: Recording
    extent_nm: tuple[float, float] | None
    selection: Selection | None
    no_channel: str
    maps: tuple[MapReport, ...]
    surfaces: KnownSurfaces | None
    warnings: tuple[str, ...]

    @property
    def seen(self) -> list[tuple[float, Ring]]:
        """Bias [V] and ring of each map with a visible one at a known bias."""
        return [
            (m.bias_v, m.ring)
            for m in self.maps
            if m.ring is not None and np.isfinite(m.bias_v)
        ]

    @property
    def pixel_nm(self) -> tuple[float, float] | None:
        """Height and width of a pixel [nm]."""
        if self.extent_nm is None:
            return None
        rows, cols = self.recording.shape
        return self.extent_nm[0] / rows, self.extent_nm[1] / cols


def inspect_file(
    path: str | Path, options: ReadOptions, surface: str | None = None
) -> FileReport:
    """Say what a file is, and measure the rings in its maps.

    Args:
        path: the file.
        options: channel and direction; bias and extent in place of the
            file's own.
        surface: to check the rings against, see `surfaces.surface`.

    Raises:
        InputError: for a file that cannot be read, a channel, direction or
            surface that is not known, or biases that are not as many as the
            maps.
    """
    named = None if surface is None else surfaces.surface(surface)
    recording = open_recording(path)
    extent = recording.extent_nm
    if options.extent_nm is not None:
        extent = checked_extent("--extent-nm", options.extent_nm)
    selection, no_channel, maps = None, "", ()
    try:
        selection = select_channel(recording, options)
    except InputError as error:
        if options.channel is not None or options.direction != "forward":
            raise
        no_channel = str(error)
    if selection is not None:
        maps = _maps(recording, selection, options, extent)
    report = FileReport(
        recording, extent, selection, no_channel, maps, None, ()
    )
    about = compare_with_surfaces([report.seen], surface)
    report = replace(report, surfaces=about)
    return replace(report, warnings=_warnings(report, named))


def _warnings(
    report: FileReport, named: surfaces.Surface | None
) -> tuple[str, ...]:
    notes = report.recording.notes
    lines = (
        *(note for note in notes if note.startswith("warning:")),
        *channel_warnings(report),
        *bias_warnings(report),
        *map_warnings(report),
        *ring_warnings(report, named),
    )
    return tuple(line.removeprefix("warning: ") for line in lines)


def joint_surfaces(
    reports: Sequence[FileReport], surface: str | None = None
) -> KnownSurfaces | None:
    """Fit one k(V) to the rings of several files of one sample.

    Files of equal placement and extent count as one frame, whose errors go
    together.

    Args:
        reports: of the files.
        surface: see `inspect_file`.

    Returns:
        The fit; None where files with rings are fewer than two.
    """
    frames: dict[tuple[object, ...], list[tuple[float, Ring]]] = {}
    with_rings = [report for report in reports if report.seen]
    for number, report in enumerate(with_rings):
        place = report.recording.placement
        key = (number,) if place is None else (place, report.extent_nm)
        frames.setdefault(key, []).extend(report.seen)
    if len(with_rings) < 2:
        return None
    return compare_with_surfaces(list(frames.values()), surface)


def _maps(
    recording: Recording,
    selection: Selection,
    options: ReadOptions,
    extent: tuple[float, float] | None,
) -> tuple[MapReport, ...]:
    """Read and level the maps of a channel, each by itself."""
    channel = selection.channel
    bias = channel.bias_v
    values = channel.load()
    if options.bias_v is not None:
        bias = np.asarray(options.bias_v, dtype=np.float64)
    if len(bias) != len(values):
        raise InputError(
            f"{recording.source}: {len(values)} maps need as many biases. "
            f"Received: {len(bias)}. Give one bias in V for each map."
        )
    if selection.derive:
        values, _ = differentiate(values, bias)
    data, _ = finite_or_nan(values)
    measured = set(
        np.linspace(0, len(data) - 1, min(len(data), MOST_MEASURED))
        .round()
        .astype(int)
        .tolist()
    )
    return tuple(
        _map_report(recording, index, image, float(volts), extent)
        if index in measured
        else MapReport(index, float(volts))
        for index, (image, volts) in enumerate(zip(data, bias, strict=True))
    )


def _map_report(
    recording: Recording,
    index: int,
    image: np.ndarray,
    bias_v: float,
    extent: tuple[float, float] | None,
) -> MapReport:
    # Only to have the map checked and levelled: its bias plays no part.
    volts = bias_v if np.isfinite(bias_v) else 0.0
    try:
        maps = ConductanceMaps(
            image[np.newaxis],
            np.array([volts]),
            extent or (1.0, 1.0),
            source=recording.source,
        )
        maps = level(maps, "lines")
    except InputError as error:
        fault = str(error).removeprefix(f"{recording.source}: ")
        return MapReport(index, bias_v, fault=_short(fault))
    note = maps.provenance[-1]
    bad = note.partition("map 0: ")[2].replace("map 0: ", "")
    ring, spots = None, ""
    if extent is not None:
        ring, spots = ring_or_spots(maps)
    return MapReport(index, bias_v, maps, bad, ring, spots)


def _short(fault: str) -> str:
    """What is wrong with a map, without its number and the advice."""
    return re.sub(r"^map 0 \([^)]*\) ", "", fault.split(". ")[0])


def evenly(maps: Sequence[MapReport], most: int) -> list[MapReport]:
    """At most so many maps, evenly chosen from all."""
    if len(maps) <= most:
        return list(maps)
    places = np.linspace(0, len(maps) - 1, most).round().astype(int)
    return [maps[place] for place in places]
