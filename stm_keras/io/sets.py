"""Several files: those of a folder, and a set of one frame as one stack."""

import dataclasses
import itertools
import math
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.reader import FORMATS, format_of, maps_of, open_recording
from stm_keras.io.recording import ReadOptions, Recording, printable
from stm_keras.io.selection import (
    DERIVATIVE,
    Selection,
    lock_in_faults,
    select_channel,
)
from stm_keras.io.sidecar import sidecar_path
from stm_keras.maps import ConductanceMaps
from stm_keras.units import height_by_width

_OWN_RESULTS = frozenset(
    ("positions.csv", "positions.txt", "positions.json", "options.yaml")
    + ("overview.png", "summary.csv")
    + ("S.npy", "mask.npy", "mask.tif", "measured.npy", "RoiSet.zip")
    + ("napari_points.csv", "result.gwy", "report.html")
)
"""What `stmk` itself writes; no measurement, though some could be read."""

_CONTAINERS = (b"PK", b"II", b"MM", b"\x89HDF", b"CDF")
"""How zip, TIFF, HDF5 and NetCDF files begin."""

_TEMPORARY = (".tmp", ".part", ".crdownload", ".bak", ".lock", ".swp", "~")
_PARAMETERS = re.compile(r"_\d{4}\.mtrx$")  # Omicron's, beside its images
_LISTED, _LONGEST = 5, 80
"""Names in a message, and their letters."""

_SAME_EXTENT = 1e-3
"""Relative difference of extents that rounding in a file's header may make."""

_SAME_BIAS_V = 1e-6
"""Difference of biases [V] that rounding in a file's header may make."""


class Expanded(NamedTuple):
    """Files, with what was passed over on the way to them.

    Attributes:
        paths: the files, each once.
        notes: a line for each folder in which files were skipped.
    """

    paths: tuple[Path, ...]
    notes: tuple[str, ...]


def expand(paths: Iterable[str | Path]) -> Expanded:
    """Put the files of a folder in its place.

    A folder gives its files of known formats, in the order in which people
    count ("scan2" before "scan10"); folders within it are left alone. Hidden
    and temporary files, sidecars, Omicron's files of parameters and what
    `stmk` wrote are passed over silently, others by name.

    Args:
        paths: files and folders; a Zarr store counts as a file. Files are
            handed on as they are, whatever they hold.

    Returns:
        The files, and notes.

    Raises:
        InputError: for a folder without a file of a known format, or one
            that cannot be read.
    """
    found, notes = dict[Path, Path](), list[str]()
    for path in map(Path, paths):
        members: Sequence[Path] = [path]
        if path.is_dir() and not _is_known(path):
            members, skipped = _members(path)
            if skipped:
                notes.append(
                    f"{printable(str(path))}: skipped {_listed(skipped)}"
                )
        for member in members:
            found.setdefault(member.resolve(), member)
    return Expanded(tuple(found.values()), tuple(notes))


def _members(folder: Path) -> tuple[list[Path], list[str]]:
    """The files of a folder to read, and others with what is wrong."""
    try:
        entries = sorted(folder.iterdir(), key=_natural)
    except OSError as error:
        raise InputError(
            f"Cannot read the folder {folder}: {error.strerror}."
        ) from error
    sidecars = {_sidecar_of(entry) for entry in entries if entry.is_file()}
    known, skipped, held = list[Path](), list[str](), list[str]()
    for entry in entries:
        if _is_passed_over(entry) or entry in sidecars:
            continue
        if _is_known(entry):
            known.append(entry)
            continue
        held.append(printable(entry.name) + _reason(entry))
        if not entry.is_dir():
            skipped.append(held[-1])
    if not known:
        told = f" It holds {_listed(held)}." if held else " It is empty."
        raise InputError(f"{folder}: no file of a known format.{told}")
    return known, skipped


