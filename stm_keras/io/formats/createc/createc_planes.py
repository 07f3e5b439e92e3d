"""The images of a Createc file: one after the other, in counts, unpacked."""

import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.createc.createc_header import (
    HEADER_BYTES,
    Fields,
    frame_shape,
)
from stm_keras.io.formats.unpacking import unpacking_limit

_PACKED = b"[Paramco32]"
_SAMPLES = {_PACKED: "<f4", b"[Paramet32]": "<f4", b"[Parameter]": "<i2"}
_MAX_PLANES = 128  # 64 quantities in two directions
_CHUNK_BYTES = 1 << 16


@dataclass(frozen=True)
class Layout:
    """How the images lie in the file.

    Attributes:
        dtype: of one sample.
        packed: whether they are one zlib stream.
        n_planes: number of images.
        shape: rows and columns of each [px].
    """

    dtype: np.dtype
    packed: bool
    n_planes: int
    shape: tuple[int, int]

    @property
    def plane_bytes(self) -> int:
        """Size of one image [byte]."""
        return self.shape[0] * self.shape[1] * self.dtype.itemsize

    @property
    def needed_bytes(self) -> int:
        """Size of all images and the unused number before them [byte]."""
        return self.dtype.itemsize + self.n_planes * self.plane_bytes


def find_layout(path: Path, content: bytes, fields: Fields) -> Layout:
    """How the images lie, checked against the file's size."""
    magic = next((m for m in _SAMPLES if content.startswith(m)), None)
    if magic is None or len(content) < HEADER_BYTES:
        raise InputError(
            f"{path}: no whole Createc header of {HEADER_BYTES} bytes. The "
            "file is damaged or still being written."
        )
    n_planes = fields.count("Channels")
    if not 1 <= n_planes <= _MAX_PLANES:
        raise InputError(
            f"{path}: the header promises {n_planes} images (Channels). The "
            "file is damaged or no Createc image."
        )
    layout = Layout(
        np.dtype(_SAMPLES[magic]),
        magic == _PACKED,
        n_planes,
        frame_shape(fields, path),
    )
    held = path.stat().st_size - HEADER_BYTES
    if layout.packed:
        held = unpacking_limit(held)
    if layout.needed_bytes > held:
        raise InputError(
            f"{path}: the header promises {n_planes} images of "
            f"{layout.shape[1]} x {layout.shape[0]} px, more than the file "
            "can hold. It is truncated, damaged or still being written."
        )
    return layout


def planes(path: Path, layout: Layout) -> Iterator[NDArray[np.generic]]:
    """The images one by one, in counts: [H, W] of the file's type."""
    with path.open("rb") as file:
        file.seek(HEADER_BYTES)
        stream = _Stream(path, file, packed=layout.packed)
        stream.read(layout.dtype.itemsize)  # the unused number
        for _ in range(layout.n_planes):
            content = stream.read(layout.plane_bytes)
            yield np.frombuffer(content, layout.dtype).reshape(layout.shape)


class _Stream:
    """Reads just as much of the images as is asked for, unpacked."""

    def __init__(self, path: Path, file: BinaryIO, *, packed: bool) -> None:
        self._path = path
        self._file = file
        self._unpack = zlib.decompressobj() if packed else None

    def read(self, size: int) -> bytearray:
        content = bytearray()
        while len(content) < size:
            piece = self._piece(size - len(content))
            if not piece:
                raise InputError(
                    f"{self._path}: its images end early. The file is "
                    "truncated, or still being written."
                )
            content += piece
        return content

    def _piece(self, size: int) -> bytes:
        if self._unpack is None:
            return self._file.read(size)
        piece = b""
        while not piece and not self._unpack.eof:
            packed = self._unpack.unconsumed_tail
            packed = packed or self._file.read(_CHUNK_BYTES)
            if not packed:
                break
            try:
                piece = self._unpack.decompress(packed, size)
            except zlib.error as error:
                raise InputError(
                    f"{self._path}: its packed images are damaged ({error}). "
                    "Copy the file again."
                ) from error
        return piece
