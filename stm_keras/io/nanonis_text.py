"""What the text headers of Nanonis files have in common.

Text is in the encoding of the instrument's Windows, or in UTF-8; signals are
named as in "Current [AVG] [bwd] (A)": a name, tags in square brackets, a unit.
"""

import contextlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from stm_keras.io.recording import Direction, printable
from stm_keras.io.units import finite_number, to_si

_MAX_HEADER_BYTES = 1 << 22  # real headers take some 4 kB

_TAG = re.compile(r"\[([^\[\]]*)\]")
_UNIT = re.compile(r"(?:^|\s)\(([^()]*)\)")
_BACKWARD = "bwd"
_AVERAGE = "AVG"


@dataclass(frozen=True)
class Signal:
    """A signal, as a header names it.

    Attributes:
        name: without unit, direction and the tag of an average; other tags
            stay, as in "Current [00001]", one sweep of several.
        unit: SI unit; empty where the header gives none.
        factor: what brings stored values into `unit`.
        direction: of the sweep or the fast scan.
        tags: all that stood in square brackets.
    """

    name: str
    unit: str
    factor: float = 1.0
    direction: Direction = "forward"
    tags: tuple[str, ...] = ()

    @property
    def is_average(self) -> bool:
        """Whether it is the average of several sweeps."""
        return _AVERAGE in self.tags


def read_head(file: BinaryIO) -> tuple[bytes, int]:
    """The part of a file in which its header must end, and the file's size.

    No more is asked for than there is: reading makes room beforehand.
    """
    size = file.seek(0, os.SEEK_END)
    file.seek(0)
    return file.read(min(size, _MAX_HEADER_BYTES)), size


def decoded(header: bytes) -> str:
    """A header's text: UTF-8, or else Western European Windows.

    Bytes that are letters in neither become those of ISO-8859-1, so that no
    header is unreadable for the sake of a comment.
    """
    for encoding in ("utf-8", "cp1252"):
        with contextlib.suppress(UnicodeDecodeError):
            return header.decode(encoding)
    return header.decode("iso-8859-1")


def parse_signal(text: str) -> Signal:
    """Take a signal's name apart, such as "LIX 1 omega [bwd] (A)"."""
    tags = tuple(tag.strip() for tag in _TAG.findall(text))
    kept = [tag for tag in tags if tag not in (_BACKWARD, _AVERAGE)]
    bare = _TAG.sub(" ", text)
    # The last one: "Bias (AI5) (V)" has a bracket in its name.
    units = list(_UNIT.finditer(bare))
    if units:
        place = units[-1]
        bare = f"{bare[: place.start()]} {bare[place.end() :]}"
    factor, unit = to_si(units[-1].group(1) if units else "")
    name = " ".join([*bare.split(), *(f"[{tag}]" for tag in kept)])
    return Signal(
        name=printable(name),
        unit=printable(unit),
        factor=factor,
        direction="backward" if _BACKWARD in tags else "forward",
        tags=tags,
    )


def bias_v(fields: Mapping[str, str]) -> float | None:
    """The sample bias [V] that the controller stood at; None if unknown."""
    values = (finite_number(fields.get(k)) for k in ("BIAS", "Bias>Bias (V)"))
    return next((value for value in values if value is not None), None)


def lock_in_is_off(fields: Mapping[str, str]) -> bool:
    """Whether a header says so; False also where it says nothing."""
    return fields.get("Lock-in>Lock-in status", "").strip().upper() == "OFF"


def feedback_is_on(fields: Mapping[str, str]) -> bool | None:
    """Whether the feedback held the current; None where unknown."""
    status = fields.get("Z-Controller>Controller status", "").strip().upper()
    return {"ON": True, "OFF": False}.get(status)


def common_metadata(fields: Mapping[str, str]) -> dict[str, str]:
    """What headers of scans and grids alike tell a person.

    Args:
        fields: a header's text by key, such as "Z-Controller>Setpoint".

    Returns:
        Printable text for the names "bias", "set point", "lock-in", "comment"
        and "user", where the header tells them.
    """
    found = {"comment": fields.get("COMMENT") or fields.get("Comment", "")}
    found["user"] = fields.get("User", "")
    bias = bias_v(fields)
    if bias is not None:
        found["bias"] = f"{bias:g} V"
    set_point = finite_number(fields.get("Z-Controller>Setpoint"))
    if set_point is not None:
        unit = fields.get("Z-Controller>Setpoint unit", "")
        found["set point"] = f"{set_point:g} {unit}"
    found["lock-in"] = _lock_in(fields)
    texts = {name: " ".join(text.split()) for name, text in found.items()}
    return {name: printable(text) for name, text in texts.items() if text}


def _lock_in(fields: Mapping[str, str]) -> str:
    """State and modulation, such as "on, 0.01 V on Bias, 983 Hz"."""
    parts = [fields.get("Lock-in>Lock-in status", "").strip().lower()]
    modulated = parse_signal(fields.get("Lock-in>Modulated signal", ""))
    amplitude = finite_number(fields.get("Lock-in>Amplitude"))
    if amplitude is not None:
        value = f"{amplitude * modulated.factor:g} {modulated.unit}".strip()
        parts.append(f"{value} on {modulated.name or 'an unknown signal'}")
    frequency = finite_number(fields.get("Lock-in>Frequency (Hz)"))
    if frequency is not None:
        parts.append(f"{frequency:g} Hz")
    return ", ".join(part for part in parts if part)
