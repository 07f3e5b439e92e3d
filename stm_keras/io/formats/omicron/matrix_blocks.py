"""Blocks of Omicron Matrix files.

A file is a row of blocks after twelve letters: a name of four letters,
written backwards, a length, in most a time, and the content. Numbers are
little-endian, text is UTF-16 behind its length. Layout: as access2theMatrix
and Gwyddion (omicronmatrix.c) read it.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stm_keras.errors import InputError

MAGIC = b"ONTMATRX0101"

Value = bool | int | float | str

_HEAD = struct.Struct("<4sI")  # name backwards; length of the content [byte]
_TIME_BYTES = 8
_UNTIMED = ("XFER", "SCAN", "DICT", "CHCS", "INST", "CNXS", "GENL")
_MAX_TEXT = 10_000  # characters


@dataclass(frozen=True)
class Result:
    """Where the samples of a data file are.

    Attributes:
        intended: number of samples that the measurement was to take.
        taken: number of samples in the file.
        offset: where they begin, int32 [byte].
        time_s: when it was written, seconds since 1970.
    """

    intended: int
    taken: int
    offset: int
    time_s: int


class BlockReader:
    """Reads along a part of a file; never beyond its end."""

    def __init__(self, path: Path, content: bytes, at: int, end: int) -> None:
        self.path = path
        self.at = at
        self.end = end
        self._content = content

    def take(self, size: int) -> bytes:
        """The next bytes."""
        if size > self.end - self.at:
            raise self.fault("a block ends early")
        self.at += size
        return self._content[self.at - size : self.at]

    def integer(self) -> int:
        """The next unsigned integer of four bytes."""
        return int.from_bytes(self.take(4), "little")

    def text(self) -> str:
        """The next text."""
        length = self.integer()
        if length > _MAX_TEXT:
            raise self.fault(f"a text of {length} characters")
        return self.take(2 * length).decode("utf-16-le", "replace")

    def value(self) -> Value:
        """The next value, behind the name of its kind."""
        kind = self.take(4)[::-1]
        if kind == b"BOOL":
            return bool(self.integer())
        if kind == b"LONG":
            return int.from_bytes(self.take(4), "little", signed=True)
        if kind == b"DOUB":
            return struct.unpack("<d", self.take(8))[0]
        if kind == b"STRG":
            return self.text()
        raise self.fault("a value of unknown kind")

    def blocks(self) -> Iterator[tuple[str, "BlockReader"]]:
        """The blocks up to the end, each with a reader of its content."""
        while self.end - self.at >= _HEAD.size:
            raw, length = _HEAD.unpack(self.take(_HEAD.size))
            name = raw[::-1].decode("latin-1")
            if name not in _UNTIMED:
                self.take(_TIME_BYTES)
            start = self.at
            self.take(length)
            yield name, BlockReader(self.path, self._content, start, self.at)

    def fault(self, what: str) -> InputError:
        """An error that says what is wrong, and where."""
        return InputError(
            f"{self.path}: damaged, truncated or still being written: {what}."
        )


def read_result(path: Path) -> Result:
    """Find the samples in a data file.

    Raises:
        InputError: where it is damaged or truncated.
        OSError: where it cannot be read.
    """
    content = path.read_bytes()
    reader = BlockReader(path, content, len(MAGIC), len(content))
    name, _ = _HEAD.unpack(reader.take(_HEAD.size))
    if name != b"TLKB":
        raise reader.fault("no result in it")
    time_s = int.from_bytes(reader.take(8), "little")
    reader.take(4)
    intended = taken = 0
    while reader.at < reader.end:
        name, length = _HEAD.unpack(reader.take(_HEAD.size))
        start = reader.at
        reader.take(length)
        if name == b"CSED":
            inner = BlockReader(path, content, start, reader.at)
            inner.take(20)
            intended, taken = inner.integer(), inner.integer()
        elif name == b"ATAD":
            if 4 * taken > length:
                raise reader.fault(f"{taken} samples in {length} bytes")
            return Result(intended, taken, start, time_s)
    raise reader.fault("no samples in it")
