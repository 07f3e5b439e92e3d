"""The values of a sidecar's keys, brought to their types."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from stm_keras.errors import InputError
from stm_keras.io.formats.arrays.sidecar_yaml import Plain
from stm_keras.io.formats.bias_axis import BiasSteps
from stm_keras.io.recording import printable

Axis = Literal["bias", "row", "col"]

_LONGEST_TEXT = 200
_BIAS_WANTED = "{first, last, count}, {first, last, step} or {first, step} in V"


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

    def axes(self) -> tuple[Axis, ...] | None:
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
    if not isinstance(value, str) or "_" in value:
        return None
    try:
        number = float(value)
    except ValueError:
        return None
    return number if math.isfinite(number) else None


def _numbers(value: Plain) -> list[float] | None:
    """The numbers of a list, or a single one."""
    items: Sequence[Plain] = value if isinstance(value, list) else [value]
    numbers = [_number(item) for item in items]
    known = [number for number in numbers if number is not None]
    return known if len(known) == len(numbers) else None
