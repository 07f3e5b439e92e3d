"""Conductance maps: what a file held, with its units and its history."""

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stm_keras.errors import InputError
from stm_keras.io.placement import Placement

if TYPE_CHECKING:  # an optional extra
    from xarray import DataArray


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
        data = np.ascontiguousarray(self.data, dtype=np.float32)
        bias = np.atleast_1d(np.asarray(self.bias_v, dtype=np.float64))
        # Set through `object`: a frozen dataclass has no other way.
        object.__setattr__(self, "data", data)
        object.__setattr__(self, "bias_v", bias)
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
            data=np.asarray(data, dtype=np.float32),
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
                "install 'stm-keras[netcdf]'."
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

    def sorted_by_bias(self) -> "ConductanceMaps":
        """The maps by rising bias; maps of one bias keep their order."""
        order = np.argsort(self.bias_v, kind="stable")
        if np.array_equal(order, np.arange(order.size)):
            return self
        return self.with_data(
            self.data[order], "sorted by bias", bias_v=self.bias_v[order]
        )


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
    with np.errstate(over="ignore", invalid="ignore"):
        data = np.array(values, dtype=np.float32)
    infinite = np.isinf(data)
    if not infinite.any():
        return data, []
    data[infinite] = np.nan
    return data, [f"{infinite.sum()} infinite values taken as not measured"]


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
