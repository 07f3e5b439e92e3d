"""What else is in a map: waves from outside of the frame, and a background.

Scatterers outside of the field of view send waves into it. They are taken
for by weak sources on rings of a coarse grid around the frame, each with a
complex amplitude of its own under a common prior; what varies slower than
any wave, by low two-dimensional cosines. Both are marginalised, so that no
result depends on a value of theirs.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.waves.hankel import ROWS, STEP, Places, look_up
from stm_keras.waves.model import Medium, damped_waves, distances

_RINGS = ((0.6, 1.2, 1.0), (1.7, 1.6, 1.4), (3.4, 2.3, 2.2), (6.4, 3.4, 4.0))
"""Rings of sources: distance from the frame, spacing along the ring and
width that a ring stands for, in periods 2 pi / q of the waves."""

_CUTOFF = 0.25
"""Highest wave number of the background as a share of q."""

BACKGROUND_VARIANCE = 10.0
"""Prior variance of each cosine, for maps of variance 1: nearly free."""


class Sources(NamedTuple):
    """Places that stand for all that scatters outside of the frame.

    Attributes:
        positions: row and column, float64 [S, 2] [px].
        areas: of the surface that each stands for [px^2], [S].
    """

    positions: np.ndarray
    areas: np.ndarray


def sources_around(shape: tuple[int, int], period_px: float) -> Sources:
    """Sources on rounded rectangles around a frame.

    Args:
        shape: H, W of the frame [px].
        period_px: 2 pi / q, the shortest of the maps [px].
    """
    places, areas = [], []
    for distance, spacing, width in _RINGS:
        ring = _around(shape, distance * period_px, spacing * period_px)
        places.append(ring)
        areas.append(np.full(len(ring), spacing * width * period_px**2))
    return Sources(np.concatenate(places), np.concatenate(areas))


def _around(
    shape: tuple[int, int], distance: float, spacing: float
) -> np.ndarray:
    """Points on a rectangle with round corners [m, 2]."""
    height, width = shape
    top, left, bottom, right = -0.5, -0.5, height - 0.5, width - 0.5
    arc = np.pi / 2 * distance
    lengths = np.array([width, arc, height, arc, width, arc, height, arc])
    ends = np.concatenate([[0], np.cumsum(lengths)])
    count = max(round(ends[-1] / spacing), 4)
    points = []
    corners = {
        1: (top, right),
        3: (bottom, right),
        5: (bottom, left),
        7: (top, left),
    }
    for s in (np.arange(count) + 0.5) * ends[-1] / count:
        part = int(np.searchsorted(ends, s, "right") - 1)
        along = s - ends[part]
        if part in corners:
            angle = (part - 1) / 2 * np.pi / 2 + along / max(distance, 1e-9)
            row, col = corners[part]
            points.append(
                (row - distance * np.cos(angle), col + distance * np.sin(angle))
            )
        else:
            points.append(
                {
                    0: (top - distance, left + along),
                    2: (top + along, right + distance),
                    4: (bottom + distance, right - along),
                    6: (bottom - along, left - distance),
                }[part]
            )
    return np.array(points)


class Outside(NamedTuple):
    """Sources, and where their distances to the pixels lie in a table.

    Attributes:
        sources: see `Sources`.
        at: distances in steps of `step`, [S, P].
        step: of the table [px].
        most: the greatest distance [px].
    """

    sources: Sources
    at: Places
    step: float
    most: float

    @classmethod
    def none(cls) -> "Outside":
        """No source."""
        nothing = np.empty((0, 0), np.float32)
        places = Places(nothing.astype(np.intp), nothing)
        return cls(Sources(np.empty((0, 2)), np.empty(0)), places, 1.0, 1.0)

    @classmethod
    def of(cls, sources: Sources, pixels: np.ndarray, k: float) -> "Outside":
        """Sources about a frame.

        Args:
            sources: see `Sources`.
            pixels: row and column [P, 2] [px].
            k: the largest wave number of the maps [rad/px].
        """
        r, step = distances(sources.positions, pixels), STEP / k
        return cls(sources, Places.of(r, step), step, float(r.max(initial=1)))


def write_source_columns(
    out: np.ndarray,
    outside: Outside,
    medium: Medium,
    scattered: np.ndarray | None = None,
) -> None:
    """Waves of sources of amplitude 1 and i at pixels.

    These are dm/dc of impurities of amplitude 0, so that what the impurities
    in the frame make of the sources' waves is in it.

    Args:
        out: they are written here, float32 [2S, P].
        outside: the sources.
        medium: see `Medium`.
        scattered: kappa G g, what impurities scatter of the waves of each
            source, complex64 [S, P]; None for none.
    """
    table = damped_waves(outside.step, outside.most, medium)
    n, n_pixels = len(out) // 2, out.shape[1]
    u, spare = np.empty((2, ROWS, n_pixels), np.complex64)
    for first in range(0, n, ROWS):
        last = min(first + ROWS, n)
        own = slice(first, last)
        some = u[: last - first]
        at = Places(outside.at.cell[own], outside.at.part[own])
        look_up(table, at, some, spare)
        if scattered is not None:
            some += scattered[own]
        some *= some
        out[own] = some.real
        np.negative(some.imag, out=out[n + first : n + last])


def cosines(shape: tuple[int, int], pixels: np.ndarray, q: float) -> np.ndarray:
    """The smooth background's columns, float32 [b, P], of variance about 1.

    Args:
        shape: H, W of the frame [px].
        pixels: row and column [P, 2] [px].
        q: the least scattering wave vector of the maps [rad/px].
    """
    height, width = shape
    most = [max(int(_CUTOFF * q * side / np.pi), 1) for side in shape]
    down = np.arange(most[0] + 1)[:, None]
    right = np.arange(most[1] + 1)
    low = np.hypot(np.pi * down / height, np.pi * right / width)
    chosen = np.argwhere((low <= _CUTOFF * q) | ((down + right) <= 1))
    rows = np.cos(np.pi / height * np.outer(chosen[:, 0], pixels[:, 0] + 0.5))
    cols = np.cos(np.pi / width * np.outer(chosen[:, 1], pixels[:, 1] + 0.5))
    norm = np.sqrt(2.0) ** (chosen > 0).sum(axis=1)
    return (norm[:, None] * rows * cols).astype(np.float32)
