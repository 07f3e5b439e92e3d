"""Conductance maps: what a file held, with its units and its history."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.fft import dct, idct

from stm_keras.errors import InputError
from stm_keras.notebook import html_lines, html_table
from stm_keras.units import height_by_width


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


if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from xarray import DataArray  # an optional extra

    from stm_keras.results.report import Report


@dataclass(frozen=True, eq=False)
class ConductanceMaps:
    """A stack of maps of one frame, one map a bias.

    Row 0 is the top of the frame and column 0 its left edge. Any readable
    quantity may be held, a topograph as well: `channel` and `unit` say which.

    Attributes:
        data: the maps, float32 [V, H, W], in `unit`; NaN is "not measured".
        bias_v: sample bias of each map [V], float64 [V].
        extent_nm: height and width of the frame [nm].
        channel: the channel's name as the instrument gives it.
        unit: unit of `data`, such as "A" or "S"; empty where unknown.
        source: the file or the simulation that the maps came from.
        provenance: what was done to them, in order.
        placement: where the frame lies on the sample, in the scanner's own
            coordinates; None where unknown.

    Raises:
        InputError: where the parts do not fit together, a bias or extent is
            no usable number, a map holds infinities or nothing to look at
            (no measured pixel, or one value everywhere), or where no pixel
            is measured in every map.
    """

    data: NDArray[np.float32]
    bias_v: NDArray[np.float64]
    extent_nm: tuple[float, float]
    channel: str = ""
    unit: str = ""
    source: str = "maps"
    provenance: tuple[str, ...] = field(default=())
    placement: Placement | None = None

    def __post_init__(self) -> None:
        """Bring the arrays to their types and check that all fits."""
        scaled, notes = in_range(self.data)
        data = np.ascontiguousarray(scaled, dtype=np.float32)
        bias = np.atleast_1d(np.asarray(self.bias_v, dtype=np.float64))
        # Set through `object`: a frozen dataclass has no other way.
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "bias_v", bias)
        object.__setattr__(self, "provenance", (*self.provenance, *notes))
        _check_frame(self.source, data)
        _check_bias(self.source, bias, data.shape[0])
        object.__setattr__(
            self, "extent_nm", checked_extent(self.source, self.extent_nm)
        )
        _check_content(self.source, data, bias)

    @property
    def shape(self) -> tuple[int, int, int]:
        """Number of maps, rows and columns."""
        n_maps, height, width = self.data.shape
        return n_maps, height, width

    @property
    def pixel_nm(self) -> tuple[float, float]:
        """Height and width of one pixel [nm]."""
        _, height, width = self.shape
        return self.extent_nm[0] / height, self.extent_nm[1] / width

    @property
    def mask(self) -> NDArray[np.bool_]:
        """Pixels that are measured in every map, bool [H, W]."""
        return np.asarray(~np.isnan(self.data).any(axis=0))

    @property
    def measured(self) -> NDArray[np.bool_]:
        """Pixels that are measured in at least one map, bool [H, W]."""
        return np.asarray(~np.isnan(self.data).all(axis=0))

    def with_data(
        self,
        data: ArrayLike,
        note: str,
        *,
        bias_v: ArrayLike | None = None,
        extent_nm: tuple[float, float] | None = None,
    ) -> "ConductanceMaps":
        """The same maps after one more step of work.

        Args:
            data: the new maps, [V, H, W], in the same unit.
            note: what was done, a line for `provenance`.
            bias_v: new biases [V], [V], where the maps changed places.
            extent_nm: new height and width [nm], where the frame changed.

        Raises:
            InputError: as the class does.
        """
        bias = self.bias_v if bias_v is None else np.asarray(bias_v, np.float64)
        return replace(
            self,
            data=data,
            bias_v=bias,
            extent_nm=self.extent_nm if extent_nm is None else extent_nm,
            provenance=(*self.provenance, note),
        )

    def scanner_nm(self, positions_px: ArrayLike) -> NDArray[np.float64] | None:
        """Places in the scanner's own coordinates.

        Args:
            positions_px: row and column [px], [n, 2]; the centre of the top
                left pixel is (0, 0).

        Returns:
            x and y [nm], float64 [n, 2]; None where the placement is unknown.
        """
        if self.placement is None:
            return None
        positions = np.asarray(positions_px, dtype=np.float64).reshape(-1, 2)
        return self.placement.to_scanner(
            (positions + 0.5) * self.pixel_nm, self.extent_nm
        )

    def to_xarray(self) -> "DataArray":
        """The maps as an xarray DataArray, which its writers take.

        Returns:
            float32 [bias, y, x], named "maps" (a channel's name may hold "/",
            which is a path to HDF5); coordinates in V and nm, y down from the
            top left corner to the pixels' centres; channel, unit, source,
            provenance, extent and placement in `attrs`.

        Raises:
            InputError: where xarray is not installed.
        """
        try:
            from xarray import DataArray
        except ModuleNotFoundError as error:
            raise InputError(
                "to_xarray() needs the package xarray: install it with pip "
                "install 'stm-keras[xarray]'."
            ) from error
        attrs: dict[str, object] = {
            "units": self.unit,
            "long_name": self.channel,
            "source": self.source,
            "provenance": list(self.provenance),
            "extent_nm": list(self.extent_nm),
        }
        if self.placement is not None:
            attrs["centre_nm"] = list(self.placement.centre_nm)
            attrs["angle_deg"] = self.placement.angle_deg
        rows, cols = (
            (np.arange(n) + 0.5) * side
            for n, side in zip(self.shape[1:], self.pixel_nm, strict=True)
        )
        return DataArray(
            self.data,
            dims=("bias", "y", "x"),
            coords={
                "bias": ("bias", self.bias_v, {"units": "V"}),
                "y": ("y", rows, {"units": "nm", "positive": "down"}),
                "x": ("x", cols, {"units": "nm"}),
            },
            name="maps",
            attrs=attrs,
        )

    def to_dataframe(self) -> "DataFrame":
        """What each map holds, a row a map.

        Returns:
            bias_v [V]; of the measured pixels mean, std, min and max, in
            `unit`; and measured, their share.
        """
        from pandas import DataFrame

        return DataFrame(self._columns())

    def plot(self, most: int = 6) -> "Figure":
        """Draw the maps side by side.

        Args:
            most: so many at the most, evenly chosen.

        Returns:
            A figure of Matplotlib, which a notebook shows and `savefig`
            writes.

        Raises:
            InputError: for less than one map.
        """
        if most < 1:
            raise InputError(f"`most` must be at least 1. Received: {most}.")
        # By name: pictures are made of maps, not maps of pictures.
        return import_module("stm_keras.plots").side_by_side(self, most)

    def report(self, path: str | Path | None = None) -> "Report":
        """A page with the maps, without a search.

        Args:
            path: an HTML file to write it to; None writes nothing.

        Returns:
            The page, which a notebook shows and `save` writes.

        Raises:
            InputError: where the file cannot be written.
        """
        report = import_module("stm_keras.results.report").report_of_maps(self)
        if path is not None:
            report.save(path)
        return report

    def _columns(self) -> dict[str, NDArray[np.float64]]:
        """See `to_dataframe`."""
        inside = (1, 2)
        values = self.data.astype(np.float64)
        return {
            "bias_v": self.bias_v,
            "mean": np.nanmean(values, inside),
            "std": np.nanstd(values, inside),
            "min": np.nanmin(values, inside),
            "max": np.nanmax(values, inside),
            "measured": np.isfinite(values).mean(inside),
        }

    def _repr_html_(self) -> str:
        """What they are, as a notebook shows it."""
        n_maps, *sides = self.shape
        about = [
            f"{n_maps} map(s) of {self.channel or 'a channel without a name'} "
            f"[{self.unit or 'unit unknown'}] in {self.source}",
            f"{height_by_width(self.extent_nm, 'nm')}, "
            f"{height_by_width(sides, 'px')}",
            *self.provenance,
        ]
        if n_maps > _MOST_ROWS:
            about.append(
                f"The first {_MOST_ROWS} maps follow; to_dataframe() has all."
            )
        return html_lines(about) + html_table(self._columns(), _MOST_ROWS)

    def sorted_by_bias(self) -> "ConductanceMaps":
        """The maps by rising bias; maps of one bias keep their order."""
        order = np.argsort(self.bias_v, kind="stable")
        if np.array_equal(order, np.arange(order.size)):
            return self
        return self.with_data(
            self.data[order], "sorted by bias", bias_v=self.bias_v[order]
        )


_MOST_ROWS = 20
"""Maps that a notebook lists."""


def finite_or_nan(values: ArrayLike) -> tuple[NDArray[np.float32], list[str]]:
    """Numbers as float32, with infinities taken as "not measured".

    Dividing by a current of zero, as normalised conductance does, leaves
    infinities in files; so does a value beyond float32.

    Args:
        values: real numbers, any shape.

    Returns:
        float32 of the same shape, and lines for `provenance` (none where
        nothing was changed).
    """
    values, notes = in_range(values)
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.array(values, dtype=np.float32)
    infinite = np.isinf(data)
    if not infinite.any():
        return data, notes
    data[infinite] = np.nan
    told = f"{infinite.sum()} infinite values taken as not measured"
    return data, [*notes, told]


_USUAL = (1e-18, 1e18)
"""Sizes of values whose squares float32 holds, too."""
_OUTSTANDING = 1e9
"""What is so much larger than most of a map is an outlier, not its size."""

_SAMPLES = 10_000


def in_range(values: ArrayLike) -> tuple[NDArray[Any], list[str]]:
    """Bring values of an odd unit to numbers that float32 holds.

    Squares of numbers below 1e-19 are zero in it, and those above 1e19 are
    infinite. The median size decides, which a few outliers do not move.

    Args:
        values: real numbers, any shape and precision.

    Returns:
        The same values, or the same times a power of ten; and lines for
        `provenance`.
    """
    array = np.asarray(values)
    if array.dtype.kind != "f" or not array.size:
        return array, []
    flat = array.reshape(-1)
    sample = flat[:: max(1, flat.size // _SAMPLES)].astype(np.longdouble)
    sizes = np.abs(sample[np.isfinite(sample) & (sample != 0)])
    middle = 1.0
    if sizes.size:
        middle = float(np.sort(sizes)[(sizes.size - 1) // 2])
        # A few bright objects on nothing are not small for it.
        if middle < _USUAL[0]:
            middle = max(middle, min(float(sizes.max()) / _OUTSTANDING, 1.0))
    least, most = _USUAL
    if least <= middle <= most or not 0 < middle < math.inf:
        return array, []
    power = -round(math.log10(middle))
    scaled = array.astype(np.longdouble) * np.longdouble(10.0) ** power
    with np.errstate(over="ignore"):
        scaled = scaled.astype(np.float64)
    return scaled, [
        f"values times 1e{power}, as float32 holds none of this size"
    ]


def checked_extent(
    source: str, extent_nm: tuple[float, float]
) -> tuple[float, float]:
    """Height and width as two floats [nm], from 1e-6 nm to 1 m.

    Raises:
        InputError: where they are not that; the message names `source`.
    """
    extent = np.asarray(extent_nm, dtype=np.float64)
    if extent.shape != (2,) or not ((extent >= 1e-6) & (extent <= 1e9)).all():
        raise InputError(
            f"{source}: the extent must be two positive numbers, height and "
            f"width in nm. Received: {extent.tolist()}."
        )
    return float(extent[0]), float(extent[1])


def _check_frame(source: str, data: np.ndarray) -> None:
    if data.ndim != 3 or data.shape[0] < 1 or data[0].size < 2:
        raise InputError(
            f"{source}: maps must have the shape [V, H, W], at least one map "
            f"of two pixels. Received the shape {list(data.shape)}."
        )


def _check_bias(source: str, bias: np.ndarray, n_maps: int) -> None:
    if bias.shape != (n_maps,):
        raise InputError(
            f"{source}: {n_maps} maps need as many biases. Received: "
            f"{bias.size}. Give one bias in V for each map."
        )
    if not np.isfinite(bias).all():
        raise InputError(
            f"{source}: the bias of map {np.argmin(np.isfinite(bias))} is not "
            "a finite number. Give every bias in V."
        )


def _check_content(source: str, data: np.ndarray, bias: np.ndarray) -> None:
    for index, image in enumerate(data):
        measured = image[~np.isnan(image)]
        if not measured.size:
            fault = "no measured pixel (all NaN)"
        elif np.isinf(measured).any():
            fault = "infinite values"
        elif measured.min() == measured.max():
            fault = f"the same value, {measured[0]:g}, everywhere"
        else:
            continue
        raise InputError(
            f"{source}: map {index} ({bias[index]:g} V) has {fault}. Choose "
            "another channel or leave this map out."
        )
    if np.isnan(data).any(axis=0).all():
        raise InputError(
            f"{source}: no pixel is measured in every map. Use maps that "
            "cover the same part of the frame."
        )


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


_LANCZOS_LOBES = 3
_MIN_MEASURED_SHARE = 0.5
_SQUARE = 0.02
"""Largest relative difference of the sides of a pixel that counts as square."""

_MAX_VALUES = 1 << 29  # of the result: 2 GiB in float32


@dataclass(frozen=True)
class _Kernel:
    """A kernel's shape, and the distance at which it ends [target px]."""

    shape: Callable[[np.ndarray], np.ndarray]
    reach: float


