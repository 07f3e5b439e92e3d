"""From maps and positions of a file to what the fit of waves works on."""

from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.waves.masks import core_radii, outside_cores
from stm_keras.waves.normal import Scene
from stm_keras.waves.nuisance import Outside, cosines, sources_around

COARSEST_RAD_PX = 1.2
"""Pixels are joined as long as q stays below this [rad/px]."""

CLOSEST_PERIODS = 0.12
"""Two positions that are nearer are one place, in periods 2 pi / q."""


class Prepared(NamedTuple):
    """Maps at the fit's pixel, with what is the same for all of them.

    Attributes:
        maps: standardised outside of the cores, float32 [V, H, W].
        centre: subtracted from each map [V], in its unit.
        unit: by which each was divided [V].
        positions: [n, 2] [px of the fit].
        deviations: of these [n, 2] [px of the fit].
        radii: of the masks [n] [px of the fit].
        free: pixels used, bool [H, W].
        pixel_nm: of the fit [nm].
        joined: pixels of the file along a side of one of the fit's (2,).
        scene: see `Scene`.
        q_px: q = 2k of each map as given [V] [rad/px of the fit].
    """

    maps: np.ndarray
    centre: np.ndarray
    unit: np.ndarray
    positions: np.ndarray
    deviations: np.ndarray
    radii: np.ndarray
    free: np.ndarray
    pixel_nm: float
    joined: tuple[int, int]
    scene: Scene
    q_px: np.ndarray

    def in_file(self, positions: np.ndarray) -> np.ndarray:
        """Positions in pixels of the file."""
        return (positions + 0.5) * self.joined - 0.5


def prepare(
    maps: ConductanceMaps,
    positions_px: np.ndarray,
    deviations_px: np.ndarray,
    q_per_nm: np.ndarray,
    core_nm: np.ndarray | float | None,
) -> Prepared:
    """Join pixels, mask cores, standardise.

    Args:
        maps: as read or cleaned.
        positions_px: [n, 2] [px of the file].
        deviations_px: [n, 2] [px of the file].
        q_per_nm: of each map, all known [V] [rad/nm].
        core_nm: radius of the masks [nm], one or [n]; None takes it from the
            maps, object by object.

    Raises:
        InputError: where positions lie outside or at one place, or where
            nothing is left of the maps.
    """
    _check_positions(maps, positions_px, q_per_nm)
    down, right = maps.pixel_nm
    period_nm = 2 * np.pi / q_per_nm.max()
    finest = COARSEST_RAD_PX / q_per_nm.max()
    joined = max(int(finest / down), 1), max(int(finest / right), 1)
    data = _joined(maps.data, joined)
    pixel = down * joined[0], right * joined[1]
    if abs(pixel[0] / pixel[1] - 1) > 0.02:
        raise InputError(
            f"{maps.source}: waves are fitted in square pixels; these are "
            f"{down:.4g} x {right:.4g} nm. Resample the maps first."
        )
    pixel_nm = float(np.mean(pixel))
    positions = (positions_px + 0.5) / joined - 0.5
    period_px = period_nm / pixel_nm
    coarse = _centred(data)
    if core_nm is None:
        radii = core_radii(coarse, positions, period_px)
    else:
        radii = np.broadcast_to(
            np.asarray(core_nm, np.float64) / pixel_nm, (len(positions),)
        ).copy()
    shape = data.shape[1], data.shape[2]
    free = outside_cores(shape, positions, radii)
    free &= np.isfinite(data).any(axis=0)
    _check_pixels(maps.source, free, len(positions))
    centre, unit, standard = _standardised(data, free)
    pixels = np.argwhere(free).astype(np.float64)
    sources = sources_around(shape, period_px)
    scene = Scene(
        pixels,
        cosines(shape, pixels, q_per_nm.min() * pixel_nm),
        Outside.of(sources, pixels, q_per_nm.max() * pixel_nm / 2),
        shape,
    )
    return Prepared(
        standard,
        centre,
        unit,
        positions,
        np.maximum(deviations_px / np.asarray(joined), 1e-4),
        radii,
        free,
        pixel_nm,
        joined,
        scene,
        q_per_nm * pixel_nm,
    )


