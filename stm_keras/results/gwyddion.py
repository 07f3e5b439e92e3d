"""Maps, score, mask and positions as a file of Gwyddion."""

from pathlib import Path

import numpy as np
from gwyfile.objects import GwyContainer, GwyDataField, GwyObject
from numpy.typing import NDArray

from stm_keras.detections import Detections

_M_PER_NM = 1e-9
_IMPURITY_COLOUR = {"red": 1.0, "green": 0.2, "blue": 0.2, "alpha": 0.5}
_UNMEASURED_COLOUR = {"red": 0.2, "green": 0.4, "blue": 1.0, "alpha": 0.5}


def write_gwy(path: Path, found: Detections, mask: NDArray[np.uint8]) -> None:
    """Write a .gwy with two channels, or three where pixels are missing.

    Channel 0 is the map in the middle of the biases, as it was read, with
    `mask` over it; channel 1 is the score S at the network's pixel, with what
    was not measured masked; both carry the positions as a point selection.
    A number that is missing cannot stand in such a file: there the median of
    the map stands, and channel 2 tells where (1 is measured).

    Args:
        path: the file.
        found: what was found.
        mask: uint8 [H, W] of the file's size; see `impurity_mask`.
    """
    maps = found.maps
    container = _Container()
    used_v = found.search.levelled.bias_v
    middle = np.argmin(np.abs(maps.bias_v - used_v[len(used_v) // 2]))
    image = maps.data[middle].astype(np.float64)
    extent = maps.extent_nm
    title = f"{maps.channel or 'map'}, {maps.bias_v[middle]:g} V"
    container.add_channel(0, title, _filled(image), extent, maps.unit)
    container.add_mask(0, mask, extent, _IMPURITY_COLOUR)
    container.add_points(0, found.positions_nm)
    container.add_notes(0, found.notes)
    score = found.search.score.astype(np.float64)
    part = found.search.levelled.extent_nm
    corner = found.search.origin_nm
    container.add_channel(1, "score S", _filled(score), part, "", corner)
    container.add_mask(1, np.isnan(score), part, _UNMEASURED_COLOUR)
    container.add_points(1, found.positions_nm - corner)
    if np.isnan(image).any():
        measured = (~np.isnan(image)).astype(np.float64)
        container.add_channel(2, "measured", measured, extent, "")
    container.tofile(str(path))


class _Container(GwyContainer):
    """A container that is filled channel by channel.

    Types are given wherever the library would guess: it takes a text of one
    letter, such as the channel "Z", for a single character.
    """

    def add_channel(
        self,
        number: int,
        title: str,
        image: NDArray[np.float64],
        extent_nm: tuple[float, float],
        unit: str,
        corner_nm: tuple[float, float] = (0.0, 0.0),
    ) -> None:
        """Add an image [H, W] in `unit`; extent and corner are y, x [nm]."""
        key = f"/{number}/data"
        self[key] = _field(image, extent_nm, unit, corner_nm)
        self._set(f"{key}/title", title, "s")
        self._set(f"{key}/visible", True, "b")

    def add_mask(
        self,
        number: int,
        mask: NDArray[np.generic],
        extent_nm: tuple[float, float],
        colour: dict[str, float],
    ) -> None:
        """Add a mask [H, W] over a channel, unless it is empty."""
        if not mask.any():
            return
        key = f"/{number}/mask"
        self[key] = _field(mask.astype(np.float64), extent_nm, "")
        for name, value in colour.items():
            self._set(f"{key}/{name}", value, "d")

    def add_points(self, number: int, positions_nm: np.ndarray) -> None:
        """Add y, x [nm] from the channel's own corner as a selection."""
        if not len(positions_nm):
            return
        points = GwyObject("GwySelectionPoint")
        points["data"] = np.ravel(positions_nm[:, ::-1] * _M_PER_NM)
        points["max"] = len(positions_nm)
        points.typecodes.update({"data": "D", "max": "i"})
        self[f"/{number}/select/point"] = points

    def add_notes(self, number: int, notes: tuple[str, ...]) -> None:
        """Add what was done as the channel's metadata."""
        # Names of files may hold bytes that are no UTF-8.
        texts = {
            f"stm-keras {i:03d}": note.encode(
                "utf-8", "backslashreplace"
            ).decode()
            for i, note in enumerate(notes)
        }
        self[f"/{number}/meta"] = GwyContainer(texts, dict.fromkeys(texts, "s"))

    def _set(self, key: str, value: object, typecode: str) -> None:
        self[key] = value
        self.typecodes[key] = typecode


def _field(
    image: NDArray[np.float64],
    extent_nm: tuple[float, float],
    unit: str,
    corner_nm: tuple[float, float] = (0.0, 0.0),
) -> GwyDataField:
    height, width = (side * _M_PER_NM for side in extent_nm)
    top, left = (side * _M_PER_NM for side in corner_nm)
    field = GwyDataField(
        image, xreal=width, yreal=height, si_unit_xy="m", si_unit_z=unit
    )
    field.xoff, field.yoff = left, top
    return field


def _filled(image: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.where(np.isnan(image), np.nanmedian(image), image)
