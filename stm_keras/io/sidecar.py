"""`FILE.yaml` beside a file of bare arrays: its units, biases and size.

Beside `maps.tif` lies `maps.tif.yaml` (or `.yml`, or `maps.yaml`):

    bias: {first: -0.2, last: 0.2, count: 41}   # or bias_v: [-0.2, 0.1], in V
    extent_nm: [20, 20]     # height and width, or one number; or pixel_nm
    channel: LI Demod 1 X
    unit: nS                # of the numbers in the file
    row0: bottom            # of the frame; "top" is the rule
    axes: [row, col, bias]  # of the array in the file
    key: didv               # the array's name, in .npz and .mat
    centre_nm: [103.5, -20] # x and y in the scanner's coordinates
    angle_deg: 30           # of the frame, counter-clockwise

What stands there takes the place of what the file says.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import yaml
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.recording import printable
from stm_keras.io.units import finite_number
from stm_keras.maps import Placement

_ROUNDING = 1e-3  # of a step, from figures that were rounded when written

_MAX_BYTES = 1 << 16
_MAX_DEPTH = 3  # the mapping, an entry that is one, and lists within
_LOADER = getattr(yaml, "CBaseLoader", yaml.BaseLoader)

Plain = str | list["Plain"] | dict[str, "Plain"]

AxisName = Literal["bias", "row", "col"]

_LONGEST_TEXT = 200
_BIAS_WANTED = "{first, last, count}, {first, last, step} or {first, step} in V"

KEYS = ("bias_v", "bias", "extent_nm", "pixel_nm", "channel", "unit")
KEYS = (*KEYS, "row0", "axes", "key", "centre_nm", "angle_deg")
"""The keys that a sidecar may have."""

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class BiasSteps:
    """Biases from a first one on.

    Attributes:
        first: bias of the first map [V].
        last: of the last one [V].
        step: from each to the next [V]; towards `last`, whatever its sign.
        count: of the maps.

    Raises:
        ValueError: where `first` is missing, or neither `last` nor `step` is
            there, or all of them are; for a step of 0 or a part of a map.
    """

    first: float
    last: float | None = None
    step: float | None = None
    count: float | None = None

    def __post_init__(self) -> None:
        """Check that the numbers make a scale."""
        given = (self.last, self.step)
        if self.first is None or given == (None, None) or self.step == 0:
            raise ValueError("first and last or step are needed")
        if self.count is not None and (
            None not in given or self.count != int(self.count)
        ):
            raise ValueError("count is a whole number, beside last or step")

    def values(self, n_maps: int) -> NDArray[np.float64]:
        """The biases of so many maps [V], float64 [V].

        Raises:
            ValueError: where they are for another number of maps.
        """
        count = float(n_maps) if self.count is None else self.count
        if self.last is not None and self.step is not None:
            count = abs(self.last - self.first) / abs(self.step) + 1
        if not math.isclose(count, n_maps, rel_tol=0, abs_tol=_ROUNDING):
            raise ValueError(
                f"first, last, step and count make {count:.6g} biases, the "
                f"file holds {n_maps} map(s)"
            )
        step = self.step or 0.0
        if self.last is not None:
            step = (self.last - self.first) / max(n_maps - 1, 1)
        return self.first + step * np.arange(n_maps, dtype=np.float64)


def read_yaml(path: Path) -> dict[str, Plain]:
    """Read the mapping that a small YAML file holds.

    Args:
        path: the file, UTF-8 or UTF-16, up to 64 KiB.

    Returns:
        Its entries, every scalar as the text that stands there.

    Raises:
        InputError: for anything else; aliases, tags and keys given twice are
            refused too.
        OSError: where the file cannot be read.
    """
    with path.open("rb") as file:
        content = file.read(_MAX_BYTES + 1)
    if len(content) > _MAX_BYTES:
        raise InputError(
            f"{path}: larger than {_MAX_BYTES} bytes, which no sidecar is. "
            "Leave it to the few keys that the file needs."
        )
    try:
        _check_events(path, content)
        node = yaml.compose(content, _LOADER)
    except yaml.YAMLError as error:
        raise InputError(
            f"{path}{_line_of(error)}: no readable YAML ({_reason(error)}). "
            "Write 'key: value' lines in UTF-8."
        ) from error
    plain = {} if node is None else _plain(path, node)
    if not isinstance(plain, dict):
        raise InputError(f"{path}: no keys. Write lines such as 'unit: nS'.")
    return plain


def _check_events(path: Path, content: bytes) -> None:
    """Refuse what is dangerous before anything is built from it."""
    depth = 0
    for event in yaml.parse(content, _LOADER):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        fault = ""
        if depth > _MAX_DEPTH:
            fault = "nested too deeply"
        elif isinstance(event, yaml.AliasEvent) or getattr(
            event, "anchor", None
        ):
            fault = "anchors and aliases (& and *) are not taken"
        elif getattr(event, "tag", None):
            fault = "tags (!) are not taken"
        if fault:
            line = event.start_mark.line + 1
            raise InputError(
                f"{path}, line {line}: {fault}. Write plain keys and values, "
                "texts with such signs in quotes."
            )


def _plain(path: Path, node: yaml.Node) -> Plain:
    """The text, list or dictionary of a node."""
    if isinstance(node, yaml.SequenceNode):
        return [_plain(path, item) for item in node.value]
    if not isinstance(node, yaml.MappingNode):
        return str(node.value)
    entries: dict[str, Plain] = {}
    for key_node, value_node in node.value:
        key = _plain(path, key_node)
        line = key_node.start_mark.line + 1
        if not isinstance(key, str):
            raise InputError(
                f"{path}, line {line}: a key must be a word. Write 'key: "
                "value' lines."
            )
        if key in entries:
            raise InputError(
                f"{path}, line {line}: {key!r} is given twice. Keep one."
            )
        entries[key] = _plain(path, value_node)
    return entries


def _line_of(error: yaml.YAMLError) -> str:
    mark = getattr(error, "problem_mark", None)
    return "" if mark is None else f", line {mark.line + 1}"


def _reason(error: yaml.YAMLError) -> str:
    """What the parser found, in one line of printable text."""
    reason = getattr(error, "problem", None) or getattr(error, "reason", None)
    text = " ".join(str(reason or "damaged").split())
    return "".join(c if c.isprintable() else "?" for c in text)


class Values:
    """The entries of a sidecar, each checked as it is taken out.

    Every method gives None where the key is missing, and raises `InputError`
    where the value is of the wrong kind.
    """

    def __init__(self, path: Path, entries: dict[str, Plain]) -> None:
        self.path = path
        self.entries = entries

    def _refused(self, key: str, wanted: str) -> InputError:
        got = printable(str(self.entries[key]))
        got = got if len(got) <= 60 else f"{got[:57]}..."
        return InputError(f"{self.path}: {key} must be {wanted}. Got: {got}.")

    def text(self, key: str) -> str | None:
        """A text of one line."""
        value = self.entries.get(key)
        if value is None:
            return None
        if not isinstance(value, str) or len(value) > _LONGEST_TEXT:
            raise self._refused(key, "a text of one line")
        return printable(value.strip())

    def number(self, key: str, wanted: str) -> float | None:
        """A finite number."""
        if key not in self.entries:
            return None
        number = _number(self.entries[key])
        if number is None:
            raise self._refused(key, wanted)
        return number

    def pair(self, key: str, wanted: str) -> tuple[float, float] | None:
        """Two finite numbers."""
        if key not in self.entries:
            return None
        numbers = _numbers(self.entries[key])
        if numbers is None or len(numbers) != 2:
            raise self._refused(key, wanted)
        return numbers[0], numbers[1]

    def lengths(self, key: str) -> tuple[float, float] | None:
        """Two positive numbers, or one that stands for both."""
        if key not in self.entries:
            return None
        numbers = _numbers(self.entries[key])
        if numbers is not None and len(numbers) == 1:
            numbers *= 2
        if numbers is None or len(numbers) != 2 or min(numbers) <= 0:
            raise self._refused(key, "height and width in nm, or one number")
        return numbers[0], numbers[1]

    def bias(self) -> tuple[float, ...] | BiasSteps | None:
        """What `bias_v` or `bias` says."""
        if "bias_v" in self.entries:
            numbers = _numbers(self.entries["bias_v"])
            if not numbers:
                raise self._refused("bias_v", "a list of biases in V")
            return tuple(numbers)
        if "bias" not in self.entries:
            return None
        entry = self.entries["bias"]
        if not isinstance(entry, dict):
            raise self._refused("bias", _BIAS_WANTED)
        numbers = {key: _number(value) for key, value in entry.items()}
        try:
            return BiasSteps(**numbers)  # pyright: ignore[reportArgumentType]
        except (TypeError, ValueError) as error:
            raise self._refused("bias", _BIAS_WANTED) from error

    def row0(self) -> str:
        """Where the array's first row lies, "top" or "bottom"."""
        value = self.entries.get("row0", "top")
        if value not in ("top", "bottom"):
            raise self._refused("row0", "top or bottom")
        return str(value)

    def axes(self) -> tuple[AxisName, ...] | None:
        """The order of the array's axes."""
        value = self.entries.get("axes")
        if value is None:
            return None
        if not isinstance(value, list) or sorted(map(str, value)) not in (
            ["bias", "col", "row"],
            ["col", "row"],
        ):
            raise self._refused("axes", "a list of bias, row and col")
        return tuple(axis for axis in value)  # pyright: ignore


