"""`FILE.yaml` beside a file of bare arrays: its units, biases and size.

Beside `maps.tif` lies `maps.tif.yaml` (or `.yml`, or `maps.yaml`):

    bias: {first: -0.2, last: 0.2, count: 41}   # or bias_v: [-0.2, 0.1], in V
    extent_nm: [20, 20]     # height and width, or one number; or pixel_nm
    channel: LI Demod 1 X
    unit: nS                # of the numbers in the file
    row0: bottom            # of the frame; "top" is the rule
    axes: [row, col, bias]  # of the array in the file
    key: didv               # the array's name, in .npz and .mat
    centre_nm: [103.5, -20] # x and y in the scanner's coordinates
    angle_deg: 30           # of the frame, counter-clockwise

What stands there takes the place of what the file says.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray

from stm_keras.errors import InputError
from stm_keras.io.formats.arrays.sidecar_values import Axis, Values
from stm_keras.io.formats.arrays.sidecar_yaml import read_yaml
from stm_keras.io.formats.bias_axis import BiasSteps
from stm_keras.io.placement import Placement
from stm_keras.io.recording import printable

KEYS = ("bias_v", "bias", "extent_nm", "pixel_nm", "channel", "unit")
KEYS = (*KEYS, "row0", "axes", "key", "centre_nm", "angle_deg")
"""The keys that a sidecar may have."""

_SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True)
class Sidecar:
    """What a sidecar says; None where it says nothing.

    Attributes:
        path: the sidecar, for messages.
        bias_v: bias of each map [V], or how they step.
        extent_nm: height and width of the frame [nm].
        pixel_nm: height and width of a pixel [nm].
        channel: name of the quantity.
        unit: of the numbers in the file.
        bottom_first: whether row 0 of the array is the frame's bottom.
        axes: of the array in the file.
        key: name of the array within the file.
        centre_nm: x and y of the frame's centre [nm].
        angle_deg: of the frame, counter-clockwise [degree].
    """

    path: Path
    bias_v: tuple[float, ...] | BiasSteps | None = None
    extent_nm: tuple[float, float] | None = None
    pixel_nm: tuple[float, float] | None = None
    channel: str | None = None
    unit: str | None = None
    bottom_first: bool = False
    axes: tuple[Axis, ...] | None = None
    key: str | None = None
    centre_nm: tuple[float, float] | None = None
    angle_deg: float | None = None

    def bias_of(self, n_maps: int) -> NDArray[np.float64] | None:
        """Bias of each map [V], float64 [V]; None where not told.

        Raises:
            InputError: where it is told for another number of maps.
        """
        bias = self.bias_v
        if bias is None:
            return None
        try:
            if isinstance(bias, BiasSteps):
                return bias.values(n_maps)
        except ValueError as error:
            raise InputError(f"{self.path}: bias: {error}.") from error
        if len(bias) != n_maps:
            raise InputError(
                f"{self.path}: bias_v holds {len(bias)} biases, the file "
                f"{n_maps} map(s). Give one bias in V for each map."
            )
        return np.array(bias, dtype=np.float64)

    def extent_of(self, shape: tuple[int, int]) -> tuple[float, float] | None:
        """Height and width [nm] of a frame of so many px, where told."""
        if self.pixel_nm is None:
            return self.extent_nm
        return shape[0] * self.pixel_nm[0], shape[1] * self.pixel_nm[1]

    def placement_of(self, own: Placement | None) -> Placement | None:
        """The placement, the file's own where the sidecar says nothing.

        Raises:
            InputError: for an angle about a centre that nothing tells.
        """
        centre = self.centre_nm or (own and own.centre_nm)
        if centre is None:
            if self.angle_deg is not None:
                raise InputError(
                    f"{self.path}: angle_deg needs centre_nm beside it, x and "
                    "y of the frame's centre in nm."
                )
            return None
        angle = self.angle_deg
        if angle is None:
            angle = own.angle_deg if own else 0.0
        return Placement(centre, angle)

    def arranged(self, array: np.ndarray) -> np.ndarray:
        """An array of the file as [V, H, W] or [H, W], row 0 at the top.

        Raises:
            InputError: where `axes` does not fit it.
        """
        if self.axes is not None:
            if len(self.axes) != array.ndim:
                raise InputError(
                    f"{self.path}: axes names {len(self.axes)} axes, the "
                    f"array has the shape {list(array.shape)}."
                )
            wanted = [a for a in get_args(Axis) if a in self.axes]
            array = array.transpose([self.axes.index(a) for a in wanted])
        if self.bottom_first and array.ndim > 1:
            array = array[..., ::-1, :]
        return array


def sidecar_path(path: Path) -> Path | None:
    """The sidecar of a file; None where there is none.

    Raises:
        InputError: where there is more than one.
    """
    bases = dict.fromkeys((path.name, path.stem))
    names = [path.with_name(f"{base}{s}") for base in bases for s in _SUFFIXES]
    found = [name for name in names if name != path and name.is_file()]
    if len(found) > 1:
        raise InputError(
            f"{path} has two sidecars, {found[0].name} and {found[1].name}. "
            "Keep one."
        )
    return found[0] if found else None


def read_sidecar(path: Path) -> Sidecar | None:
    """Read what lies beside a file of arrays.

    Args:
        path: the file of arrays, not the sidecar.

    Returns:
        What the sidecar says; None where there is none.

    Raises:
        InputError: for a sidecar with unknown keys, values of the wrong
            kind, or that is no plain YAML; or for two of them.
        OSError: where it cannot be read.
    """
    found = sidecar_path(path)
    if found is None:
        return None
    entries = read_yaml(found)
    if unknown := [key for key in entries if key not in KEYS]:
        raise InputError(
            f"{found}: unknown key {printable(unknown[0][:40])!r}. Known: "
            f"{', '.join(KEYS)}."
        )
    for both in (("bias_v", "bias"), ("extent_nm", "pixel_nm")):
        if both[0] in entries and both[1] in entries:
            raise InputError(f"{found}: {' and '.join(both)}: keep one.")
    values = Values(found, entries)
    return Sidecar(
        path=found,
        bias_v=values.bias(),
        extent_nm=values.lengths("extent_nm"),
        pixel_nm=values.lengths("pixel_nm"),
        channel=values.text("channel"),
        unit=values.text("unit"),
        bottom_first=values.row0() == "bottom",
        axes=values.axes(),
        key=values.text("key"),
        centre_nm=values.pair("centre_nm", "x and y in nm"),
        angle_deg=values.number("angle_deg", "an angle in degrees"),
    )
