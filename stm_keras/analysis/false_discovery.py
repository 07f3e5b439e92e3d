"""How many detections to keep, from how sure each of them is."""

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.errors import InputError

NOTHING = 1.0
"""Threshold where nothing is sure enough."""


def least_kept(
    probabilities: ArrayLike,
    rate: float,
    floor: float = 0.0,
    beforehand: float = 0.0,
) -> float:
    """The least probability at which few enough are expected to be false.

    The surest are kept, as long as the sum of 1 - p over those kept, which is
    the number of false ones to be expected, does not exceed the rate times
    their number (M. A. Newton et al., Biostatistics 5, 155 (2004), DOI
    10.1093/biostatistics/5.2.155). Some may be counted as false beforehand:
    one or two must then be surer than many, as in a stack that may well be
    empty they should be (likewise the 1 of R. F. Barber and E. J. Candes, Ann.
    Stat. 43, 2055 (2015), DOI 10.1214/15-AOS1337).

    Args:
        probabilities: of each detection in one stack to be true, float [n].
        rate: the share of false ones among all kept, 0 to 1.
        floor: none less probable is kept, whatever the rate allows: with many
            sure detections it would allow guesses.
        beforehand: so many are counted as false before any is looked at.

    Returns:
        The threshold, `NOTHING` or just above where not even the surest may
        stay. Those of at least this probability are to be kept.

    Raises:
        InputError: for a rate outside (0, 1).
    """
    if not 0 < rate < 1:
        raise InputError(
            f"A false-discovery rate lies between 0 and 1. Received: {rate}"
        )
    p = np.sort(np.asarray(probabilities, np.float64).ravel())[::-1]
    p = p[p >= floor]
    share = (beforehand + np.cumsum(1 - p)) / np.arange(1, len(p) + 1)
    # Equally probable ones stay or go together.
    last = np.diff(p, append=-1.0) < 0
    allowed = np.flatnonzero(last & (share <= rate))
    if len(allowed):
        return float(p[allowed[-1]])
    # Where some are counted beforehand, not even certain ones need stay.
    certain = len(p) > 0 and p[0] >= NOTHING
    return float(np.nextafter(NOTHING, 2)) if certain else NOTHING
