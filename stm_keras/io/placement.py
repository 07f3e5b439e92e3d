"""Where a scan frame lies on the sample, in the scanner's own coordinates."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray


@dataclass(frozen=True)
class Placement:
    """Centre and rotation of a frame.

    The scanner's x axis points right and its y axis up, as instruments show
    them at a scan angle of 0.

    Attributes:
        centre_nm: x and y of the frame's centre [nm].
        angle_deg: by how much the frame is turned, counter-clockwise as seen
            on the sample [degree].
    """

    centre_nm: tuple[float, float]
    angle_deg: float = 0.0

    def to_scanner(
        self, positions_nm: ArrayLike, extent_nm: tuple[float, float]
    ) -> NDArray[np.float64]:
        """Turn places in the frame into places on the sample.

        Args:
            positions_nm: y (down) and x from the frame's top left corner
                [nm], [n, 2], as position tables have them.
            extent_nm: height and width of the frame [nm].

        Returns:
            x and y in the scanner's coordinates [nm], float64 [n, 2].
        """
        height, width = extent_nm
        positions = np.asarray(positions_nm, dtype=np.float64).reshape(-1, 2)
        right = positions[:, 1] - width / 2
        up = height / 2 - positions[:, 0]
        turn = math.radians(self.angle_deg)
        cos, sin = math.cos(turn), math.sin(turn)
        x, y = self.centre_nm
        return np.stack(
            [x + cos * right - sin * up, y + sin * right + cos * up], axis=1
        )

    def moved(self, down_nm: float, right_nm: float) -> "Placement":
        """The placement of a part of the frame.

        Args:
            down_nm: how far the part's centre lies below the frame's, along
                the frame's own axes [nm].
            right_nm: how far to its right [nm].
        """
        # The centre of an empty frame is its corner.
        (x, y), *_ = self.to_scanner([(down_nm, right_nm)], (0.0, 0.0))
        return Placement((float(x), float(y)), self.angle_deg)


def placed(
    centre_nm: Sequence[float | None] | None, angle_deg: float = 0.0
) -> Placement | None:
    """A placement; None where a number of it is unknown or not finite.

    Args:
        centre_nm: x and y of the frame's centre [nm].
        angle_deg: see `Placement`.
    """
    if centre_nm is None or len(centre_nm) != 2:
        return None
    x, y = (math.nan if side is None else float(side) for side in centre_nm)
    if not all(map(math.isfinite, (x, y, angle_deg))):
        return None
    return Placement((x, y), float(angle_deg))
