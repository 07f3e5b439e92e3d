"""Results as files for other programs."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from stm_keras.detections import Detections
from stm_keras.errors import InputError


@dataclass(frozen=True)
class Export:
    """A file for another program.

    Attributes:
        program: its name, as the command line takes it.
        file: name of the file.
        writer: "module:function" in `stm_keras.results`.
        needs: package that the writer rests on, where it is not always there.
        takes_mask: whether the writer takes the mask as well.
        writes_none: whether the program opens a file without a position.
        extra: of `pip install stm-keras[...]` that brings it.
    """

    program: str
    file: str
    writer: str
    takes_mask: bool = False
    writes_none: bool = False
    needs: str = ""
    extra: str = ""

    def load(self) -> Callable[..., None]:
        """The function that writes.

        Raises:
            InputError: where the extra is missing.
        """
        if self.needs and find_spec(self.needs) is None:
            raise InputError(
                f"--export {self.program} needs the package {self.needs}. "
                f"Install it with: pip install 'stm-keras[{self.extra}]'."
            )
        module, function = self.writer.split(":")
        library = import_module(f"stm_keras.results.{module}")
        return getattr(library, function)


EXPORTS: dict[str, Export] = {
    export.program: export
    for export in (
        Export(
            "imagej",
            "RoiSet.zip",
            "exports:write_roi_set",
            needs="roifile",
            extra="imagej",
        ),
        Export("napari", "napari_points.csv", "exports:write_points"),
        Export(
            "gwyddion",
            "result.gwy",
            "gwyddion:write_gwy",
            takes_mask=True,
            writes_none=True,
            needs="gwyfile",
            extra="gwyddion",
        ),
    )
}
ALL = "all"


def write_roi_set(path: Path, found: Detections) -> None:
    """Write positions as a RoiSet.zip, a point selection each.

    The names begin with the rank, so that the ROI Manager lists them by
    falling score. As here, a point of ImageJ with whole coordinates is the
    centre of a pixel.

    Args:
        path: the file.
        found: with one position at least: ImageJ opens no empty set.
    """
    # An extra: not always there.
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi, roiwrite

    digits = len(str(len(found.scores)))
    selections = []
    places = zip(found.positions_px, found.scores, strict=True)
    for rank, ((row, col), score) in enumerate(places, start=1):
        selection = ImagejRoi.frompoints(
            [(float(col), float(row))],
            name=f"{rank:0{digits}d} score {score:.4g}",
        )
        selection.roitype = ROI_TYPE.POINT
        selection.options = ROI_OPTIONS.SUB_PIXEL_RESOLUTION
        selections.append(selection)
    roiwrite(path, selections, mode="w")


def write_points(path: Path, found: Detections) -> None:
    """Write positions as napari's own CSV of a points layer.

    Columns that are no axes become properties of the points.

    Args:
        path: the file.
        found: with one position at least: napari opens no empty table.
    """
    lines = ["index,axis-0,axis-1,score,rank"]
    places = zip(found.positions_px, found.scores, strict=True)
    for index, ((row, col), score) in enumerate(places):
        lines.append(f"{index},{row:.5f},{col:.5f},{score:.8g},{index + 1}")
    path.write_text("\n".join(lines) + "\n", encoding="ascii", newline="\n")
