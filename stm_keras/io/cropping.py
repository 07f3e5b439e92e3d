"""Take a part of a frame, or of its biases, and know what it was of."""

import math
from dataclasses import dataclass, replace

import numpy as np

from stm_keras.errors import InputError
from stm_keras.io.maps import ConductanceMaps

Span = tuple[int, int]
"""First pixel and the one after the last, as Python's slices have them."""
OpenSpan = tuple[int | None, int | None]
"""The same; None is the frame's edge."""

_ROUNDING_V = 1e-9
"""By how much a bias may miss the end of a range that is to hold it."""


@dataclass(frozen=True)
class Region:
    """A part of a frame, in px or in nm; as it stands, all of it.

    Attributes:
        rows: first row and the one after the last [px], row 0 the top.
        cols: the same of the columns, column 0 the left edge.
        roi_nm: top, left, height and width [nm] from the frame's top left
            corner, in place of `rows` and `cols`; each edge goes to the
            nearest border between pixels.

    Raises:
        InputError: where px and nm are given at once, or `roi_nm` is no part
            of any frame.
    """

    rows: OpenSpan = (None, None)
    cols: OpenSpan = (None, None)
    roi_nm: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        """Check what can be checked without a frame."""
        if self.roi_nm is None:
            return
        if (self.rows, self.cols) != ((None, None), (None, None)):
            raise InputError(
                "Give the part of the frame in px (--rows, --cols) or in nm "
                "(--roi), not both."
            )
        if not (
            all(math.isfinite(value) for value in self.roi_nm)
            and min(self.roi_nm[2:]) > 0
        ):
            raise InputError(
                "--roi needs top, left, height and width in nm, the last two "
                f"positive. Received: {_listed(self.roi_nm)}."
            )

    def spans(self, maps: ConductanceMaps) -> tuple[Span, Span]:
        """Rows and columns of the part in a frame.

        Args:
            maps: of the frame.

        Raises:
            InputError: where the part is empty or reaches beyond the frame.
        """
        _, *sides = maps.shape
        if self.roi_nm is None:
            rows, cols = (
                _checked(maps.source, given, size, name)
                for given, size, name in zip(
                    (self.rows, self.cols), sides, ("rows", "cols"), strict=True
                )
            )
            return rows, cols
        starts, lengths = self.roi_nm[:2], self.roi_nm[2:]
        spans = [
            (_border(start, pixel, size), _border(start + length, pixel, size))
            for start, length, pixel, size in zip(
                starts, lengths, maps.pixel_nm, sides, strict=True
            )
        ]
        for (first, end), size in zip(spans, sides, strict=True):
            if not 0 <= first < end <= size:
                within = first >= 0 and end <= size
                fault = "is less than a pixel" if within else "sticks out"
                raise InputError(
                    f"{maps.source}: --roi {_listed(self.roi_nm)} {fault}. "
                    f"The frame is {maps.extent_nm[0]:.6g} nm high and "
                    f"{maps.extent_nm[1]:.6g} nm wide, "
                    f"{sides[0]} x {sides[1]} px."
                )
        return spans[0], spans[1]


def crop(maps: ConductanceMaps, rows: Span, cols: Span) -> ConductanceMaps:
    """Cut a part out of every map.

    Args:
        maps: the maps.
        rows: first row and the one after the last [px], row 0 the top.
        cols: the same of the columns.

    Returns:
        Maps of the part; extent and placement are the part's own, so that
        `scanner_nm` names the same places on the sample as before. The frame
        itself where that is the part.

    Raises:
        InputError: where the part is empty, reaches beyond the frame, or
            holds a map in which nothing is measured.
    """
    n_maps, height, width = maps.shape
    rows = _checked(maps.source, rows, height, "rows")
    cols = _checked(maps.source, cols, width, "cols")
    if (rows, cols) == ((0, height), (0, width)):
        return maps
    data = maps.data[:, slice(*rows), slice(*cols)]
    place = f"rows {rows[0]}:{rows[1]}, columns {cols[0]}:{cols[1]}"
    empty = np.isnan(data).reshape(n_maps, -1).all(axis=1)
    if empty.any():
        raise InputError(
            f"{maps.source}: nothing is measured in {place} of map "
            f"{int(np.argmax(empty))}. Choose another part."
        )
    down, right = maps.pixel_nm
    placement = maps.placement
    if placement is not None:
        placement = placement.moved(
            (sum(rows) - height) / 2 * down, (sum(cols) - width) / 2 * right
        )
    return replace(
        maps,
        data=data,
        extent_nm=((rows[1] - rows[0]) * down, (cols[1] - cols[0]) * right),
        placement=placement,
        provenance=(
            *maps.provenance,
            f"cropped to {place} of {height} x {width} px",
        ),
    )


def keep_biases(
    maps: ConductanceMaps, bias_range_v: tuple[float, float]
) -> ConductanceMaps:
    """Leave out the maps beyond a range of biases.

    Args:
        maps: the maps.
        bias_range_v: lowest and highest bias to keep [V], both included.

    Raises:
        InputError: where no map lies in the range.
    """
    low, high = bias_range_v
    bias = maps.bias_v
    kept = (bias >= low - _ROUNDING_V) & (bias <= high + _ROUNDING_V)
    if kept.all():
        return maps
    if not kept.any():
        raise InputError(
            f"{maps.source}: no map lies in --bias-range {low:g},{high:g}. "
            f"Its biases go from {bias.min():g} to {bias.max():g} V."
        )
    return maps.with_data(
        maps.data[kept],
        f"{kept.sum()} of {kept.size} maps kept, {low:g} to {high:g} V",
        bias_v=bias[kept],
    )


def _checked(source: str, span: OpenSpan, size: int, name: str) -> Span:
    first = 0 if span[0] is None else span[0]
    end = size if span[1] is None else span[1]
    if 0 <= first < end <= size:
        return first, end
    fault = "is empty" if first >= end else "reaches beyond the frame"
    raise InputError(
        f"{source}: --{name} {first}:{end} {fault}. Give FIRST:END with "
        f"0 <= FIRST < END <= {size}."
    )


def _border(place_nm: float, pixel_nm: float, size: int) -> int:
    """The nearest border between pixels; beyond the frame, any beyond it."""
    return round(min(max(place_nm / pixel_nm, -1.0), size + 1.0))


def _listed(values: tuple[float, ...]) -> str:
    return ",".join(f"{value:g}" for value in values)
