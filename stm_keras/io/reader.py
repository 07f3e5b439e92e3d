"""From a file to `ConductanceMaps`, whatever its format."""

from collections.abc import Sequence
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.io.formats.table import FORMATS, LONGEST_MAGIC, Format
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.options import Direction, ReadOptions
from stm_keras.io.recording import Recording
from stm_keras.io.selection import select_maps


def read_maps(
    path: str | Path,
    *,
    channel: str | None = None,
    direction: Direction = "forward",
    bias_v: Sequence[float] | None = None,
    extent_nm: tuple[float, float] | None = None,
) -> ConductanceMaps:
    """Read the maps that a file holds, whatever its format.

    Args:
        path: the file. Its first bytes tell the format; where they cannot,
            its suffix does.
        channel: the channel to read, by the file's own name for it;
            "topograph" and "derivative" are understood in every file. None
            chooses dI/dV where it was recorded, else the derivative of I(V),
            else the topograph.
        direction: of the fast scan, "forward" or "backward".
        bias_v: bias of each map [V], in place of what the file says.
        extent_nm: height and width of the frame [nm], likewise.

    Returns:
        The maps; `provenance` says what was read and why.

    Raises:
        InputError: where the file is missing, of no known format, damaged,
            or lacks what was asked for.
    """
    options = ReadOptions(
        channel=channel,
        direction=direction,
        bias_v=None if bias_v is None else tuple(bias_v),
        extent_nm=extent_nm,
    )
    return maps_of(open_recording(path), options)


def maps_of(recording: Recording, options: ReadOptions) -> ConductanceMaps:
    """Read the maps of an opened file; see `read_maps`."""
    try:
        return select_maps(recording, options)
    except OSError as error:
        raise _unreadable(recording.source, error) from error


def open_recording(path: str | Path) -> Recording:
    """Read a file as far as its header, whatever its format.

    Args:
        path: the file.

    Returns:
        All its channels; none is read yet where the format allows that.

    Raises:
        InputError: where the file is missing, of no known format, or
            damaged.
    """
    path = Path(path)
    try:
        return format_of(path).open(path)
    except OSError as error:
        raise _unreadable(str(path), error) from error


def format_of(path: Path) -> Format:
    """The format of a file, by its first bytes or else its suffix.

    Raises:
        InputError: where the file is missing or of no known format.
        OSError: where it cannot be read.
    """
    if not path.exists():
        raise InputError(f"No such file: {path}. Check its name.")
    if path.is_dir():
        known = [known for known in FORMATS if known.is_directory]
        fitting = [known for known in known if known.has_suffix(path)]
        head = b""
    elif path.is_file():
        with path.open("rb") as file:
            head = file.read(LONGEST_MAGIC)
        known = [known for known in FORMATS if not known.is_directory]
        fitting = [known for known in known if known.has_magic(head)]
        # HDF5 files of several kinds begin alike.
        fitting = [known for known in fitting if known.has_suffix(path)] or (
            fitting[-1:]
            or [f for f in known if not f.magics and f.has_suffix(path)]
        )
    else:
        raise InputError(f"{path} is no file. Give the files one by one.")
    if fitting:
        return fitting[0]
    if path.is_dir():
        raise InputError(f"{path} is no file. Give the files one by one.")
    listed = ", ".join(
        f"{known.suffixes[0]} ({known.name})" for known in FORMATS
    )
    raise InputError(
        f"{path}: {'unknown content' if head else 'empty'}. Known formats: "
        f"{listed}."
    )


def _unreadable(source: str, error: OSError) -> InputError:
    return InputError(f"Cannot read {source}: {error.strerror or error}.")
