"""Which cleaning steps are taken; the order is that of `cleaning.clean`."""

from dataclasses import dataclass
from typing import Literal, get_args

from stm_keras.errors import InputError

Level = Literal["none", "plane", "quadratic", "lines", "line-differences"]
Normalise = Literal["none", "mean", "std", "feenstra"]
LEVELS: tuple[Level, ...] = get_args(Level)
NORMALISATIONS: tuple[Normalise, ...] = get_args(Normalise)


@dataclass(frozen=True)
class CleaningOptions:
    """A switch for each cleaning step.

    Attributes:
        level: "plane" subtracts a plane from every map, "quadratic" a
            polynomial of second order; "lines" the plane, and the median of
            every scan line; "line-differences" the plane, and offsets of the
            lines from the median of differences between neighbours; "none"
            nothing.
        mask_lines: take noisy and dead scan lines as not measured.
        tip_jumps: find tip jumps and take out their offsets.
        streaks: take horizontal streaks shorter than a line as not measured.
        register: find the drift between the maps and take it out.
        normalise: "mean" and "std" divide every map by that of its own,
            "feenstra" by I/V; "none" does nothing.

    Raises:
        InputError: for a word that names no levelling or normalisation.
    """

    level: Level = "plane"
    mask_lines: bool = True
    tip_jumps: bool = False
    streaks: bool = False
    register: bool = False
    normalise: Normalise = "none"

    def __post_init__(self) -> None:
        """Check the words."""
        for name, value, known in (
            ("levelling", self.level, LEVELS),
            ("normalisation", self.normalise, NORMALISATIONS),
        ):
            if value not in known:
                raise InputError(
                    f"Unknown {name}: {value!r}. Known: {', '.join(known)}."
                )
