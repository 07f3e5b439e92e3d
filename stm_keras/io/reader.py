"""From a file to `ConductanceMaps`, whatever its format.

The one table of formats, `FORMATS`, says how a file is known and which module
reads it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.recording import Direction, ReadOptions, Recording
from stm_keras.io.selection import select_maps

_HDF5 = b"\x89HDF\r\n\x1a\n"
_RHK = "STiMage".encode("utf-16-le")  # behind its own length, two bytes
LONGEST_MAGIC = 32


@dataclass(frozen=True)
class Format:
    """A kind of file that can be read.

    Attributes:
        name: for people.
        suffixes: of its files, in small letters; the first is the usual one.
        magics: how its files begin; none where they begin differently, and
            the suffix alone decides.
        opener: "module:function" in `stm_keras.io`, from a
            path to a `Recording`. It may raise `InputError` and `OSError`
            alone, whatever the file holds.
        extra: of `pip install stm-keras[...]`, where the reader rests on a
            library that is not always there.
        is_directory: whether "the file" is a directory.
    """

    name: str
    suffixes: tuple[str, ...]
    magics: tuple[bytes, ...]
    opener: str
    extra: str = ""
    is_directory: bool = False

    def has_suffix(self, path: Path) -> bool:
        """Whether a file is named as this format's are."""
        return path.name.lower().endswith(self.suffixes)

    def has_magic(self, head: bytes) -> bool:
        """Whether a file with these first bytes is of this format."""
        return head.startswith(self.magics) if self.magics else False

    def open(self, path: Path) -> Recording:
        """Read a file as far as its header.

        Raises:
            InputError: for a damaged file, or where the extra is missing.
            OSError: where the file cannot be read.
        """
        module, function = self.opener.split(":")
        try:
            library = import_module(f"stm_keras.io.{module}")
        except ModuleNotFoundError as error:
            if not self.extra or (error.name or "").startswith("stm_keras"):
                raise
            raise InputError(
                f"{path}: to read a {self.name} file, the package "
                f"{error.name} is missing. Install it with: pip install "
                f"'stm-keras[{self.extra}]'."
            ) from error
        opener: Callable[[Path], Recording] = getattr(library, function)
        return opener(path)


FORMATS: tuple[Format, ...] = (
    Format(
        "Nanonis scan",
        (".sxm",),
        (b":NANONIS_VERSION:",),
        "nanonis_sxm:open_sxm",
    ),
    Format(
        "Nanonis grid",
        (".3ds",),
        (b"Grid dim",),
        "nanonis_3ds:open_3ds",
    ),
    Format(
        "RHK SM4",
        (".sm4",),
        tuple(bytes((n, 0)) + _RHK for n in range(0x30, 0x50)),
        "rhk:open_sm4",
    ),
    Format(
        "Createc image",
        (".dat",),
        (b"[Paramco32]", b"[Paramet32]", b"[Parameter]"),
        "createc:open_dat",
    ),
    Format(
        "Omicron Matrix",
        ("_mtrx",),
        (b"ONTMATRX",),
        "matrix:open_mtrx",
    ),
    Format("Gwyddion", (".gwy",), (b"GWYP",), "gwyddion:open_gwy"),
    Format("Igor wave", (".ibw",), (), "igor:open_ibw"),
    Format(
        "NetCDF",
        (".nc", ".nc4", ".cdf"),
        (_HDF5, b"CDF"),
        "netcdf:open_netcdf",
    ),
    Format("MATLAB", (".mat",), (_HDF5, b"MATLAB"), "matlab:open_mat"),
    Format("MATLAB 4", (".mat",), (), "matlab:open_mat"),
    Format(
        "NeXus or HDF5",
        (".nxs", ".h5", ".hdf5", ".hdf"),
        (_HDF5,),
        "hdf5:open_hdf5",
    ),
    Format(
        "Zarr store",
        (".zarr",),
        (),
        "zarr_stores:open_zarr",
        "zarr",
        is_directory=True,
    ),
    Format(
        "TIFF image",
        (".tif", ".tiff"),
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "tiff:open_tiff",
    ),
    Format(
        "Zarr archive",
        (".zarr.zip",),
        (b"PK\x03\x04",),
        "zarr_stores:open_zarr",
        "zarr",
    ),
    Format(
        "NumPy archive",
        (".npz",),
        (b"PK\x03\x04",),
        "arrays:open_npz",
    ),
    Format("NumPy array", (".npy",), (b"\x93NUMPY",), "arrays:open_npy"),
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
    except (OSError, MemoryError) as error:
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
    except (OSError, MemoryError) as error:
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
    listed = ", ".join(dict.fromkeys(known.suffixes[0] for known in FORMATS))
    raise InputError(
        f"{path}: {'unknown content' if head else 'empty'}. Known formats: "
        f"{listed}."
    )


def _unreadable(source: str, error: OSError | MemoryError) -> InputError:
    if isinstance(error, MemoryError):
        return InputError(
            f"Cannot read {source}: it needs more memory than there is. Cut it "
            "into smaller files."
        )
    return InputError(f"Cannot read {source}: {error.strerror or error}.")
