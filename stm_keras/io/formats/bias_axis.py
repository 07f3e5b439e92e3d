"""Evenly spaced biases, as people write them down."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

_ROUNDING = 1e-3  # of a step, from figures that were rounded when written


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
