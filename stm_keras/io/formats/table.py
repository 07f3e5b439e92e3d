"""The one table of formats: how a file is known, and which module reads it."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.io.recording import Recording

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
        opener: "package.module:function" in `stm_keras.io.formats`, from a
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
            library = import_module(f"stm_keras.io.formats.{module}")
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
        "nanonis.nanonis_sxm:open_sxm",
    ),
    Format(
        "Nanonis grid",
        (".3ds",),
        (b"Grid dim",),
        "nanonis.nanonis_3ds:open_3ds",
    ),
    Format(
        "RHK SM4",
        (".sm4",),
        tuple(bytes((n, 0)) + _RHK for n in range(0x30, 0x50)),
        "rhk.rhk_sm4:open_sm4",
    ),
    Format(
        "Createc image",
        (".dat",),
        (b"[Paramco32]", b"[Paramet32]", b"[Parameter]"),
        "createc.createc_dat:open_dat",
    ),
    Format(
        "Omicron Matrix",
        ("_mtrx",),
        (b"ONTMATRX",),
        "omicron.matrix:open_mtrx",
    ),
    Format("Gwyddion", (".gwy",), (b"GWYP",), "gwyddion.gwyddion:open_gwy"),
    Format("Igor wave", (".ibw",), (), "igor.igor:open_ibw"),
    Format(
        "NetCDF",
        (".nc", ".nc4", ".cdf"),
        (_HDF5, b"CDF"),
        "netcdf.netcdf:open_netcdf",
        "netcdf",
    ),
    Format("MATLAB", (".mat",), (_HDF5, b"MATLAB"), "matlab.matlab:open_mat"),
    Format("MATLAB 4", (".mat",), (), "matlab.matlab:open_mat"),
    Format(
        "NeXus or HDF5",
        (".nxs", ".h5", ".hdf5", ".hdf"),
        (_HDF5,),
        "hdf5.nexus:open_hdf5",
    ),
    Format(
        "Zarr store",
        (".zarr",),
        (),
        "netcdf.netcdf:open_zarr",
        "netcdf",
        is_directory=True,
    ),
    Format(
        "TIFF image",
        (".tif", ".tiff"),
        (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
        "arrays.tiff:open_tiff",
    ),
    Format(
        "Zarr archive",
        (".zarr.zip",),
        (b"PK\x03\x04",),
        "netcdf.netcdf:open_zarr",
        "netcdf",
    ),
    Format(
        "NumPy archive",
        (".npz",),
        (b"PK\x03\x04",),
        "arrays.numpy_files:open_npz",
    ),
    Format(
        "NumPy array", (".npy",), (b"\x93NUMPY",), "arrays.numpy_files:open_npy"
    ),
)