def _reason(path: Path) -> str:
    """Why a file that is named as one of a known format is none."""
    if path.is_dir() or not any(known.has_suffix(path) for known in FORMATS):
        return ""
    try:
        format_of(path)
    except OSError as error:
        return f" ({error.strerror})"
    except InputError:
        pass
    return (
        " (its content is of no known format)"
        if path.stat().st_size
        else (" (empty)")
    )


def _is_known(path: Path) -> bool:
    """Whether a path is a file of measurements by content and name."""
    try:
        known = format_of(path)
    except (InputError, OSError):
        return False
    # These hold anything; the instruments' own formats do not.
    return known.has_suffix(path) or not any(
        magic.startswith(_CONTAINERS) for magic in known.magics
    )


def _sidecar_of(path: Path) -> Path | None:
    try:
        return sidecar_path(path)
    except InputError:  # two of them: said when the file is read
        return None


def _is_passed_over(path: Path) -> bool:
    name = path.name
    return (
        name.startswith((".", "~$"))
        or name.lower().endswith(_TEMPORARY)
        or name in _OWN_RESULTS
        or _PARAMETERS.search(name.lower()) is not None
    )


def _natural(path: Path) -> list[tuple[int, int, str]]:
    """Sorts numbers within names by their size."""
    return [
        (0, int(part), "") if part.isdecimal() else (1, 0, part.lower())
        for part in re.split(r"(\d+)", path.name)
        if part
    ]


def _listed(names: Sequence[str]) -> str:
    rest = len(names) - _LISTED
    text = ", ".join(name[:_LONGEST] for name in names[:_LISTED])
    return text + (f" and {rest} more" if rest > 0 else "")


def read_stack(
    paths: Sequence[str | Path], options: ReadOptions | None = None
) -> ConductanceMaps:
    """Read files of one frame as one stack.

    The order of the files does not matter, except to `options.bias_v`. The
    file with the lowest bias chooses the channel, and the others are asked
    for the same.

    Args:
        paths: one or more files, each with maps at one or more biases.
        options: how to read them; `bias_v` holds the biases of all their
            maps, file by file.

    Returns:
        The maps by rising bias; `provenance` names the file of each line.

    Raises:
        InputError: for a file that cannot be read or lacks the channel,
            files of differing frames or units, or two of one bias.
    """
    options = options or ReadOptions()
    recordings = [open_recording(path) for path in paths]
    if options.bias_v is None:
        recordings.sort(key=_order)
    stacks = list[ConductanceMaps]()
    given, asked = list(options.bias_v or ()), options.channel
    direction = options.direction
    for recording in recordings:
        own = dataclasses.replace(options, channel=asked, direction=direction)
        chosen = select_channel(recording, own)
        if asked != options.channel and not recording.curated:
            _check_signal(recording, chosen)
        if options.bias_v is not None:
            n_maps = len(chosen.channel.bias_v)
            own = dataclasses.replace(own, bias_v=tuple(given[:n_maps]))
            given = given[n_maps:]
        stacks.append(maps_of(recording, own))
        if asked is None:
            name = DERIVATIVE if chosen.derive else chosen.channel.name
            asked = name or None
            direction = chosen.channel.direction
    if given:
        raise InputError(
            f"{len(given)} more biases than the files have maps. Give one "
            "for each map."
        )
    return joined(sorted(stacks, key=lambda maps: maps.bias_v.min()))


def joined(stacks: Sequence[ConductanceMaps]) -> ConductanceMaps:
    """Make one stack, by rising bias, of maps of one frame.

    Args:
        stacks: one or more.

    Returns:
        The maps, with the placement of the first that has one; frames that
        moved by more than a pixel are named in a warning.

    Raises:
        InputError: where there is none, sizes, extents, units or angles
            differ, or two of them hold a map of the same bias.
    """
    if not stacks:
        raise InputError("No maps: give at least one file.")
    first = stacks[0]
    if len(stacks) == 1:
        return first.sorted_by_bias()
    for other in stacks[1:]:
        check_frame(first, other)
        if other.unit != first.unit:
            raise InputError(
                f"{other.source} holds {other.channel} in {other.unit!r}, "
                f"{first.source} {first.channel} in {first.unit!r}: give "
                "files of one quantity."
            )
    _check_biases(stacks)
    placed = [stack for stack in stacks if stack.placement is not None]
    whole = ConductanceMaps(
        data=np.concatenate([stack.data for stack in stacks]),
        bias_v=np.concatenate([stack.bias_v for stack in stacks]),
        extent_nm=first.extent_nm,
        channel=first.channel,
        unit=first.unit,
        source=", ".join(stack.source for stack in stacks),
        placement=placed[0].placement if placed else None,
        provenance=(
            *(
                _of_file(stack.source, line)
                for stack in stacks
                for line in stack.provenance
            ),
            *_moves(placed),
        ),
    )
    return whole.sorted_by_bias()