def _number(value: Plain) -> float | None:
    """A finite number that a text holds; None where it holds none."""
    return finite_number(value) if isinstance(value, str) else None


def _numbers(value: Plain) -> list[float] | None:
    """The numbers of a list, or a single one."""
    items: Sequence[Plain] = value if isinstance(value, list) else [value]
    numbers = [_number(item) for item in items]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says; None where it says nothing.

    Attributes:
        path: the sidecar, for messages.
        bias_v: bias of each map [V], or how they step.
        extent_nm: height and width of the frame [nm].
        pixel_nm: height and width of a pixel [nm].
        channel: name of the quantity.
        unit: of the numbers in the file.
        bottom_first: whether row 0 of the array is the frame's bottom.
        axes: of the array in the file.
        key: name of the array within the file.
        centre_nm: x and y of the frame's centre [nm].
        angle_deg: of the frame, counter-clockwise [degree].
    """

    path: Path
    bias_v: tuple[float, ...] | BiasSteps | None = None
    extent_nm: tuple[float, float] | None = None
    pixel_nm: tuple[float, float] | None = None
    channel: str | None = None
    unit: str | None = None
    bottom_first: bool = False
    axes: tuple[AxisName, ...] | None = None
    key: str | None = None
    centre_nm: tuple[float, float] | None = None
    angle_deg: float | None = None

    def bias_of(self, n_maps: int) -> NDArray[np.float64] | None:
        """Bias of each map [V], float64 [V]; None where unknown.

        Raises:
            InputError: where it is given for another number of maps.
        """
        bias = self.bias_v
        if bias is None:
            return None
        try:
            if isinstance(bias, BiasSteps):
                return bias.values(n_maps)
        except ValueError as error:
            raise InputError(f"{self.path}: bias: {error}.") from error
        if len(bias) != n_maps:
            raise InputError(
                f"{self.path}: bias_v holds {len(bias)} biases, the file "
                f"{n_maps} map(s). Give one bias in V for each map."
            )
        return np.array(bias, dtype=np.float64)

    def extent_of(self, shape: tuple[int, int]) -> tuple[float, float] | None:
        """Height and width [nm] of a frame of so many px, where given."""
        if self.pixel_nm is None:
            return self.extent_nm
        return shape[0] * self.pixel_nm[0], shape[1] * self.pixel_nm[1]

    def placement_of(self, own: Placement | None) -> Placement | None:
        """The placement, the file's own where the sidecar says nothing.

        Raises:
            InputError: for an angle about a centre that nothing tells.
        """
        centre = self.centre_nm or (own and own.centre_nm)
        if centre is None:
            if self.angle_deg is not None:
                raise InputError(
                    f"{self.path}: angle_deg needs centre_nm beside it, x and "
                    "y of the frame's centre in nm."
                )
            return None
        angle = self.angle_deg
        if angle is None:
            angle = own.angle_deg if own else 0.0
        return Placement(centre, angle)

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """An array of the file as [V, H, W] or [H, W], row 0 at the top.

        Raises:
            InputError: where `axes` does not fit it.
        """
        if self.axes is not None:
            if len(self.axes) != array.ndim:
                raise InputError(
                    f"{self.path}: axes names {len(self.axes)} axes, the "
                    f"array has the shape {list(array.shape)}."
                )
            wanted = [a for a in get_args(AxisName) if a in self.axes]
            array = array.transpose([self.axes.index(a) for a in wanted])
        if self.bottom_first and array.ndim > 1:
            array = array[..., ::-1, :]
        return array


def sidecar_path(path: Path) -> Path | None:
    """The sidecar of a file; None where there is none.

    Raises:
        InputError: where there is more than one.
    """
    bases = dict.fromkeys((path.name, path.stem))
    names = [path.with_name(f"{base}{s}") for base in bases for s in _SUFFIXES]
    found = [name for name in names if name != path and name.is_file()]
    if len(found) > 1:
        raise InputError(
            f"{path} has two sidecars, {found[0].name} and {found[1].name}. "
            "Keep one."
        )
    return found[0] if found else None


def read_sidecar(path: Path) -> Sidecar | None:
    """Read what lies beside a file of arrays.

    Args:
        path: the file of arrays, not the sidecar.

    Returns:
        What the sidecar says; None where there is none.

    Raises:
        InputError: for a sidecar with unknown keys, values of the wrong
            kind, or that is no plain YAML; or for two of them.
        OSError: where it cannot be read.
    """
    found = sidecar_path(path)
    if found is None:
        return None
    entries = read_yaml(found)
    if unknown := [key for key in entries if key not in KEYS]:
        raise InputError(
            f"{found}: unknown key {printable(unknown[0][:40])!r}. Known: "
            f"{', '.join(KEYS)}."
        )
    for both in (("bias_v", "bias"), ("extent_nm", "pixel_nm")):
        if both[0] in entries and both[1] in entries:
            raise InputError(f"{found}: {' and '.join(both)}: keep one.")
    values = Values(found, entries)
    return Sidecar(
        path=found,
        bias_v=values.bias(),
        extent_nm=values.lengths("extent_nm"),
        pixel_nm=values.lengths("pixel_nm"),
        channel=values.text("channel"),
        unit=values.text("unit"),
        bottom_first=values.row0() == "bottom",
        axes=values.axes(),
        key=values.text("key"),
        centre_nm=values.pair("centre_nm", "x and y in nm"),
        angle_deg=values.number("angle_deg", "an angle in degrees"),
    )
