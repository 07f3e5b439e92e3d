"""A stack of maps made ready for a network."""

import dataclasses
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.maps import (
    ConductanceMaps,
    Region,
    crop,
    keep_biases,
    resample,
    with_square_pixels,
)
from stm_keras.preprocessing.cleaning import CleaningOptions, Level, clean
from stm_keras.qpi.dispersion import q_of_stack, visible_rings
from stm_keras.surfaces import surface

TilingName = Literal["overlap", "paper"]
TILINGS: tuple[TilingName, ...] = ("overlap", "paper")


@dataclass(frozen=True)
class PredictOptions:
    """How to find impurities.

    Attributes:
        surface: whose k(V) sets the pixel, see `surfaces.surface`; None
            measures the ring.
        cleaning: what is done to the maps before the network sees them.
        tiling: "overlap" blends large tiles that share a border; "paper" puts
            tiles of the training's size edge to edge (arXiv:2006.15898).
        threshold: least S of a detection, in standard deviations of S above
            its mean, or its least probability with `context`; None takes the
            model card's, and its floor as well.
        region: the part of the frame that is searched.
        bias_range_v: least and greatest bias [V] of the maps that are
            searched; None takes all.
        false_discovery_rate: with `context`, expected share of false ones
            among all that are kept, which then decides alone; None takes
            the card's rule.
        surrogates: with `context`, how many phase-randomised surrogate maps
            are made of the user's own to count what is found in them; None
            takes five, and fewer of a large frame, which holds as much as
            several.
        give_q: with `context`, give it the scattering wave vector of every
            map.
        waves: with `context`, let the waves around each candidate have their
            say, see `stm_keras.waves.judge`.
        fit_rings: with `context`, let a fit of rings to all maps have its
            say where it may be believed.
    """

    surface: str | None = None
    cleaning: CleaningOptions = field(default_factory=CleaningOptions)
    tiling: TilingName = "overlap"
    threshold: float | None = None
    region: Region = field(default_factory=Region)
    bias_range_v: tuple[float, float] | None = None
    false_discovery_rate: float | None = None
    surrogates: int | None = None
    give_q: bool = True
    fit_rings: bool = True
    waves: bool = False

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
        rate = self.false_discovery_rate
        if rate is not None and not 0 < rate < 1:
            raise InputError(
                "`false_discovery_rate` must lie between 0 and 1. "
                f"Received: {rate:g}"
            )
        if rate is not None and self.threshold is not None:
            raise InputError(
                "Give a threshold or a false-discovery rate, not both: each "
                "decides what counts."
            )
        if self.surrogates is not None and self.surrogates < 0:
            raise InputError(
                f"`surrogates` must be >= 0. Received: {self.surrogates}"
            )

    def as_fields(self) -> dict[str, Any]:
        """What a result says of them, as JSON has it."""
        return {
            "surface": self.surface,
            "cleaning": dataclasses.asdict(self.cleaning),
            "tiling": self.tiling,
            "threshold": self.threshold,
            "false_discovery_rate": self.false_discovery_rate,
            "waves": self.waves,
        }


@dataclass(frozen=True, eq=False)
class Companions:
    """Maps measured together with those that are searched, one a map.

    Attributes:
        current: the current [A], for the normalisation "feenstra".
        reference: what shows the drift better, such as topographs.
    """

    current: ConductanceMaps | None = None
    reference: ConductanceMaps | None = None


MIDDLE_RAD_PX = 1.1
"""Where rings are moved to: near the middle of 0.6 to 2.2 rad/px, as a ratio;
best for simulated topographs, see docs/experiments.md, 12."""


def level(maps: ConductanceMaps, levelling: Level) -> ConductanceMaps:
    """Level maps, terraces too, and take noisy lines as not measured.

    Args:
        maps: the maps.
        levelling: see `CleaningOptions`; "none" leaves the maps as they are.

    Raises:
        InputError: for an unknown word, or where nothing is left of a map.
    """
    # A clipped core is a disc, whose edge rings in a Fourier transform.
    options = replace(CleaningOptions.at_level(levelling), clip=False)
    return clean(maps, options)


def to_network_pixel(
    maps: ConductanceMaps,
    q_range_rad_px: tuple[float, float],
    surface: str | None,
) -> ConductanceMaps:
    """Resample so that the rings have the wave number of the training.

    Args:
        maps: levelled maps.
        q_range_rad_px: least and greatest q = 2k of the training [rad/px].
        surface: see `q_of_stack`.

    Returns:
        Maps whose middle q = 2k is the middle of `q_range_rad_px`, in rad/px.

    Raises:
        InputError: see `q_of_stack`, and where the frame is too small.
    """
    q_per_nm, note = q_of_stack(maps, surface)
    maps = maps.with_data(maps.data, note)
    finest = np.pi / q_per_nm.max()
    if max(maps.pixel_nm) > finest:
        maps = maps.with_data(
            maps.data,
            f"warning: pixels of {max(maps.pixel_nm):.3g} nm cannot show the "
            f"waves, which need {finest:.3g} nm or less; what is found is not "
            "to be trusted",
        )
    return resample(maps, network_pixel_nm(q_per_nm, q_range_rad_px))


