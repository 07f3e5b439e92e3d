"""What an instrument's file holds, and what a user may say about it.

A reader of a format gives a `Recording` with every channel of the file; which
of them becomes `ConductanceMaps` is decided in one place for all formats,
`selection.py`, by the user's `ReadOptions`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.placement import Placement

MOST_BIAS_V = 3.0
"""Larger ones are given in mV by mistake [V]: the surface states of metals
end well below."""

Direction = Literal["forward", "backward"]

UNKNOWN_BIAS = np.array([np.nan])
"""Bias of a single map in a file that does not tell it."""


@dataclass(frozen=True)
class ReadOptions:
    """Choices that a reader follows; each format takes those it has use for.

    Attributes:
        channel: name of the channel to read; None lets the reader choose.
        direction: of the fast scan, "forward" or "backward".
        bias_v: bias of each map [V]; takes the place of what the file says.
        extent_nm: height and width [nm]; takes the place of what it says.

    Raises:
        InputError: for an unknown direction, or a bias that can only be
            meant in mV.
    """

    channel: str | None = None
    direction: Direction = "forward"
    bias_v: tuple[float, ...] | None = None
    extent_nm: tuple[float, float] | None = None

    def __post_init__(self) -> None:
        """Check the direction and the biases."""
        for bias in self.bias_v or ():
            if abs(bias) > MOST_BIAS_V:
                raise InputError(
                    f"--bias {bias:g} is {bias:g} V, at which no surface state "
                    f"scatters: was {bias:g} mV meant? Give V: "
                    f"--bias {bias / 1000:g}."
                )
        if self.direction not in get_args(Direction):
            raise InputError(
                f"Unknown scan direction: {self.direction!r}. Known: "
                f"{', '.join(get_args(Direction))}."
            )

    def notes(self) -> list[str]:
        """Lines for `provenance`: what took the place of the file's own."""
        notes = []
        if self.bias_v is not None:
            notes.append("bias as given by the user")
        if self.extent_nm is not None:
            notes.append("extent as given by the user")
        return notes


@dataclass(frozen=True, eq=False)
class Channel:
    """One quantity, recorded in one direction.

    Attributes:
        name: as the file calls it, without unit and direction, such as "Z"
            or "LI_Demod_1_X".
        unit: SI unit of what `load` gives, such as "m", "A" or "S"; readers
            turn nm, pA or nS into these. Empty where unknown.
        bias_v: bias of each map [V], float64 [V]; NaN where the file does not
            tell.
        load: reads the maps, real [V, H, W], row 0 the top of the frame and
            column 0 its left edge whichever way the tip went; NaN is "not
            measured". It may raise `InputError` and `OSError` alone.
        direction: of the fast scan or the sweep.
        sweep: whether the maps are points of a bias sweep taken at every
            pixel, so that I(V) can be differentiated.
        lock_in_off: whether the file says that the lock-in behind this
            channel was off.
        note: what is special about it, for `provenance`; empty for nothing.
    """

    name: str
    unit: str
    bias_v: NDArray[np.float64]
    load: Callable[[], NDArray[np.floating]]
    direction: Direction = "forward"
    sweep: bool = False
    lock_in_off: bool = False
    note: str = ""


@dataclass(frozen=True, eq=False)
class Recording:
    """A file, read as far as its header.

    Attributes:
        source: the file's path, for messages.
        format: the kind of file, for people, such as "Nanonis scan".
        shape: rows and columns of every map [px].
        extent_nm: height and width of the frame [nm]; None where the file
            does not tell.
        channels: what was recorded, at least one.
        placement: where the frame lies on the sample; None where unknown.
        metadata: what else is worth showing to a person, by name: title,
            date, set point, comment; printable text.
        notes: what the reader had to decide or noticed, for `provenance`;
            lines that begin with "warning: " are shown to the user.
        history: what was done to the maps before they were written to the
            file, in order; comes first in `provenance`.
        curated: whether a person put just these maps into the file, as into
            an .npz: where it holds one channel, that one is taken as it is.
        feedback: whether the feedback held the current, so that the tip
            followed the surface; None where the file does not tell.
    """

    source: str
    format: str
    shape: tuple[int, int]
    extent_nm: tuple[float, float] | None
    channels: tuple[Channel, ...]
    placement: Placement | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    history: tuple[str, ...] = ()
    curated: bool = False
    feedback: bool | None = None


def printable(text: str) -> str:
    """Text without control characters, which would reach the terminal."""
    return "".join(c if c.isprintable() else "?" for c in text)


def as_seen(
    image: NDArray[np.floating], *, upwards: bool, backward: bool
) -> NDArray[np.floating]:
    """An image in the order of acquisition, turned as it is seen.

    Args:
        image: [..., H, W], lines in the order in which they were scanned.
        upwards: the first line is the frame's bottom.
        backward: each line was stored from right to left.

    Returns:
        A view, row 0 the top and column 0 the left edge of the frame.
    """
    if upwards:
        image = image[..., ::-1, :]
    return image[..., ::-1] if backward else image
