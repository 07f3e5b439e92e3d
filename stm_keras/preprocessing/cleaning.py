"""Cleaning of maps: its steps, in the order in which they are taken.

Each step takes and gives maps and records itself in `provenance`. NaN is "not
measured": it never weighs in a fit, and no step fills it in.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, NamedTuple, get_args

import numpy as np
from scipy import ndimage

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.drift import register
from stm_keras.preprocessing.hot_pixels import mask_hot_pixels
from stm_keras.preprocessing.regions import labelled
from stm_keras.preprocessing.tall import MAD_TO_STD, clip_tall
from stm_keras.preprocessing.terraces import level_terraces

Level = Literal["none", "plane", "quadratic", "lines", "line-differences"]
Normalise = Literal["none", "mean", "std", "feenstra"]
LEVELS: tuple[Level, ...] = get_args(Level)
NORMALISATIONS: tuple[Normalise, ...] = get_args(Normalise)


@dataclass(frozen=True)
class CleaningOptions:
    """A switch for each cleaning step.

    Attributes:
        level: "plane" subtracts a plane from every map, "quadratic" a
            polynomial of second order; "lines" the plane, and the median of
            every scan line; "line-differences" the plane, and offsets of the
            lines from the median of differences between neighbours; "none"
            nothing.
        mask_lines: take noisy and dead scan lines as not measured.
        terraces: find terraces, bring them to one height, and take the steps
            between them as not measured.
        clip: clip tall objects, see `tall.clip_tall`.
        leave_out: leave out maps of a stack that show nothing of what the
            others show, see `quality.MapQuality`; a detector does that, at
            its pixel.
        tip_jumps: find tip jumps and take out their offsets.
        streaks: take horizontal streaks shorter than a line as not measured.
        register: find the drift between the maps and take it out.
        normalise: "mean" and "std" divide every map by that of its own,
            "feenstra" by I/V; "none" does nothing.

    Raises:
        InputError: for a word that names no levelling or normalisation.
    """

    level: Level = "plane"
    mask_lines: bool = True
    tip_jumps: bool = False
    streaks: bool = False
    register: bool = False
    terraces: bool = True
    clip: bool = True
    leave_out: bool = True
    normalise: Normalise = "none"

    def __post_init__(self) -> None:
        """Check the words."""
        for name, value, known in (
            ("levelling", self.level, LEVELS),
            ("normalisation", self.normalise, NORMALISATIONS),
        ):
            if value not in known:
                raise InputError(
                    f"Unknown {name}: {value!r}. Known: {', '.join(known)}."
                )

    @classmethod
    def at_level(cls, level: Level) -> "CleaningOptions":
        """What goes with a levelling: with "none", maps stay as they are.

        Raises:
            InputError: for an unknown word.
        """
        some = level != "none"
        return cls(
            level, mask_lines=some, terraces=some, clip=some, leave_out=some
        )


# Below this share of a map's median current, I/V is the preamplifier's offset
# and noise: the quotient would be large, of any sign, and mean nothing.
_LEAST_CURRENT_SHARE = 0.05


def divide_by_i_over_v(
    maps: ConductanceMaps, current: ConductanceMaps | None
) -> ConductanceMaps:
    """(dI/dV) / (I/V), pixel by pixel.

    Args:
        maps: dI/dV [S or A/V], as measured (not levelled). A lock-in's output
            in another unit keeps that unit over S.
        current: I [A] of the same shape and biases.

    Returns:
        The quotient; where the current is below 5 % of its map's median
        size, or has the other sign than that median, the pixel is NaN.

    Raises:
        InputError: without a current, for one of another shape or other
            biases, or for a map at 0 V.
    """
    if current is None:
        raise InputError(
            f"{maps.source}: dividing by I/V needs the current of each map, "
            "and there is none. Take the normalisation by mean or std."
        )
    if current.shape != maps.shape or not np.allclose(
        current.bias_v, maps.bias_v, rtol=1e-6, atol=1e-9
    ):
        raise InputError(
            f"{maps.source}: the current has the shape {current.shape} and "
            f"the maps {maps.shape}, or their biases differ. Give the current "
            "of the same maps."
        )
    if not maps.bias_v.all():
        raise InputError(
            f"{maps.source}: map {int(np.argmin(maps.bias_v != 0))} was taken "
            "at 0 V, where I/V is not defined. Leave it out."
        )
    data = current.data.astype(np.float64)
    median = np.nanmedian(data, axis=(1, 2), keepdims=True)
    with np.errstate(invalid="ignore"):
        usable = data * np.sign(median) > _LEAST_CURRENT_SHARE * np.abs(median)
    ratio = np.where(usable, data, np.nan) / maps.bias_v[:, None, None]
    lost = int((~usable & ~np.isnan(maps.data)).sum())
    note = f"divided by I/V (current: {current.channel or 'given'})"
    if lost:
        note += f"; {lost} pixels of too little current not measured"
    unit = "" if maps.unit in ("S", "A/V") else f"{maps.unit}/S".lstrip("/")
    return replace(maps.with_data(maps.data / ratio, note), unit=unit)


def normalise_each(
    maps: ConductanceMaps, by: Literal["mean", "std"]
) -> ConductanceMaps:
    """Divide every map by its own mean or standard deviation.

    Args:
        maps: the maps, before levelling where `by` is "mean".
        by: of the measured pixels; the mean is that of the maps' size, so
            that signs stay.

    Returns:
        Maps without a unit.

    Raises:
        InputError: where a map's mean is smaller than a tenth of its standard
            deviation, as after levelling.
    """
    data = maps.data.astype(np.float64)
    spread = np.nanstd(data, axis=(1, 2), keepdims=True)
    divisor = spread
    if by == "mean":
        divisor = np.abs(np.nanmean(data, axis=(1, 2), keepdims=True))
        if (small := divisor < 0.1 * spread).any():
            raise InputError(
                f"{maps.source}: map {int(np.argmax(small))} has a mean near "
                "zero and cannot be divided by it. Normalise before "
                "levelling, or by std."
            )
    note = f"each map divided by its {by}"
    return replace(maps.with_data(data / divisor, note), unit="")


def level_plane(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract from every map the plane that fits it in least squares.

    Args:
        maps: the maps; the fit uses their measured pixels alone.

    Raises:
        InputError: where a map is a plane and nothing is left.
    """
    return _without_polynomial(maps, order=1, note="plane subtracted")