_LANCZOS = _Kernel(
    lambda x: (
        np.sinc(x) * np.sinc(x / _LANCZOS_LOBES) * (np.abs(x) < _LANCZOS_LOBES)
    ),
    _LANCZOS_LOBES,
)
_TRIANGLE = _Kernel(lambda x: np.clip(1 - np.abs(x), 0, None), 1)


def resample(maps: ConductanceMaps, pixel_nm: float) -> ConductanceMaps:
    """Resample maps to square pixels of about a given size.

    The centre of target row i lies at (i + 0.5) H_in / H_out - 0.5 of the
    input: an object keeps its place in nm. Where all pixels in reach are
    measured the kernel is Lanczos', stretched over the target pixel when
    shrinking (so noise beyond the new Nyquist limit goes, and waves of 1.8
    rad/px keep their amplitude; a mean over the pixel's area would take up
    to 38 % of it, and unevenly, where the pixels are of nearly equal size).
    Beside unmeasured pixels it is the triangle, which is nowhere negative,
    normalised over what is measured; a target pixel of which less than half
    the weight is measured is NaN.

    Args:
        maps: the maps; their extent stays as it is.
        pixel_nm: the wanted pixel [nm]. The extent is cut into a whole number
            of pixels, so the result's may differ by a part in 2 n.

    Returns:
        Maps [V, round(height / pixel), round(width / pixel)].

    Raises:
        InputError: where `pixel_nm` is not positive, or the result would have
            less than 2 x 2 px or more than 2 GiB.

    References:
        K. Turkowski, "Filters for common resampling tasks", Graphics Gems I
        (1990); H. Knutsson and C.-F. Westin, "Normalized and differential
        convolution", CVPR (1993), doi:10.1109/CVPR.1993.341081.
    """
    n_maps, height, width = maps.shape
    n_rows, n_cols = _target_shape(maps, pixel_nm)
    if (n_rows, n_cols) == (height, width):
        return maps.with_data(maps.data, "already of the wanted pixel")
    result = np.empty((n_maps, n_rows, n_cols), dtype=np.float32)
    sides = (height, n_rows), (width, n_cols)
    sharp, safe = (
        [_weights(kernel, *side) for side in sides]
        for kernel in (_LANCZOS, _TRIANGLE)
    )
    for index, image in enumerate(maps.data):
        result[index] = _resampled(image, sharp, safe)
    return maps.with_data(
        result,
        f"resampled from {height} x {width} to {n_rows} x {n_cols} px (height "
        f"x width), pixel {maps.extent_nm[0] / n_rows:.4g} x "
        f"{maps.extent_nm[1] / n_cols:.4g} nm",
    )


