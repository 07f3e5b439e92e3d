"""Cleaning of maps: its steps, in the order in which they are taken.

Each step takes and gives maps and records itself in `provenance`. NaN is "not
measured": it never weighs in a fit, and no step fills it in.
"""

from stm_keras.io.cleaning.bad_lines import mask_bad_lines
from stm_keras.io.cleaning.cleaning_options import CleaningOptions
from stm_keras.io.cleaning.levelling import (
    level_line_differences,
    level_lines,
    level_plane,
    level_quadratic,
)
from stm_keras.io.cleaning.registration import register
from stm_keras.io.cleaning.set_point import divide_by_i_over_v, normalise_each
from stm_keras.io.cleaning.streaks import mask_streaks
from stm_keras.io.cleaning.tip_jumps import correct_tip_jumps
from stm_keras.io.maps import ConductanceMaps

__all__ = [
    "clean",
    "correct_tip_jumps",
    "level_line_differences",
    "level_lines",
    "level_plane",
    "level_quadratic",
    "mask_bad_lines",
    "mask_streaks",
    "register",
]


def clean(
    maps: ConductanceMaps,
    options: CleaningOptions,
    *,
    current: ConductanceMaps | None = None,
    reference: ConductanceMaps | None = None,
) -> ConductanceMaps:
    """Take the cleaning steps that are switched on.

    In this order: division by I/V or by the mean, while the numbers are the
    file's own; tip jumps, as they would bend a plane; levelling; noisy and
    dead lines, then streaks, which are judged against a level surface; drift
    between maps, which needs them clean; division by the spread, which what
    was cleaned away would have widened.

    Args:
        maps: the maps, as read.
        options: the steps.
        current: the current of each map [A], of the same shape, for
            "feenstra".
        reference: maps taken at the same time, one a map, that show the
            drift better, such as topographs; None takes the maps.

    Returns:
        The maps, `provenance` telling each step in order.

    Raises:
        InputError: as the steps do, and where "feenstra" has no `current`.
    """
    if options.normalise == "feenstra":
        maps = divide_by_i_over_v(maps, current)
    if options.normalise == "mean":
        # Levelled maps have lost their mean.
        maps = normalise_each(maps, "mean")
    if options.tip_jumps:
        maps = correct_tip_jumps(maps)
    if options.level in ("plane", "lines", "line-differences"):
        maps = level_plane(maps)
    if options.level == "quadratic":
        maps = level_quadratic(maps)
    if options.level == "lines":
        maps = level_lines(maps)
    if options.level == "line-differences":
        maps = level_line_differences(maps)
    if options.mask_lines:
        maps = mask_bad_lines(maps)
    if options.streaks:
        maps = mask_streaks(maps)
    if options.register:
        maps = register(maps, reference=reference)
    if options.normalise == "std":
        maps = normalise_each(maps, "std")
    return maps