def to_known_pixel(
    maps: ConductanceMaps,
    q_range_rad_px: tuple[float, float],
    surface: str | None,
) -> ConductanceMaps:
    """Resample, if need be, so that the rings lie within those of a training.

    A network that is given q takes any pixel that it was
    trained on; those of unlike sides are made square, and square ones with
    rings well inside the training's are left as they are.

    Args:
        maps: levelled maps.
        q_range_rad_px: least and greatest q = 2k of the training [rad/px].
        surface: see `q_of_stack`.

    Returns:
        Maps whose rings lie within `q_range_rad_px`, if those of one stack can.

    Raises:
        InputError: see `to_network_pixel`.
    """
    low, high = q_range_rad_px
    q_per_nm, _ = q_of_stack(maps, surface)
    square = with_square_pixels(maps)
    rings = q_per_nm * np.mean(square.pixel_nm)
    if low <= rings.min() and rings.max() <= high:
        return square
    middle = MIDDLE_RAD_PX
    # A wide stack may need the middle moved to have both ends inside.
    widest = q_per_nm.max() / q_per_nm.mean()
    middle = min(middle, high / widest)
    return to_network_pixel(maps, (middle, middle), surface)


def to_likely_pixel(
    maps: ConductanceMaps,
    q_range_rad_px: tuple[float, float],
    surface: str | None,
) -> ConductanceMaps:
    """Resample for a network that is not given q.

    Args:
        maps: levelled maps.
        q_range_rad_px: see `to_known_pixel`.
        surface: see `q_of_stack`.

    Returns:
        As of `to_known_pixel`; where no ring is seen and no surface named,
        the maps at their own pixel, made square, with a warning.

    Raises:
        InputError: see `to_network_pixel`.
    """
    note = "the network is not given q"
    maps = maps.with_data(maps.data, note)
    if surface is not None or visible_rings(maps):
        return to_known_pixel(maps, q_range_rad_px, surface)
    maps = with_square_pixels(maps)
    low, high = (2 * np.pi / q for q in reversed(q_range_rad_px))
    return maps.with_data(
        maps.data,
        "warning: no ring of standing waves stands out, so the maps stay at "
        "their pixel; what is found is not to be trusted unless their waves "
        f"(half a wavelength of the electrons) are {low:.2g} to {high:.2g} px "
        "long",
    )


def network_pixel_nm(
    q_per_nm: np.ndarray, q_range_rad_px: tuple[float, float]
) -> float:
    """The pixel at which rings have the wave number of the training.

    Args:
        q_per_nm: q = 2k of each map [rad/nm].
        q_range_rad_px: least and greatest q = 2k of the training [rad/px].

    Returns:
        Side of a pixel [nm]; the middle of one range is that of the other.
    """
    middle = (q_per_nm.min() + q_per_nm.max()) / 2
    return float(sum(q_range_rad_px) / 2 / middle)


def tiles_of(
    maps: Sequence[np.ndarray], *, size_px: int, n_voltages: int
) -> list[np.ndarray]:
    """Cut stacks into the square tiles of the entropy loss.

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


@dataclass(frozen=True, eq=False)
class PreparedMaps:
    """Maps as a network takes them, and what they were made of.

    Attributes:
        origin_px: row and column in the file of the part's top left pixel.
        part: the part of the file's maps that is searched, by rising bias.
        levelled: the same, cleaned.
        ready: the same at the network's pixel.
        q_per_nm: the scattering wave vector q = 2k that the network is given
            [rad/nm], float64 [V], 0 where it is unknown; None for a network
            that does not take it.
    """

    origin_px: tuple[int, int]
    part: ConductanceMaps
    levelled: ConductanceMaps
    ready: ConductanceMaps
    q_per_nm: np.ndarray | None

    @property
    def scale(self) -> np.ndarray:
        """The file's pixels in one of the network's, rows and columns."""
        return np.divide(self.ready.pixel_nm, self.part.pixel_nm)

    def to_file_pixels(self, positions: np.ndarray) -> np.ndarray:
        """Positions [n, 2] at the network's pixel, in pixels of the file."""
        positions = (positions + 0.5) * self.scale - 0.5
        last = np.asarray(self.part.shape[1:]) - 0.5
        # A maximum at the border may be refined to beyond the frame.
        return np.clip(positions, -0.5, last) + self.origin_px


class Cut(NamedTuple):
    """A part of a file's maps; see `PreparedMaps`."""

    origin_px: tuple[int, int]
    part: ConductanceMaps
    levelled: ConductanceMaps


def cut_and_clean(
    maps: ConductanceMaps, options: PredictOptions, companions: Companions
) -> Cut:
    """Take the part of a file that is searched, and clean it.

    Args:
        maps: as they were read.
        options: region, biases and cleaning.
        companions: what the cleaning may need beside the maps.

    Raises:
        InputError: see `crop` and `clean`.
    """
    rows, cols = options.region.spans(maps)
    part = _part(maps, options)
    current, reference = companions.current, companions.reference
    levelled = clean(
        part,
        options.cleaning,
        current=current and _part(current, options),
        reference=reference and _part(reference, options),
    )
    return Cut((rows[0], cols[0]), part, levelled)


def _part(maps: ConductanceMaps, options: PredictOptions) -> ConductanceMaps:
    """What is searched, by rising bias."""
    if options.bias_range_v is not None:
        maps = keep_biases(maps, options.bias_range_v)
    return crop(maps, *options.region.spans(maps)).sorted_by_bias()
