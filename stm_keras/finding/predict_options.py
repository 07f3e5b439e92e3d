"""How impurities are to be found."""

import math
from dataclasses import dataclass, field
from typing import Literal

from stm_keras.errors import InputError
from stm_keras.io.cleaning.cleaning_options import CleaningOptions
from stm_keras.io.cropping import Region
from stm_keras.io.maps import ConductanceMaps
from stm_keras.surfaces import surface

TilingName = Literal["overlap", "paper"]
TILINGS: tuple[TilingName, ...] = ("overlap", "paper")


@dataclass(frozen=True)
class PredictOptions:
    """How to find impurities.

    Attributes:
        surface: whose k(V) sets the pixel, see `surfaces.surface`; None
            measures the ring.
        cleaning: what is done to the maps before the network sees them.
        tiling: "overlap" blends large tiles that share a border; "paper" puts
            tiles of the training's size edge to edge (arXiv:2006.15898).
        threshold: least S of a detection, in standard deviations of S above
            its mean, or its least probability with `context`; None takes the
            model card's, and its floor as well.
        region: the part of the frame that is looked at.
        bias_range_v: least and greatest bias [V] of the maps that are looked
            at; None takes all.
        false_discovery_rate: with `context`, expected share of false ones
            among all that are kept, which then decides alone; None takes
            the card's rule.
        surrogates: with `context`, how many maps without an impurity are made
            of the user's own to count what is found in them; None takes five,
            and fewer of a large frame, which holds as much as several.
        tell_rings: with `context`, tell it the wave number of every map.
        fit_rings: with `context`, let a fit of rings to all maps have its
            say where it may be believed.
    """

    surface: str | None = None
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    tiling: TilingName = "overlap"
    threshold: float | None = None
    region: Region = field(default_factory=Region)
    bias_range_v: tuple[float, float] | None = None
    false_discovery_rate: float | None = None
    surrogates: int | None = None
    tell_rings: bool = True
    fit_rings: bool = True

    def __post_init__(self) -> None:
        if self.tiling not in TILINGS:
            raise InputError(
                f"Unknown tiling: {self.tiling!r}. Known: {', '.join(TILINGS)}."
            )
        if self.surface is not None:
            surface(self.surface)
        if self.threshold is not None and not math.isfinite(self.threshold):
            raise InputError(
                f"`threshold` must be a number. Received: {self.threshold}"
            )
        rate = self.false_discovery_rate
        if rate is not None and not 0 < rate < 1:
            raise InputError(
                "`false_discovery_rate` must lie between 0 and 1. "
                f"Received: {rate:g}"
            )
        if rate is not None and self.threshold is not None:
            raise InputError(
                "Give a threshold or a false-discovery rate, not both: each "
                "decides what counts."
            )
        if self.surrogates is not None and self.surrogates < 0:
            raise InputError(
                f"`surrogates` must be >= 0. Received: {self.surrogates}"
            )


@dataclass(frozen=True, eq=False)
class Companions:
    """Maps measured together with those that are looked at, one a map.

    Attributes:
        current: the current [A], for the normalisation "feenstra".
        reference: what shows the drift better, such as topographs.
    """

    current: ConductanceMaps | None = None
    reference: ConductanceMaps | None = None