def is_square(maps: ConductanceMaps) -> bool:
    """Whether the sides of a pixel are alike, to the rounding of headers."""
    down, right = maps.pixel_nm
    return abs(down - right) <= _SQUARE * max(down, right)


def with_square_pixels(maps: ConductanceMaps) -> ConductanceMaps:
    """Bring pixels of unlike sides to the coarser one.

    The coarser side stays as it is, and along the finer one waves beyond the
    new Nyquist limit go: the map's cosine transform is cut short, so that
    what is left keeps its place and height and white noise stays white. At a
    finer pixel the noise of neighbours would be alike, as no instrument makes
    it. Where pixels are not measured, see `resample`.

    Args:
        maps: the maps; those of square pixels come back as they are.

    Returns:
        Maps of square pixels, with a warning in `provenance` that says so.

    Raises:
        InputError: see `resample`.
    """
    if is_square(maps):
        return maps
    down, right = maps.pixel_nm
    apart = 100 * (max(down, right) / min(down, right) - 1)
    note = (
        f"warning: the sides of a pixel, {down:.4g} nm down and {right:.4g} nm "
        f"across, differ by {apart:.3g} %: resampled to the coarser"
    )
    noted = maps.with_data(maps.data, note)
    square = resample(noted, max(down, right))
    if not maps.mask.all():
        return square
    axis = 1 if down < right else 2
    n_in, n_out = maps.shape[axis], square.shape[axis]
    waves = dct(maps.data.astype(np.float64), axis=axis, norm="ortho")
    kept = np.take(np.asarray(waves), range(n_out), axis)
    data = np.asarray(idct(kept, axis=axis, norm="ortho"))
    data *= math.sqrt(n_out / n_in)
    return replace(square, data=data.astype(np.float32))


