"""The session of Omicron Matrix files: their blocks, and its parameters.

A file is a row of blocks after twelve letters: a name of four letters,
written backwards, a length, in most a time, and the content. Numbers are
little-endian, text is UTF-16 behind its length. Layout: as access2theMatrix
and Gwyddion (omicronmatrix.c) read it. The parameter files (_0001.mtrx ...)
say what was set before each data file was written.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
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


@dataclass(frozen=True)
class Transfer:
    """From counts to a quantity: `(count - offset) * scale`.

    Attributes:
        name: of the channel, such as "Z" or "I(V)".
        unit: of the quantity.
        scale: what one count is [unit].
        offset: counts of zero.
    """

    name: str
    unit: str
    scale: float
    offset: float


@dataclass
class Parameters:
    """What a session's parameters were when a result was written.

    Attributes:
        values: and units of the experiment, by "element.property".
        marks: texts that the user or the program put down, by name.
        channels: name and unit, by number.
        functions: name of the transfer function and its numbers, by channel.
    """

    values: dict[str, tuple[Value, str]] = field(default_factory=dict)
    marks: dict[str, str] = field(default_factory=dict)
    channels: dict[int, tuple[str, str]] = field(default_factory=dict)
    functions: dict[int, tuple[str, dict[str, Value]]] = field(
        default_factory=dict
    )

    def number(self, name: str, default: float = 0.0) -> float:
        """A parameter as a number."""
        value, _ = self.values.get(name, (default, ""))
        return default if isinstance(value, str) else float(value)

    def count(self, name: str) -> int:
        """A parameter as a whole number; 0 where it is none."""
        value, _ = self.values.get(name, (0, ""))
        return value if isinstance(value, int) else 0

    def transfer(self, name: str) -> Transfer | None:
        """How a channel's counts become a quantity; None where unknown."""
        known = [key for key, (other, _) in self.channels.items()]
        keys = [key for key in known if self.channels[key][0] == name]
        if not keys or max(keys) not in self.functions:
            return None
        kind, given = self.functions[max(keys)]
        numbers = {
            key: float(value)
            for key, value in given.items()
            if not isinstance(value, str)
        }
        try:
            scale = _scale(kind, numbers)
        except (KeyError, ZeroDivisionError, OverflowError):
            return None
        unit = self.channels[max(keys)][1]
        if scale is None:
            return None
        return Transfer(name, unit, scale, numbers.get("Offset", 0.0))


def follow_session(path: Path, name: str, found: Parameters) -> bool:
    """Read a parameter file as far as the entry of a data file.

    Args:
        path: a session's parameter file, one of several.
        name: the data file's name.
        found: what the files before said; changed here.

    Returns:
        Whether the data file's entry was reached.

    Raises:
        InputError: where the parameter file is damaged.
        OSError: where it cannot be read.
    """
    content = path.read_bytes()
    reader = BlockReader(path, content, 0, len(content))
    if reader.take(len(MAGIC)) != MAGIC:
        raise reader.fault("no Matrix file")
    for block, inner in reader.blocks():
        if block == "BREF":
            inner.take(4)
            if inner.text() == name:
                return True
        elif block in _READERS:
            _READERS[block](inner, found)
    return False


def _read_experiment(reader: BlockReader, found: Parameters) -> None:
    reader.take(4)
    for _ in range(reader.integer()):
        element = reader.text()
        for _ in range(reader.integer()):
            _read_property(reader, element, found)


def _read_change(reader: BlockReader, found: Parameters) -> None:
    reader.take(4)
    _read_property(reader, reader.text(), found)


def _read_property(
    reader: BlockReader, element: str, found: Parameters
) -> None:
    name, unit = reader.text(), reader.text()
    reader.take(4)
    found.values[f"{element}.{name}"] = (reader.value(), unit)


def _read_mark(reader: BlockReader, found: Parameters) -> None:
    name, dash, text = reader.text().removeprefix("MTRX$").partition("-")
    if dash:
        found.marks[name] = text


def _read_wiring(reader: BlockReader, found: Parameters) -> None:
    reader.take(4)
    for block, inner in reader.blocks():
        if block == "DICT":
            _read_channels(inner, found)
        elif block == "XFER":
            _read_functions(inner, found)


def _read_channels(reader: BlockReader, found: Parameters) -> None:
    reader.take(8)
    for _ in range(reader.integer()):  # devices
        reader.take(16)
        for _ in range(2):  # name and place
            reader.text()
    for _ in range(reader.integer()):
        reader.take(4)
        key = reader.integer()
        reader.take(8)
        found.channels[key] = (reader.text(), reader.text())


def _read_functions(reader: BlockReader, found: Parameters) -> None:
    while reader.at < reader.end:
        reader.take(4)
        key = reader.integer()
        kind, _ = reader.text(), reader.text()  # the second is a unit
        numbers = {}
        for _ in range(reader.integer()):
            name = reader.text()
            numbers[name] = reader.value()
        found.functions[key] = (kind, numbers)


def _scale(kind: str, numbers: dict[str, float]) -> float | None:
    if kind == "TFF_Linear1D":
        return 1 / numbers["Factor"]
    if kind == "TFF_MultiLinear1D":
        gain = numbers["Raw_1"] - numbers["PreOffset"]
        return gain / (numbers["NeutralFactor"] * numbers["PreFactor"])
    return None


_READERS = {
    "EEPA": _read_experiment,
    "PMOD": _read_change,
    "MARK": _read_mark,
    "CCSY": _read_wiring,
}
