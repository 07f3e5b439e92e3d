"""Folders among the files that a user names."""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from stm_keras.errors import InputError
from stm_keras.io.formats.arrays.sidecar import sidecar_path
from stm_keras.io.reader import format_of
from stm_keras.io.recording import printable

_OWN_RESULTS = frozenset(
    ("positions.csv", "positions.json", "overview.png", "summary.csv")
    + ("S.npy", "mask.npy", "mask.tif", "measured.npy", "RoiSet.zip")
    + ("napari_points.csv", "result.gwy")
)
"""What `stmk` itself writes; no measurement, though some could be read."""

_CONTAINERS = (b"PK", b"II", b"MM", b"\x89HDF", b"CDF")
"""How zip, TIFF, HDF5 and NetCDF files begin."""

_TEMPORARY = (".tmp", ".part", ".crdownload", ".bak", ".lock", ".swp", "~")
_PARAMETERS = re.compile(r"_\d{4}\.mtrx$")  # Omicron's, beside its images
_LISTED = 5


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
                    f"{printable(str(path))}: skipped {_named(skipped)}"
                )
        for member in members:
            found.setdefault(member.resolve(), member)
    return Expanded(tuple(found.values()), tuple(notes))


def _members(folder: Path) -> tuple[list[Path], list[Path]]:
    """The files of a folder to read, and those of no known format."""
    try:
        entries = sorted(folder.iterdir(), key=_natural)
    except OSError as error:
        raise InputError(
            f"Cannot read the folder {folder}: {error.strerror}."
        ) from error
    sidecars = {_sidecar_of(entry) for entry in entries if entry.is_file()}
    known, skipped = list[Path](), list[Path]()
    for entry in entries:
        if _is_passed_over(entry) or entry in sidecars:
            continue
        (known if _is_known(entry) else skipped).append(entry)
    if not known:
        held = f" It holds {_named(skipped)}." if skipped else " It is empty."
        raise InputError(f"{folder}: no file of a known format.{held}")
    return known, [entry for entry in skipped if not entry.is_dir()]


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


def _named(paths: Sequence[Path]) -> str:
    names = [printable(path.name) for path in paths[:_LISTED]]
    rest = len(paths) - len(names)
    return ", ".join(names) + (f" and {rest} more" if rest else "")
