"""From a file to `ConductanceMaps`: the one table of formats."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.io import nanonis_sxm, numpy_files
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.options import Direction, ReadOptions


@dataclass(frozen=True)
class Format:
    """A kind of file that can be read.

    Attributes:
        name: for people.
        suffix: of its files, with the dot, in small letters.
        magic: how its files begin; empty where they all begin differently,
            and the suffix alone decides.
        read: reads a file. It may raise `InputError` and `OSError` alone,
            whatever the file holds.
    """

    name: str
    suffix: str
    magic: bytes
    read: Callable[[Path, ReadOptions], ConductanceMaps]


FORMATS: tuple[Format, ...] = (
    Format("Nanonis scan", ".sxm", b":NANONIS_VERSION:", nanonis_sxm.read_sxm),
    Format("NumPy archive", ".npz", b"PK\x03\x04", numpy_files.read_npz),
    Format("NumPy array", ".npy", b"\x93NUMPY", numpy_files.read_npy),
)


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
        channel: the channel to read, by the file's own name for it; None
            chooses dI/dV where it was recorded and else the topograph Z.
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
    path = Path(path)
    try:
        return _format_of(path).read(path, options)
    except OSError as error:
        raise InputError(
            f"Cannot read {path}: {error.strerror or error}."
        ) from error


def _format_of(path: Path) -> Format:
    """The format of a file, by its first bytes or else its suffix."""
    if not path.exists():
        raise InputError(f"No such file: {path}. Check its name.")
    if not path.is_file():
        raise InputError(f"{path} is no file. Give the files one by one.")
    with path.open("rb") as file:
        head = file.read(max(len(known.magic) for known in FORMATS))
    for known in FORMATS:
        if known.magic and head.startswith(known.magic):
            return known
    for known in FORMATS:
        if path.suffix.lower() == known.suffix and not known.magic:
            return known
    listed = ", ".join(f"{known.suffix} ({known.name})" for known in FORMATS)
    raise InputError(
        f"{path}: {'empty' if not head else 'unknown content'}. Known "
        f"formats: {listed}."
    )
