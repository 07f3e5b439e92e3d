"""Tip jumps: a new level, or a new contrast, from some line on."""

from typing import NamedTuple

import numpy as np

from stm_keras.io.maps import ConductanceMaps

_DEVIATIONS = 6.0  # of a step against those between all other lines
# A step smaller than this part of the map's own spread does no harm.
_LEAST_SHARE = 0.2
_LINES = 8  # on either side, over which a jump persists
_PERSISTING_SHARE = 0.5
_CONTRAST_FACTOR = 1.25  # what is worth saying
_MAD_TO_STD = 1.4826  # of a normal distribution


class TipJump(NamedTuple):
    """A jump of the tip.

    Attributes:
        line: the first line after it, counted from the top of the frame;
            where the frame was scanned upwards, the last before it.
        offset: step from the lines above to those below, in the maps' unit.
        contrast: spread of the lines below over that of those above, no unit.
    """

    line: int
    offset: float
    contrast: float


def find_tip_jumps(image: np.ndarray) -> list[TipJump]:
    """Find the jumps of a map.

    The step between two lines is the median, over the columns, of their
    difference, in which impurities cancel. A jump is a step that stands out
    by 6 robust standard deviations from the map's other steps and by a fifth
    of the map's spread, and that is still there in the median of the eight
    lines on either side: a single bad line is none.

    Args:
        image: a map [H, W]; NaN is "not measured", and the lines beside
            unmeasured ones count as neighbours.

    Returns:
        The jumps from top to bottom; none in maps of fewer than 16 lines, or
        within four lines of an edge.
    """
    lines = np.flatnonzero((~np.isnan(image)).sum(axis=1) >= 3)
    if lines.size < 2 * _LINES:
        return []
    rows = image[lines].astype(np.float64)
    difference = np.diff(rows, axis=0)
    usable = (~np.isnan(difference)).any(axis=1)
    step = np.zeros(len(difference))
    step[usable] = np.nanmedian(difference[usable], axis=1)
    step -= np.median(step)  # a tilt is no jump
    level = np.concatenate([[0.0], np.cumsum(step)])
    spread = np.log(_spreads(rows))
    large = np.abs(step) > max(
        _DEVIATIONS * _MAD_TO_STD * float(np.median(np.abs(step))),
        _LEAST_SHARE * float(_spreads(rows.reshape(1, -1))[0]),
    )
    return [
        TipJump(
            int(lines[place]),
            float(step[place - 1]),
            float(np.exp(_change(spread, place))),
        )
        for place in (np.flatnonzero(large) + 1).tolist()
        if min(place, len(rows) - place) >= _LINES // 2
        and _change(level, place) / step[place - 1] >= _PERSISTING_SHARE
    ]


def _change(values: np.ndarray, place: int) -> float:
    """From the lines above a place to those below, by their medians."""
    above = values[max(0, place - _LINES) : place]
    below = values[place : place + _LINES]
    return float(np.median(below) - np.median(above))


def correct_tip_jumps(maps: ConductanceMaps) -> ConductanceMaps:
    """Take the offsets of tip jumps out, and tell all that was found.

    The lines below a jump are shifted by its offset as a whole. A change of
    contrast is told and left: what the new tip sees cannot be known.

    Args:
        maps: the maps, not levelled line by line.

    Returns:
        The maps; `provenance` has line, offset and contrast of each jump,
        with a warning where there is any.
    """
    data = maps.data.astype(np.float64)
    found: list[str] = []
    for index, image in enumerate(data):
        for jump in find_tip_jumps(image):
            image[jump.line :] -= jump.offset
            found.append(f"map {index}: {_told(jump, maps.unit)}")
    if not found:
        return maps.with_data(maps.data, "no tip jumps found")
    note = "warning: the tip jumped, offsets taken out: " + "; ".join(found)
    return maps.with_data(data, note)


def _told(jump: TipJump, unit: str) -> str:
    text = f"line {jump.line} by {jump.offset:.3g} {unit}".rstrip()
    factor = max(jump.contrast, 1 / jump.contrast)
    if factor > _CONTRAST_FACTOR:
        text += f", contrast times {jump.contrast:.2f} (left)"
    return text


def _spreads(rows: np.ndarray) -> np.ndarray:
    """Robust standard deviation of each row, above zero, [H]."""
    centred = rows - np.nanmedian(rows, axis=1, keepdims=True)
    spread = _MAD_TO_STD * np.nanmedian(np.abs(centred), axis=1)
    return spread + np.finfo(np.float64).tiny
