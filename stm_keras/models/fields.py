"""The fields of a model card, and what may stand in them.

A card comes with a model from anywhere. Each field is held to its kind before
anything uses it; the names that are refused, and why, are one line.
"""

import json
import math
import os
import stat
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

_MOST_BYTES = 1 << 24
_DEEPEST = 20
_MOST = 2**53
_MOST_PX = 100_000
_LONGEST_NAME = 200

Check = Callable[[Any], bool]


def read_json(path: Path) -> Any:
    """A JSON file, of a size and a depth that can be borne.

    Raises:
        OSError: where it cannot be read.
        ValueError: where it is no file (a device never ends), too large,
            nested too deeply, or no JSON.
    """
    status = os.stat(path)  # noqa: PTH116
    if not stat.S_ISREG(status.st_mode):
        raise ValueError("it is no file")
    if status.st_size > _MOST_BYTES:
        raise ValueError(f"it is larger than {_MOST_BYTES >> 20} MB")
    try:
        return json.loads(path.read_bytes())
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def check_fields(fields: Mapping[str, Any]) -> None:
    """Hold the fields of a card to their kinds.

    Args:
        fields: of `model_card.json`; those without a kind are left alone.

    Raises:
        ValueError: naming the field.
        KeyError: for one that is missing.
    """
    for name, (kind, check) in _KINDS.items():
        value = fields[name] if name not in _OPTIONAL else fields.get(name)
        if name in _OPTIONAL and value is None:
            continue
        if not check(value):
            raise ValueError(f"{name} is {_shown(value)}, and should be {kind}")
    for name in _TABLES:
        for where, value in _leaves(fields[name], name):
            if not _plain(value, lenient=name in _MAY_LACK):
                raise ValueError(f"{where} is {_shown(value)}")


def is_number(value: Any) -> bool:
    """A number of JSON that is finite, and not beyond float64."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:
        return False


def _is_whole(least: int, most: int) -> Check:
    return lambda value: (
        isinstance(value, int)
        and not isinstance(value, bool)
        and least <= value <= most
    )


def _is_name(value: Any) -> bool:
    """Of a model; files are named after it."""
    return (
        isinstance(value, str)
        and 0 < len(value) <= _LONGEST_NAME
        and value.isprintable()
        and not value.startswith(".")
        and not set("/\\\0") & set(value)
    )


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_table(value: Any) -> bool:
    return isinstance(value, dict)


def _is_range(value: Any) -> bool:
    return (
        isinstance(value, list)
        and len(value) == 2
        and all(map(is_number, value))
        and 0 < value[0] <= value[1] <= 2 * math.pi
    )


def _is_by_maps(value: Any) -> bool:
    """Numbers, by numbers of maps."""
    return isinstance(value, dict) and all(
        n.isascii() and n.isdigit() and 0 < len(n) < 10 and is_number(v)
        for n, v in value.items()
    )


def _is_network(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and isinstance(value.get("class", ""), str)
        and _is_whole(0, _MOST)(value.get("parameters", 0))
    )


def _is_versions(value: Any) -> bool:
    return isinstance(value, dict) and all(map(_is_text, value.values()))


def _is_detection(value: Any) -> bool:
    shares = ("threshold", "false_discovery_rate")
    return (
        isinstance(value, dict)
        and all(is_number(value.get(name)) for name in shares)
        and is_number(value.get("false_beforehand", 0.0))
    )


_KINDS: dict[str, tuple[str, Check]] = {
    "name": ("a name of a file", _is_name),
    "command": ("text", _is_text),
    "network": ("a table with class and parameters", _is_network),
    "data": ("a table", _is_table),
    "training": ("a table", _is_table),
    "tile_px": ("a whole number of px", _is_whole(1, _MOST_PX)),
    "reach_px": ("a whole number of px", _is_whole(0, _MOST_PX)),
    "ring_rad_px": ("two numbers of rad/px above 0, rising", _is_range),
    "thresholds": ("numbers by numbers of maps", _is_by_maps),
    "floors": ("numbers by numbers of maps", _is_by_maps),
    "detection": ("a table with threshold and rate", _is_detection),
    "scores": ("a table", _is_table),
    "made": ("a table", _is_table),
    "versions": ("a table of texts", _is_versions),
    "adaptation": ("a table", _is_table),
}
_OPTIONAL = ("detection", "adaptation")
_TABLES = ("network", "data", "training", "scores", "made")
_MAY_LACK = ("scores", "training", "data")
"""In these a number may be NaN: a mean of none, say."""


def _plain(value: Any, *, lenient: bool) -> bool:
    if value is None or isinstance(value, str | bool):
        return True
    if is_number(value):
        return abs(value) <= _MOST or isinstance(value, float)
    return lenient and isinstance(value, float) and math.isnan(value)


def _leaves(
    value: Any, where: str, depth: int = 0
) -> Iterator[tuple[str, Any]]:
    if depth > _DEEPEST:
        raise ValueError(f"{where[:80]} is nested too deeply")
    if isinstance(value, dict):
        for key, below in value.items():
            yield from _leaves(below, f"{where}.{key}", depth + 1)
    elif isinstance(value, list):
        for below in value:
            yield from _leaves(below, where, depth + 1)
    else:
        yield where, value


def _shown(value: Any) -> str:
    if isinstance(value, int) and not isinstance(value, bool):
        if abs(value) > _MOST:
            return "a number beyond all use"
        return str(value)
    text = repr(value) if isinstance(value, str | float) else None
    return (text or type(value).__name__)[:60]
