"""What a file is and what can be seen in it, before anything is trained on it.

A report never fails on what is merely missing: a bias that a file does not
tell, or a map without content, is a warning of the report.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from stm_keras import surfaces
from stm_keras.errors import InputError
from stm_keras.inspection.doubts import (
    bias_warnings,
    channel_warnings,
    map_warnings,
    ring_warnings,
)
from stm_keras.inspection.spots import ring_or_spots
from stm_keras.inspection.surfaces import (
    KnownSurfaces,
    compare_with_surfaces,
)
from stm_keras.io.maps import ConductanceMaps, checked_extent, finite_or_nan
from stm_keras.io.reader import open_recording
from stm_keras.io.recording import ReadOptions, Recording
from stm_keras.io.selection import Selection, differentiate, select_channel
from stm_keras.preprocessing.preparation import level
from stm_keras.qpi.ring import Ring

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
        extent_nm: height and width [nm], as told by the file or the user.
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
        """Bias [V] and ring of each map that shows one at a known bias."""
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