def check_frame(first: ConductanceMaps, other: ConductanceMaps) -> None:
    """Refuse maps of another size, extent or angle.

    Raises:
        InputError: where they differ; the message names both files.
    """
    if other.shape[1:] != first.shape[1:]:
        raise InputError(
            f"{other.source} has {height_by_width(other.shape[1:], 'px')}, "
            f"{first.source} {height_by_width(first.shape[1:], 'px')}: give "
            "maps of one frame and size."
        )
    if not np.allclose(other.extent_nm, first.extent_nm, rtol=_SAME_EXTENT):
        raise InputError(
            f"{other.source} spans {height_by_width(other.extent_nm, 'nm')}, "
            f"{first.source} {height_by_width(first.extent_nm, 'nm')}: give "
            "maps of one frame."
        )
    if first.placement is None or other.placement is None:
        return
    angles = other.placement.angle_deg, first.placement.angle_deg
    turn = math.radians(math.remainder(angles[0] - angles[1], 360))
    if abs(turn) * max(first.extent_nm) / 2 > max(first.pixel_nm):
        raise InputError(
            f"{other.source} is turned by {angles[0]:g} degrees, "
            f"{first.source} by {angles[1]:g}: give maps of one frame."
        )


def _order(recording: Recording) -> tuple[float, str]:
    """By lowest bias, files that tell none last."""
    biases = [c.bias_v[np.isfinite(c.bias_v)] for c in recording.channels]
    known = np.concatenate(biases)
    return (float(known.min()) if known.size else math.inf, recording.source)


def _check_signal(recording: Recording, chosen: Selection) -> None:
    """Refuse a file whose lock-in carries no signal, though others' does."""
    name = chosen.channel.name
    if fault := lock_in_faults(recording).get(name):
        raise InputError(
            f"{recording.source}: {name} holds no dI/dV ({fault}), unlike the "
            "other files. Leave this file out."
        )


def _check_biases(stacks: Sequence[ConductanceMaps]) -> None:
    """Refuse two files with a map of one bias."""
    biases = sorted(
        ((bias, n) for n, s in enumerate(stacks) for bias in s.bias_v)
    )
    for (low, one), (high, two) in itertools.pairwise(biases):
        if one != two and high - low < _SAME_BIAS_V:
            raise InputError(
                f"{stacks[one].source} and {stacks[two].source} both hold a "
                f"map at {low:g} V. Leave one of them out."
            )


def _moves(placed: Sequence[ConductanceMaps]) -> list[str]:
    """Warnings of frames that lie elsewhere than the first."""
    warnings = []
    for other in placed[1:]:
        first = placed[0].placement
        if first is None or other.placement is None:
            continue
        moved = math.dist(first.centre_nm, other.placement.centre_nm)
        if moved > min(other.pixel_nm):
            warnings.append(
                f"warning: the frame of {other.source} lies {moved:.3g} nm "
                f"({moved / min(other.pixel_nm):.1f} px) from that of "
                f"{placed[0].source}; check that both show the same place"
            )
    return warnings


def _of_file(source: str, line: str) -> str:
    """A line of one file's, that stays a warning where it is one."""
    word = "warning: "
    if line.startswith(word):
        return f"{word}{source}: {line.removeprefix(word)}"
    return f"{source}: {line}"