def remasked(
    maps: ConductanceMaps, before: Prepared, radii: np.ndarray
) -> Prepared:
    """The same with masks of other radii [n] [px of the fit]."""
    return prepare(
        maps,
        before.in_file(before.positions),
        before.deviations * before.joined,
        before.q_px / before.pixel_nm,
        radii * before.pixel_nm,
    )


def _check_positions(
    maps: ConductanceMaps, positions: np.ndarray, q_per_nm: np.ndarray
) -> None:
    if not len(positions):
        raise InputError(
            f"{maps.source}: no position was given, so there are no waves to "
            "fit. Give the impurities' positions."
        )
    if not np.isfinite(positions).all():
        raise InputError("Positions must be finite numbers [px].")
    _, height, width = maps.shape
    inside = (positions >= -0.5) & (positions < (height - 0.5, width - 0.5))
    if not inside.all():
        at = int(np.argmin(inside.all(axis=1)))
        row, col = positions[at]
        raise InputError(
            f"{maps.source}: position {at + 1} (row {row:.4g}, column "
            f"{col:.4g}) lies outside of the frame of {height} x {width} px. "
            "Are the positions those of this file, in pixels?"
        )
    apart = np.linalg.norm(
        (positions[:, None] - positions) * np.asarray(maps.pixel_nm), axis=-1
    )
    apart[np.diag_indices_from(apart)] = np.inf
    closest = CLOSEST_PERIODS * 2 * np.pi / q_per_nm.max()
    if apart.min() < closest:
        one, other = np.unravel_index(int(apart.argmin()), apart.shape)
        raise InputError(
            f"{maps.source}: positions {one + 1} and {other + 1} are "
            f"{apart.min():.3g} nm apart; waves cannot tell places nearer than "
            f"{closest:.2g} nm. Keep one of them."
        )


def _check_pixels(source: str, free: np.ndarray, n: int) -> None:
    left = int(free.sum())
    if left < 0.02 * free.size or left < 100:
        raise InputError(
            f"{source}: masks of the {n} cores leave {left} of {free.size} "
            "pixels. Give fewer positions, or a smaller radius."
        )
    if left < 6 * n:
        raise InputError(
            f"{source}: waves of {n} impurities are more unknowns than the "
            f"{left} pixels outside of the cores can tell. Give fewer."
        )


def _joined(data: np.ndarray, joined: tuple[int, int]) -> np.ndarray:
    """Means of blocks of pixels; NaN where most of a block is."""
    down, right = joined
    if joined == (1, 1):
        return data
    height, width = data.shape[1] // down, data.shape[2] // right
    blocks = data[:, : height * down, : width * right].reshape(
        len(data), height, down, width, right
    )
    known = np.isfinite(blocks)
    count = known.sum(axis=(2, 4))
    total = np.where(known, blocks, 0).sum(axis=(2, 4))
    enough = 2 * count > down * right
    return np.where(enough, total / np.maximum(count, 1), np.nan).astype(
        np.float32
    )


def _centred(data: np.ndarray) -> np.ndarray:
    """Maps of median 0 and equal robust spread."""
    middle = np.nanmedian(data, axis=(1, 2), keepdims=True)
    apart = data - middle
    width = np.nanmedian(np.abs(apart), axis=(1, 2), keepdims=True)
    return apart / np.where(width > 0, width, 1)


def _standardised(
    data: np.ndarray, free: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    values = data[:, free].astype(np.float64)
    centre = np.nanmean(values, axis=1)
    unit = np.nanstd(values, axis=1)
    unit = np.where(unit > 0, unit, 1.0)
    standard = (data - centre[:, None, None]) / unit[:, None, None]
    return centre, unit, standard.astype(np.float32)
