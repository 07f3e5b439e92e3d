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
        surface: a key of `SURFACES`, whose k(V) sets the pixel; None measures
            the ring.
        cleaning: what is done to the maps before the network sees them.
        tiling: "overlap" blends large tiles that share a border; "paper" puts
            tiles of the training's size edge to edge (arXiv:2006.15898).
        threshold: least S of a detection, in standard deviations of S above
            its mean; None takes the model card's, and its floor as well.
        region: the part of the frame that is looked at.
        bias_range_v: least and greatest bias [V] of the maps that are looked
            at; None takes all.
    """

    surface: str | None = None
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    tiling: TilingName = "overlap"
    threshold: float | None = None
    region: Region = field(default_factory=Region)
    bias_range_v: tuple[float, float] | None = None

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


@dataclass(frozen=True, eq=False)
class Companions:
    """Maps measured together with those that are looked at, one a map.

    Attributes:
        current: the current [A], for the normalisation "feenstra".
        reference: what shows the drift better, such as topographs.
    """

    current: ConductanceMaps | None = None
    reference: ConductanceMaps | None = None
