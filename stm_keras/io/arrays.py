"""Maps in NumPy's own files, and stacks of any file of bare arrays.

`numpy.load` allocates what a header asks for; here an array is read only
where the file holds as many bytes as its header promises, and what a member
of an archive would unpack to is checked before it is unpacked. Pickled
objects are never loaded: they can run code.
"""

import math
import struct
import tokenize
import warnings
import zipfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from stm_keras.errors import InputError
from stm_keras.files import atomic_file
from stm_keras.io.recording import Channel, Recording, printable
from stm_keras.io.sidecar import Sidecar, read_sidecar
from stm_keras.io.units import to_si
from stm_keras.io.unpacking import check_room, unpacking_limit
from stm_keras.maps import ConductanceMaps, Placement, placed
from stm_keras.system import BROKEN_ZIP

REAL_KINDS = "fiu"
TEXT_KINDS = "U"
_MAX_AXES = 3
# NumPy reads the header as a Python literal; for damaged ones these escape.
_HEADER_FAULTS = (
    ValueError,
    TypeError,
    LookupError,
    SyntaxError,
    tokenize.TokenError,
    RecursionError,
    MemoryError,
)

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


@dataclass(frozen=True)
class Place:
    """Where an array lies.

    Attributes:
        path: the file, for messages.
        key: the array's name within it, likewise.
        n_bytes: size of header and content together [byte].
    """

    path: Path
    key: str
    n_bytes: int


def read_array(file: IO[bytes], place: Place, kinds: str) -> np.ndarray:
    """Read an array in the .npy format.

    Args:
        file: open at the array's first byte.
        place: where that is.
        kinds: NumPy's letters for the kinds of type that are accepted.

    Raises:
        InputError: for pickled objects, another kind of type, a damaged
            header, or one that does not fit the size.
        zipfile.BadZipFile, zlib.error, EOFError: from a damaged archive.
    """
    shape, by_columns, dtype = _array_header(file, place)
    where = f"{place.path}: {place.key}"
    if dtype.hasobject:
        raise InputError(
            f"{where} holds pickled objects, which are refused (they can run "
            "code). Maps that differ in size are stored so: bring them to one "
            "size and save plain numbers."
        )
    if dtype.kind not in kinds:
        wanted = "text" if kinds == TEXT_KINDS else "real numbers"
        raise InputError(f"{where} must hold {wanted}. Received: {dtype}.")
    held = place.n_bytes - file.tell()
    promised = math.prod(shape) * dtype.itemsize
    if (
        promised != held
        or dtype.itemsize == 0  # NumPy would make room for it all the same
        or len(shape) > _MAX_AXES
        or min(shape, default=1) < 0
    ):
        raise InputError(
            f"{where} promises the shape {list(shape)}, {promised} bytes, the "
            f"file holds {held}. It is truncated or damaged."
        )
    check_room(where, promised)
    if not promised:
        return np.empty(0, dtype)
    content = file.read(promised)
    if len(content) != promised:
        raise InputError(f"{where} is truncated. Copy the file again.")
    order = "F" if by_columns else "C"
    return np.frombuffer(content, dtype).reshape(shape, order=order)


