"""Maps in NumPy's own files: .npz with units beside them, and bare .npy.

What a member of the archive would unpack to is checked before it is unpacked,
so that a small file cannot fill the memory.
"""

import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.formats.arrays.bare import stack_recording
from stm_keras.io.formats.arrays.npy_format import (
    REAL_KINDS,
    TEXT_KINDS,
    Place,
    read_array,
)
from stm_keras.io.formats.arrays.sidecar import read_sidecar
from stm_keras.io.formats.unpacking import unpacking_limit
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.placement import Placement
from stm_keras.io.recording import Recording, printable
from stm_keras.system import BROKEN_ZIP, atomic_file

_LONGEST_REASON = 80
# Deflate unpacks in bounded steps; the module's other methods do not.
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_UNPACKING_FAULTS = (
    *BROKEN_ZIP,
    NotImplementedError,  # a zip version or feature Python does not know
    RuntimeError,  # an encrypted member
    ValueError,  # an offset outside the file
    OverflowError,  # likewise
    struct.error,  # a member's header cut short
)


def open_npz(path: Path) -> Recording:
    """Read maps from an .npz.

    Args:
        path: a file with `maps` [V, H, W] (or [H, W]), `bias_v` [V] in V and
            `extent_nm`, height and width in nm; of any real type. The
            placement (`centre_nm`, x and y, and `angle_deg`) and text in
            `channel`, `unit` and `provenance` are taken where present. A
            sidecar (see `sidecar.py`) takes the place of any of them.

    Raises:
        InputError: for a damaged file, no `maps`, pickled objects, maps that
            differ in size, or sizes beyond what the file can hold.
        OSError: where the file cannot be read.
    """
    sidecar = read_sidecar(path)
    key = (sidecar and sidecar.key) or "maps"
    try:
        with zipfile.ZipFile(path) as archive:
            maps = _member(archive, path, key, REAL_KINDS)
            bias, extent, centre, angle = (
                _member(archive, path, name, REAL_KINDS)
                if f"{name}.npy" in archive.namelist()
                else None
                for name in ("bias_v", "extent_nm", "centre_nm", "angle_deg")
            )
            text = {
                name: _text(archive, path, name)
                for name in ("channel", "unit", "provenance")
            }
    except InputError:
        raise
    except _UNPACKING_FAULTS as error:
        # The text may quote names from the file, of any length.
        reason = printable(str(error)[:_LONGEST_REASON])
        raise InputError(
            f"{path}: damaged .npz ({reason}). Write it again."
        ) from error
    return stack_recording(
        path,
        "NumPy archive",
        maps,
        bias_v=bias,
        extent_nm=extent,
        channel=" ".join(text["channel"]),
        unit=" ".join(text["unit"]),
        placement=_placement(centre, angle),
        history=tuple(text["provenance"]),
    )


def open_npy(path: Path) -> Recording:
    """Read maps from a bare .npy, which carries no units.

    Args:
        path: a file with maps [V, H, W] or one map [H, W], any real type; a
            sidecar (see `sidecar.py`) gives it units.

    Raises:
        InputError: for a damaged or truncated file, or pickled objects.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        place = Place(path, "the array", path.stat().st_size)
        maps = read_array(file, place, REAL_KINDS)
    return stack_recording(path, "NumPy array", maps)


def write_npz(maps: ConductanceMaps, path: str | Path) -> None:
    """Write maps so that `read_npz` gives the same ones back.

    Args:
        maps: the maps; NaN stays NaN.
        path: the file, replaced as a whole where it exists.
    """
    placed: dict[str, Any] = {}
    if maps.placement is not None:
        placed["centre_nm"] = np.array(maps.placement.centre_nm)
        placed["angle_deg"] = np.array(maps.placement.angle_deg)
    with atomic_file(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(
            file,
            maps=maps.data,
            bias_v=maps.bias_v,
            extent_nm=np.array(maps.extent_nm),
            channel=np.array(maps.channel),
            unit=np.array(maps.unit),
            provenance=np.array(maps.provenance, dtype=np.str_),
            **placed,
        )


def _placement(
    centre: np.ndarray | None, angle: np.ndarray | None
) -> Placement | None:
    """The placement in an .npz; None where it is no two finite numbers."""
    turn = np.zeros(1) if angle is None else angle.ravel()
    if centre is None or centre.shape != (2,) or turn.size != 1:
        return None
    if not (np.isfinite(centre).all() and np.isfinite(turn).all()):
        return None
    return Placement((float(centre[0]), float(centre[1])), float(turn[0]))


def _member(
    archive: zipfile.ZipFile, path: Path, key: str, kinds: str
) -> np.ndarray:
    """One array of an .npz, its declared size checked before it is read."""
    try:
        info = archive.getinfo(f"{key}.npy")
    except KeyError:
        raise InputError(
            f"{path}: the key {key!r} is missing. An .npz needs maps "
            "[V, H, W], bias_v [V] in V and extent_nm [height, width] in nm; "
            f"{path.name}.yaml beside it may name the maps' key."
        ) from None
    if info.compress_type not in _METHODS:
        raise InputError(
            f"{path}: {key} is packed in a way NumPy does not use. Write it "
            "again with numpy.savez."
        )
    if info.file_size > unpacking_limit(info.compress_size):
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