def _target_shape(maps: ConductanceMaps, pixel_nm: float) -> tuple[int, int]:
    if not (math.isfinite(pixel_nm) and pixel_nm > 0):
        raise InputError(
            f"The pixel must be positive. Received: {pixel_nm} nm."
        )
    sides = [side / pixel_nm for side in maps.extent_nm]
    if min(sides) < 1.5:
        raise InputError(
            f"{maps.source}: the frame of "
            f"{height_by_width(maps.extent_nm, 'nm')} is smaller than 2 x 2 px "
            f"of {pixel_nm:g} nm. Use a smaller pixel or a larger scan."
        )
    if math.prod(sides) * len(maps.bias_v) > _MAX_VALUES:
        raise InputError(
            f"{maps.source}: {len(maps.bias_v)} maps of "
            f"{height_by_width(sides, 'px')} are more than 2 GiB. Use a "
            "larger pixel."
        )
    return round(sides[0]), round(sides[1])


def _resampled(
    image: np.ndarray, sharp: list[np.ndarray], safe: list[np.ndarray]
) -> np.ndarray:
    """One map [H, W] -> [H', W'], float64."""
    measured = ~np.isnan(image)
    values = np.where(measured, image, 0).astype(np.float64)
    result = sharp[0] @ values @ sharp[1].T
    if measured.all():
        return result
    reach = [(weights != 0).astype(np.float64) for weights in sharp]
    touched = reach[0] @ (~measured).astype(np.float64) @ reach[1].T > 0.5
    share = safe[0] @ measured.astype(np.float64) @ safe[1].T
    enough = share >= _MIN_MEASURED_SHARE
    mean = (safe[0] @ values @ safe[1].T) / np.where(enough, share, 1)
    return np.where(touched, np.where(enough, mean, np.nan), result)


def _weights(kernel: _Kernel, n_in: int, n_out: int) -> np.ndarray:
    """Weight of every input in every output pixel, float64 [n_out, n_in].

    Rows sum to one. The frame is mirrored at its edges.
    """
    scale = max(1.0, n_in / n_out)
    centres = (np.arange(n_out) + 0.5) * n_in / n_out - 0.5
    margin = math.ceil(kernel.reach * scale) + 1
    places = np.arange(-margin, n_in + margin)
    weights = kernel.shape((places - centres[:, np.newaxis]) / scale)
    weights[np.abs(weights) < 1e-12] = 0.0  # sin(pi n) is not quite zero
    weights /= weights.sum(axis=1, keepdims=True)
    # ... 1 0 | 0 1 2 ... n-1 | n-1 n-2 ...
    wrapped = places % (2 * n_in)
    inside = np.where(wrapped < n_in, wrapped, 2 * n_in - 1 - wrapped)
    folded = np.zeros((n_out, n_in))
    np.add.at(folded.T, inside, weights.T)
    return folded