def _array_header(
    file: IO[bytes], place: Place
) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, whether column-major, and type, as an .npy header states them."""
    try:
        version = np.lib.format.read_magic(file)
        # Version 3 differs from 2 in the names of fields alone.
        if version not in ((1, 0), (2, 0), (3, 0)):
            raise ValueError("unknown version")
        with warnings.catch_warnings():
            # That Python 2 wrote the header is no news to the user.
            warnings.simplefilter("ignore", UserWarning)
            if version == (1, 0):
                return np.lib.format.read_array_header_1_0(file)
            return np.lib.format.read_array_header_2_0(file)
    except (zipfile.BadZipFile, zlib.error, EOFError):
        raise
    except _HEADER_FAULTS as error:
        raise InputError(
            f"{place.path}: {place.key} is no readable NumPy array. Write "
            "the file again with numpy.savez or numpy.save."
        ) from error


def stack_recording(
    path: Path,
    format_name: str,
    maps: np.ndarray,
    *,
    bias_v: np.ndarray | None = None,
    extent_nm: np.ndarray | None = None,
    channel: str = "",
    unit: str = "",
    placement: Placement | None = None,
    history: tuple[str, ...] = (),
    notes: tuple[str, ...] = (),
) -> Recording:
    """Make a recording of one stack.

    What a sidecar beside the file says takes the place of the arguments.

    Args:
        path: the file.
        format_name: for people.
        maps: [V, H, W] or [H, W], any real type, row 0 the top; or as the
            sidecar says.
        bias_v: [V] [V]; None where the file does not tell.
        extent_nm: height and width [nm]; None where it does not.
        channel: name of the quantity.
        unit: its unit; the recording's channel is in the SI.
        placement: where the frame lies on the sample.
        history: lines for `provenance`, see `Recording`.
        notes: likewise.

    Raises:
        InputError: where the arrays do not have these shapes, or for a
            sidecar that is wrong.
        OSError: where the sidecar cannot be read.
    """
    sidecar = read_sidecar(path) or Sidecar(path)
    maps = sidecar.arranged(maps)
    if maps.ndim == 2:
        maps = maps[np.newaxis]
    if maps.ndim != 3 or not maps.size:
        raise InputError(
            f"{path}: maps must have the shape [V, H, W] or [H, W]. Received "
            f"the shape {list(maps.shape)}."
        )
    shape = (maps.shape[1], maps.shape[2])
    bias = sidecar.bias_of(len(maps))
    if bias is None:
        bias = _checked_bias(path, bias_v, len(maps))
    factor, si_unit = to_si(sidecar.unit or unit)
    return Recording(
        source=str(path),
        format=format_name,
        shape=shape,
        extent_nm=sidecar.extent_of(shape) or _checked_extent(path, extent_nm),
        channels=(
            Channel(
                sidecar.channel or channel,
                si_unit,
                bias,
                lambda: maps if factor == 1 else maps * np.float64(factor),
            ),
        ),
        placement=sidecar.placement_of(placement),
        history=history,
        notes=(*notes, *_said(sidecar)),
        curated=True,
    )


def _checked_bias(
    path: Path, bias_v: np.ndarray | None, n_maps: int
) -> np.ndarray:
    if bias_v is None:
        return np.full(n_maps, np.nan)
    bias = np.atleast_1d(bias_v).astype(np.float64)
    if bias.shape != (n_maps,):
        raise InputError(
            f"{path}: {n_maps} maps need as many biases. Received: "
            f"{bias.size}. Give one in V for each map, as bias_v in "
            f"{path.name}.yaml beside it."
        )
    return bias


def _checked_extent(
    path: Path, extent_nm: np.ndarray | None
) -> tuple[float, float] | None:
    if extent_nm is None:
        return None
    if extent_nm.shape != (2,):
        raise InputError(
            f"{path}: extent_nm must be height and width in nm. Received the "
            f"shape {list(extent_nm.shape)}."
        )
    return float(extent_nm[0]), float(extent_nm[1])


def _said(sidecar: Sidecar) -> list[str]:
    """A line for `provenance` on what the sidecar told."""
    said = {
        "bias": sidecar.bias_v,
        "extent": sidecar.extent_nm or sidecar.pixel_nm,
        "channel": sidecar.channel,
        "unit": sidecar.unit,
        "row 0 at the bottom": sidecar.bottom_first or None,
        "axes": sidecar.axes,
        "key": sidecar.key,
        "centre": sidecar.centre_nm,
        "angle": sidecar.angle_deg,
    }
    told = [name for name, value in said.items() if value is not None]
    return [f"{', '.join(told)}: as {sidecar.path.name} says"] if told else []


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
    return placed(centre.tolist(), float(turn[0]))


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
