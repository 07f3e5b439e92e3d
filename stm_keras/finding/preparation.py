"""From a file's maps to what a network takes: levelled, at its pixel."""

from collections.abc import Sequence

import numpy as np

from stm_keras.errors import InputError
from stm_keras.finding.rings import ring_wave_numbers, seen_rings
from stm_keras.io.cleaning.cleaning import clean
from stm_keras.io.cleaning.cleaning_options import CleaningOptions, Level
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.resampling import resample

MIDDLE_RAD_PX = 1.1
"""Where rings are moved to: near the middle of 0.6 to 2.2 rad/px, as a ratio;
best for simulated topographs, see docs/experiments.md, 12."""

_SQUARE = 0.02
"""Largest relative difference of the sides of a pixel that counts as square."""


def level(maps: ConductanceMaps, levelling: Level) -> ConductanceMaps:
    """Level maps and take their noisy scan lines as not measured.

    Args:
        maps: the maps.
        levelling: see `CleaningOptions`; "none" leaves the maps as they are.

    Raises:
        InputError: for an unknown word, or where nothing is left of a map.
    """
    masked = levelling != "none"
    return clean(maps, CleaningOptions(levelling, mask_lines=masked))


def to_network_pixel(
    maps: ConductanceMaps,
    ring_rad_px: tuple[float, float],
    surface: str | None,
) -> ConductanceMaps:
    """Resample so that the rings have the wave number of the training.

    Args:
        maps: levelled maps.
        ring_rad_px: least and greatest 2k of the training [rad/px].
        surface: see `ring_wave_numbers`.

    Returns:
        Maps whose middle 2k is the middle of `ring_rad_px`, in rad/px.

    Raises:
        InputError: see `ring_wave_numbers`, and where the frame is too small.
    """
    ring_per_nm, note = ring_wave_numbers(maps, surface)
    maps = maps.with_data(maps.data, note)
    finest = np.pi / ring_per_nm.max()
    if max(maps.pixel_nm) > finest:
        maps = maps.with_data(
            maps.data,
            f"warning: pixels of {max(maps.pixel_nm):.3g} nm cannot show the "
            f"waves, which need {finest:.3g} nm or less; what is found is not "
            "to be trusted",
        )
    return resample(maps, network_pixel_nm(ring_per_nm, ring_rad_px))


def to_known_pixel(
    maps: ConductanceMaps,
    ring_rad_px: tuple[float, float],
    surface: str | None,
) -> ConductanceMaps:
    """Resample, if need be, so that the rings lie within those of a training.

    A network that is told the wave numbers takes any pixel that it was
    trained on; square ones with rings well inside the training's are left as
    they are.

    Args:
        maps: levelled maps.
        ring_rad_px: least and greatest 2k of the training [rad/px].
        surface: see `ring_wave_numbers`.

    Returns:
        Maps whose rings lie within `ring_rad_px`, if those of one stack can.

    Raises:
        InputError: see `to_network_pixel`.
    """
    low, high = ring_rad_px
    ring_per_nm, _ = ring_wave_numbers(maps, surface)
    down, right = maps.pixel_nm
    square = abs(down - right) < _SQUARE * right
    rings = ring_per_nm * (down + right) / 2
    if square and low <= rings.min() and rings.max() <= high:
        return maps
    middle = MIDDLE_RAD_PX
    # A wide stack may need the middle moved to have both ends inside.
    widest = ring_per_nm.max() / ring_per_nm.mean()
    middle = min(middle, high / widest)
    return to_network_pixel(maps, (middle, middle), surface)


def to_likely_pixel(
    maps: ConductanceMaps,
    ring_rad_px: tuple[float, float],
    surface: str | None,
) -> ConductanceMaps:
    """Resample for a network that is not told the wave numbers.

    Args:
        maps: levelled maps.
        ring_rad_px: see `to_known_pixel`.
        surface: see `ring_wave_numbers`.

    Returns:
        As of `to_known_pixel`; where no ring is seen and no surface named,
        the maps at their own pixel, made square, with a warning.

    Raises:
        InputError: see `to_network_pixel`.
    """
    note = "the network is not told the wave numbers"
    maps = maps.with_data(maps.data, note)
    if surface is not None or seen_rings(maps):
        return to_known_pixel(maps, ring_rad_px, surface)
    down, right = maps.pixel_nm
    if abs(down - right) > _SQUARE * right:
        maps = resample(maps, float(np.sqrt(down * right)))
    low, high = (2 * np.pi / q for q in reversed(ring_rad_px))
    return maps.with_data(
        maps.data,
        "warning: no ring of standing waves stands out, so the maps stay at "
        "their pixel; what is found is not to be trusted unless their waves "
        f"(half a wavelength of the electrons) are {low:.2g} to {high:.2g} px "
        "long",
    )


def network_pixel_nm(
    ring_per_nm: np.ndarray, ring_rad_px: tuple[float, float]
) -> float:
    """The pixel at which rings have the wave number of the training.

    Args:
        ring_per_nm: 2k of each map [rad/nm].
        ring_rad_px: least and greatest 2k of the training [rad/px].

    Returns:
        Side of a pixel [nm]; the middle of one range is that of the other.
    """
    middle = (ring_per_nm.min() + ring_per_nm.max()) / 2
    return float(sum(ring_rad_px) / 2 / middle)


def tiles_of(
    maps: Sequence[np.ndarray], *, size_px: int, n_voltages: int
) -> list[np.ndarray]:
    """Cut stacks into the square tiles that the entropy loss is shown.

    Tiles overlap by half, so that every place is seen in more than one
    surrounding; tiles with unmeasured pixels are left out.

    Args:
        maps: stacks [V, H, W], of differing V perhaps.
        size_px: side of a tile [px].
        n_voltages: maps to keep of each stack, evenly spaced; the smallest
            stack may have fewer, and then all keep as few.

    Returns:
        Tiles, float32 [V', size, size].

    Raises:
        InputError: where no whole tile fits.
    """
    kept = min(n_voltages, *(len(stack) for stack in maps))
    tiles = []
    for stack in maps:
        chosen = np.linspace(0, len(stack) - 1, kept).round().astype(int)
        height, width = stack.shape[1:]
        step = max(size_px // 2, 1)
        for row in range(0, height - size_px + 1, step):
            for col in range(0, width - size_px + 1, step):
                tile = stack[chosen, row : row + size_px, col : col + size_px]
                if np.isfinite(tile).all():
                    tiles.append(tile.astype(np.float32))
    if not tiles:
        raise InputError(
            f"The experiment has no measured area of {size_px} x {size_px} px "
            "at the network's pixel: give a larger frame."
        )
    return tiles
