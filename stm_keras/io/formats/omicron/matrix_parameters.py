"""The parameter files of an Omicron Matrix session (_0001.mtrx ...)."""

from dataclasses import dataclass, field
from pathlib import Path

from stm_keras.io.formats.omicron.matrix_blocks import MAGIC, BlockReader, Value


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