def level_quadratic(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract from every map the polynomial of second order that fits it.

    Its six terms follow the bow of a piezo tube; use it where the plane
    leaves one, as it also takes out part of waves as long as the frame.

    Args:
        maps: the maps; the fit uses their measured pixels alone.

    Raises:
        InputError: where nothing is left of a map.
    """
    note = "polynomial of second order subtracted"
    return _without_polynomial(maps, order=2, note=note)


def level_lines(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract from every scan line its median.

    Args:
        maps: the maps; lines without a measured pixel stay NaN.

    Raises:
        InputError: where nothing but line offsets is in a map.
    """

    def without_offsets(image: np.ndarray) -> np.ndarray:
        measured = ~np.isnan(image).all(axis=1)
        levelled = image.copy()
        levelled[measured] -= np.nanmedian(
            image[measured], axis=1, keepdims=True
        )
        return levelled

    return _map_by_map(maps, without_offsets, "median of each line subtracted")


def level_line_differences(maps: ConductanceMaps) -> ConductanceMaps:
    """Subtract line offsets found from the differences of neighbouring lines.

    The offset of a line against the one before is the median, over the
    columns measured in both, of their difference ("median of differences" in
    Gwyddion). An impurity is in both lines and cancels, so this holds where
    impurities cover half of a line, at which its own median is one of them.
    Errors add up from line to line: the straight part of the summed offsets
    is a tilt, which is left to the plane.

    Args:
        maps: the maps. Across unmeasured lines the two nearest measured ones
            count as neighbours; such without a column in common start anew,
            at their own medians' difference.

    Raises:
        InputError: where nothing but line offsets is in a map.
    """

    def without_offsets(image: np.ndarray) -> np.ndarray:
        lines = np.flatnonzero(~np.isnan(image).all(axis=1))
        steps = [
            _step(image[first], image[second])
            for first, second in pairwise(lines)
        ]
        offsets = np.cumsum([0.0, *steps])
        if lines.size > 2:
            trend = np.polynomial.Polynomial.fit(lines, offsets, 1)
            offsets -= trend(lines)
        levelled = image.copy()
        levelled[lines] -= offsets[:, np.newaxis]
        return levelled - np.nanmedian(levelled)

    note = "line offsets by the median of differences subtracted"
    return _map_by_map(maps, without_offsets, note)


def _step(first: np.ndarray, second: np.ndarray) -> float:
    """By how much the second line lies above the first."""
    difference = second - first
    if np.isnan(difference).all():
        return float(np.nanmedian(second) - np.nanmedian(first))
    return float(np.nanmedian(difference))


def _without_polynomial(
    maps: ConductanceMaps, *, order: int, note: str
) -> ConductanceMaps:
    _, height, width = maps.shape
    rows, cols = np.indices((height, width), dtype=np.float64)
    row, col = rows / height - 0.5, cols / width - 0.5
    terms = [np.ones_like(rows), row, col]
    if order == 2:
        terms += [row * row, row * col, col * col]
    basis = np.stack(terms, axis=-1)

    def levelled(image: np.ndarray) -> np.ndarray:
        measured = ~np.isnan(image)
        # Tiny numbers such as heights in m would be lost in the fit's limits.
        scale = np.nanmax(np.abs(image)) or 1.0
        solution = np.linalg.lstsq(basis[measured], image[measured] / scale)[0]
        return image - basis @ solution * scale

    return _map_by_map(maps, levelled, note)


def _map_by_map(
    maps: ConductanceMaps,
    step: Callable[[np.ndarray], np.ndarray],
    note: str,
) -> ConductanceMaps:
    """Apply a step to every map in float64, refusing to level all away."""
    result = np.empty_like(maps.data)
    for index, image in enumerate(maps.data.astype(np.float64)):
        levelled = step(image)
        # What float32 cannot tell from nothing would be noise made large.
        rounding = 4 * np.finfo(np.float32).eps * np.nanmax(np.abs(image))
        if np.nanmax(np.abs(levelled)) <= rounding:
            raise InputError(
                f"{maps.source}: map {index} ({maps.bias_v[index]:g} V) is "
                f"flat once levelled ({note}). Choose another channel or "
                "leave this map out."
            )
        result[index] = levelled
    return maps.with_data(result, note)


# A line is noisy where the median size of its curvature (Laplacian of
# Gaussian, so about one pixel in scale) stands out from that of the lines
# around it by this factor and this many robust standard deviations.
_NOISE_SIGMA_PX = 1.0
_NOISY_FACTOR = 1.5
_NOISY_DEVIATIONS = 5.0
_LINES_AROUND = 31
_MIN_LINES = 16  # with fewer there is no telling what is usual
_MAX_MASKED_SHARE = 0.25


def mask_bad_lines(maps: ConductanceMaps) -> ConductanceMaps:
    """Take noisy and dead scan lines as not measured, and report the rest.

    A dead line holds one value from end to end. A noisy line's median
    curvature stands out from that of the lines around it; the median is not
    moved by impurities, which cover a small part of a line. Beside very
    noisy lines up to two more may go on either side. Where more than a
    quarter of a map's lines would go, its noisy ones stay.

    Args:
        maps: the maps. Bands that are NaN stay so and are reported.

    Returns:
        Maps with those lines NaN; `provenance` names the lines of each map.
    """
    data = maps.data.copy()
    found: list[str] = []
    for index, image in enumerate(data):
        unmeasured = np.isnan(image).all(axis=1)
        dead = ~unmeasured & (np.ptp(image, axis=1) == 0)
        noisy = _noisy_lines(image, ~unmeasured & ~dead)
        image[dead | noisy] = np.nan
        for lines, name in (
            (unmeasured, "not measured"),
            (dead, "dead"),
            (noisy, "noisy"),
        ):
            if lines.any():
                found.append(f"map {index}: lines {ranges(lines)} {name}")
    if not found:
        return maps.with_data(data, "no bad lines found")
    return maps.with_data(data, "bad lines masked: " + "; ".join(found))


def _noisy_lines(image: np.ndarray, usable: np.ndarray) -> np.ndarray:
    """Lines whose noise stands out from the lines around them, bool [H]."""
    noisy = np.zeros(usable.size, dtype=bool)
    if usable.sum() < _MIN_LINES:
        return noisy
    lines = image[usable].astype(np.float64)
    lines -= np.nanmedian(lines, axis=1, keepdims=True)
    curvature = np.empty_like(lines)
    starts = np.diff(usable.astype(np.int8), prepend=0) == 1
    runs = np.cumsum(starts)[usable]
    # Run by run: across a gap, lines that are no neighbours make a step.
    for run in np.unique(runs):
        part = np.nan_to_num(lines[runs == run])
        curvature[runs == run] = np.abs(
            ndimage.gaussian_laplace(part, _NOISE_SIGMA_PX)
        )
    level = np.log(np.median(curvature, axis=1) + np.finfo(np.float64).tiny)
    excess = level - ndimage.median_filter(level, _LINES_AROUND, mode="nearest")
    spread = MAD_TO_STD * np.median(np.abs(excess))
    stands_out = excess > max(np.log(_NOISY_FACTOR), _NOISY_DEVIATIONS * spread)
    if stands_out.sum() <= _MAX_MASKED_SHARE * stands_out.size:
        noisy[np.flatnonzero(usable)[stands_out]] = True
    return noisy


def ranges(lines: np.ndarray) -> str:
    """Runs of lines, bool [H], as text, such as "0-3, 7"."""
    edges = np.flatnonzero(np.diff(lines.astype(np.int8), prepend=0, append=0))
    return ", ".join(
        f"{first}-{end - 1}" if end - first > 1 else f"{first}"
        for first, end in edges.reshape(-1, 2)
    )


# In robust standard deviations of the difference between neighbouring lines:
# all of a streak stands out by the lower, some of it by the higher (as in
# Gwyddion's "Mark Scars").
_SOFT = 1.0
_HARD = 3.0
_MOST_LINES = 2
_LEAST_LENGTH_PX = 4
_ALONG = np.array([[0, 0, 0], [1, 1, 1], [0, 0, 0]])


def mask_streaks(
    maps: ConductanceMaps, *, least_length_px: int = _LEAST_LENGTH_PX
) -> ConductanceMaps:
    """Take horizontal streaks as not measured.

    A streak is one or two lines thick and lies above both its neighbours, or
    below both, over its whole length, by more than these differ from the
    lines beyond them: the top of an impurity or a wave is as high above its
    neighbours, but they slope.

    Args:
        maps: the maps, levelled.
        least_length_px: shorter ones are left: they may be impurities.

    Returns:
        Maps with those pixels NaN; `provenance` has the number of streaks and
        pixels of each map that has any.
    """
    data = maps.data.copy()
    found: list[str] = []
    for index, image in enumerate(data):
        streaks = _streaks(image.astype(np.float64), least_length_px)
        # A map that would be all gone is another matter than streaks.
        if not streaks.any() or (streaks | np.isnan(image)).all():
            continue
        number = labelled(streaks)[1]
        image[streaks] = np.nan
        found.append(f"map {index}: {number} ({int(streaks.sum())} px)")
    if not found:
        return maps.with_data(data, "no streaks found")
    return maps.with_data(data, "streaks masked: " + "; ".join(found))


def _streaks(image: np.ndarray, least_length_px: int) -> np.ndarray:
    """Pixels of streaks of either sign, bool [H, W]."""
    streaks = np.zeros(image.shape, dtype=bool)
    differences = np.abs(np.diff(image, axis=0))
    if not np.isfinite(differences).any():
        return streaks
    spread = MAD_TO_STD * float(np.nanmedian(differences))
    if not spread > 0:
        return streaks
    for signed in (image, -image):
        # A band needs a line above it and one below.
        for lines in range(1, min(_MOST_LINES, len(image) - 2) + 1):
            excess = _excess(signed, lines) / spread
            streaks |= _runs(excess, lines, least_length_px)
    return streaks


def _excess(image: np.ndarray, lines: int) -> np.ndarray:
    """How far bands of lines lie above both neighbours, [H - lines - 1, W].

    Less the slope of the neighbours. NaN, where any of them is not measured,
    compares as no excess.
    """
    count = image.shape[0] - lines - 1
    band = np.min([image[1 + k : 1 + k + count] for k in range(lines)], axis=0)
    around = np.maximum(image[:count], image[lines + 1 :])
    slope = np.abs(np.diff(image, axis=0))
    beside = np.zeros_like(band)
    beside[1:] = np.nan_to_num(slope[: count - 1])
    beside[:-1] = np.maximum(
        beside[:-1], np.nan_to_num(slope[lines + 1 : lines + count])
    )
    return band - around - beside


def _runs(excess: np.ndarray, lines: int, least_length_px: int) -> np.ndarray:
    """Long horizontal runs of an excess, as pixels of the map."""
    height = excess.shape[0] + lines + 1
    marked = np.zeros((height, excess.shape[1]), dtype=bool)
    labels, number = labelled(excess > _SOFT, _ALONG)
    if not number:
        return marked
    sizes = np.bincount(labels.ravel(), minlength=number + 1)
    highest = ndimage.maximum(excess, labels, np.arange(1, number + 1))
    good = np.zeros(number + 1, dtype=bool)
    good[1:] = (sizes[1:] >= least_length_px) & (np.asarray(highest) > _HARD)
    runs = good[labels]
    for k in range(lines):
        marked[1 + k : 1 + k + runs.shape[0]] |= runs
    return marked


_DEVIATIONS = 6.0  # of a step against those between all other lines
# A step smaller than this part of the map's own spread does no harm.
_LEAST_SHARE = 0.2
_LINES = 8  # on either side, over which a jump persists
_PERSISTING_SHARE = 0.5
_CONTRAST_FACTOR = 1.25  # what is worth saying


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
        _DEVIATIONS * MAD_TO_STD * float(np.median(np.abs(step))),
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
    spread = MAD_TO_STD * np.nanmedian(np.abs(centred), axis=1)
    return spread + np.finfo(np.float64).tiny


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

    First, hot single pixels are taken as not measured, whatever is switched
    on: one would bend every plane and hide all else. Then in this order:
    division by I/V or by the mean, while the numbers are the file's own; tip
    jumps and terraces, as they would bend a plane; levelling; noisy and dead
    lines, then streaks, which are judged against a level surface; drift
    between maps, which needs them clean; tall objects, and division by the
    spread, which what was cleaned away would have widened.

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
    maps = mask_hot_pixels(maps)
    if options.normalise == "feenstra":
        maps = divide_by_i_over_v(maps, current)
    if options.normalise == "mean":
        # Levelled maps have lost their mean.
        maps = normalise_each(maps, "mean")
    if options.tip_jumps:
        maps = correct_tip_jumps(maps)
    if options.terraces:
        maps = level_terraces(maps)
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
    if options.clip:
        maps = clip_tall(maps)
    if options.normalise == "std":
        maps = normalise_each(maps, "std")
    return maps
