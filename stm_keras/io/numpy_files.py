"""Maps in NumPy's own files: .npz with units beside them, and bare .npy.

What a member of the archive would unpack to is checked before it is unpacked,
so that a small file cannot fill the memory.
"""

import struct
import zipfile
import zlib
from pathlib import Path

import numpy as np

from stm_keras.errors import InputError
from stm_keras.files import atomic_file
from stm_keras.io.maps import ConductanceMaps, finite_or_nan
from stm_keras.io.npy_format import REAL_KINDS, TEXT_KINDS, Place, read_array
from stm_keras.io.options import ReadOptions

_MAX_ARRAY_BYTES = 1 << 31
_MAX_COMPRESSION = 200  # noise hardly shrinks, smooth float32 maps some 10 x
_FREE_BYTES = 1 << 26  # what a small file may unpack to, whatever its ratio
# Deflate unpacks in bounded steps; the module's other methods do not.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNPACKING_FAULTS = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,  # a zip version or feature Python does not know
    RuntimeError,  # an encrypted member
    ValueError,  # an offset outside the file
    OverflowError,  # likewise
    struct.error,  # a member's header cut short
)


def read_npz(path: Path, options: ReadOptions) -> ConductanceMaps:
    """Read maps from an .npz.

    Args:
        path: a file with `maps` [V, H, W] (or [H, W]), `bias_v` [V] in V and
            `extent_nm`, height and width in nm; of any real type. Text in
            `channel`, `unit` and `provenance` is taken where present.
        options: `bias_v` and `extent_nm` take the place of the file's.

    Raises:
        InputError: for a damaged file, a missing key, pickled objects, maps
            that differ in size, or sizes beyond what the file can hold.
        OSError: where the file cannot be read.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            maps = _member(archive, path, "maps", REAL_KINDS)
            bias = options.bias_v
            if bias is None:
                bias = _member(archive, path, "bias_v", REAL_KINDS)
            extent = options.extent_nm
            if extent is None:
                extent = _member(archive, path, "extent_nm", REAL_KINDS)
            text = {
                key: _text(archive, path, key)
                for key in ("channel", "unit", "provenance")
            }
    except InputError:
        raise
    except _UNPACKING_FAULTS as error:
        raise InputError(
            f"{path}: damaged .npz ({error}). Write it again."
        ) from error
    return _assemble(
        path,
        maps,
        np.asarray(bias),
        np.asarray(extent),
        channel=" ".join(text["channel"]),
        unit=" ".join(text["unit"]),
        provenance=(*text["provenance"], "read from .npz", *options.notes()),
    )


def read_npy(path: Path, options: ReadOptions) -> ConductanceMaps:
    """Read maps from a bare .npy.

    Args:
        path: a file with maps [V, H, W] or one map [H, W], any real type.
        options: `bias_v` and `extent_nm` must be given: the file has neither.

    Raises:
        InputError: for a missing option, a damaged or truncated file, or
            pickled objects.
        OSError: where the file cannot be read.
    """
    for value, option, what in (
        (options.bias_v, "--bias", "bias of each map in V"),
        (options.extent_nm, "--extent-nm", "height and width in nm"),
    ):
        if value is None:
            raise InputError(
                f"{path}: a .npy carries no units. Give {option}, the {what}."
            )
    with path.open("rb") as file:
        place = Place(path, "the array", path.stat().st_size)
        maps = read_array(file, place, REAL_KINDS)
    return _assemble(
        path,
        maps,
        np.asarray(options.bias_v),
        np.asarray(options.extent_nm),
        provenance=("read from .npy", *options.notes()),
    )


def write_npz(maps: ConductanceMaps, path: str | Path) -> None:
    """Write maps so that `read_npz` gives the same ones back.

    Args:
        maps: the maps; NaN stays NaN.
        path: the file, replaced as a whole where it exists.
    """
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            maps=maps.data,
            bias_v=maps.bias_v,
            extent_nm=np.array(maps.extent_nm),
            channel=np.array(maps.channel),
            unit=np.array(maps.unit),
            provenance=np.array(maps.provenance, dtype=np.str_),
        )


def _assemble(
    path: Path,
    maps: np.ndarray,
    bias: np.ndarray,
    extent: np.ndarray,
    *,
    provenance: tuple[str, ...],
    channel: str = "",
    unit: str = "",
) -> ConductanceMaps:
    data, notes = finite_or_nan(maps)
    if extent.shape != (2,):
        raise InputError(
            f"{path}: extent_nm must be height and width in nm. Received the "
            f"shape {list(extent.shape)}."
        )
    return ConductanceMaps(
        data=data[np.newaxis] if data.ndim == 2 else data,
        bias_v=bias.astype(np.float64),
        extent_nm=(float(extent[0]), float(extent[1])),
        channel=channel,
        unit=unit,
        source=str(path),
        provenance=(*provenance, *notes),
    )


def _member(
    archive: zipfile.ZipFile, path: Path, key: str, kinds: str
) -> np.ndarray:
    """One array of an .npz, its declared size checked before it is read."""
    try:
        info = archive.getinfo(f"{key}.npy")
    except KeyError:
        raise InputError(
            f"{path}: the key {key!r} is missing. An .npz needs maps "
            "[V, H, W], bias_v [V] in V and extent_nm [height, width] in nm."
        ) from None
    if info.compress_type not in _METHODS:
        raise InputError(
            f"{path}: {key} is packed in a way NumPy does not use. Write it "
            "again with numpy.savez."
        )
    allowed = max(_FREE_BYTES, _MAX_COMPRESSION * info.compress_size)
    if info.file_size > min(allowed, _MAX_ARRAY_BYTES):
        raise InputError(
            f"{path}: {key} would unpack from {info.compress_size} to "
            f"{info.file_size} bytes: refused. Write it uncompressed with "
            "numpy.savez, or cut it into smaller stacks."
        )
    with archive.open(info) as file:
        return read_array(file, Place(path, key, info.file_size), kinds)


def _text(archive: zipfile.ZipFile, path: Path, key: str) -> list[str]:
    """Lines of text kept beside the maps; none where the key is missing."""
    if f"{key}.npy" not in archive.namelist():
        return []
    array = _member(archive, path, key, TEXT_KINDS)
    try:
        lines = [str(line) for line in array.ravel()]
    except ValueError:  # a number that is no character
        raise InputError(
            f"{path}: {key} is no text. Write the file again."
        ) from None
    return ["".join(c if c.isprintable() else "?" for c in s) for s in lines]
