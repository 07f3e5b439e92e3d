"""A result's folder: all its files, or none."""

import dataclasses
import json
import math
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import ArrayLike, NDArray

import stm_keras
from stm_keras.detections import Found, to_nm, write_positions
from stm_keras.errors import InputError
from stm_keras.finding.prediction import Prediction
from stm_keras.io.maps import ConductanceMaps
from stm_keras.results.plots import plot_overview
from stm_keras.system import writable_directory

DEFAULT_RADIUS_NM = 0.5
"""Where the dark core of a CO molecule on Cu(111) ends.

The median profile around the reference positions of Topo102 and of Topo015
rises to the level of the waves 0.5 nm from the centre (a test measures it).
"""


def check_radius(radius_nm: float) -> None:
    """Refuse a radius that is no positive number.

    Raises:
        InputError: the message names the option.
    """
    if not (math.isfinite(radius_nm) and radius_nm > 0):
        raise InputError(
            "--mask-radius-nm must be a positive number of nm. Received: "
            f"{radius_nm:g}."
        )


def impurity_mask(
    shape: tuple[int, int],
    pixel_nm: tuple[float, float],
    positions_px: ArrayLike,
    radius_nm: float = DEFAULT_RADIUS_NM,
) -> NDArray[np.uint8]:
    """Discs around positions.

    Args:
        shape: rows and columns of the image [px].
        pixel_nm: height and width of a pixel [nm].
        positions_px: row and column [px], [n, 2].
        radius_nm: of the discs [nm].

    Returns:
        uint8 [H, W]: 1 where a pixel's centre is at most `radius_nm` from a
        position, and in the pixel that a position lies in; 0 elsewhere.

    Raises:
        InputError: for a radius that is not positive.
    """
    check_radius(radius_nm)
    mask = np.zeros(shape, dtype=np.uint8)
    last = np.asarray(shape) - 1
    reach = np.ceil(radius_nm / np.asarray(pixel_nm)).astype(int)
    for position in np.asarray(positions_px, dtype=np.float64).reshape(-1, 2):
        centre = np.clip(np.rint(position).astype(int), 0, last)
        # One more, as the position lies beside the centre of its pixel.
        first = np.clip(centre - reach - 1, 0, last)
        end = np.clip(centre + reach + 1, 0, last) + 1
        rows, cols = (np.arange(a, b) for a, b in zip(first, end, strict=True))
        down = (rows - position[0]) * pixel_nm[0]
        right = (cols - position[1]) * pixel_nm[1]
        inside = np.add.outer(down**2, right**2) <= radius_nm**2
        mask[first[0] : end[0], first[1] : end[1]] |= inside.astype(np.uint8)
        mask[tuple(centre)] = 1
    return mask


def write_mask_tiff(
    path: str | Path, mask: NDArray[np.uint8], pixel_nm: tuple[float, float]
) -> None:
    """Write a mask as a TIFF that ImageJ opens at its scale.

    Args:
        path: the file.
        mask: uint8 [H, W], of 0 and 1; shown as black and white.
        pixel_nm: height and width of a pixel [nm].
    """
    tifffile.imwrite(
        path,
        mask,
        imagej=True,
        resolution=(1 / pixel_nm[1], 1 / pixel_nm[0]),  # pixels a nm: x, y
        metadata={"axes": "YX", "unit": "nm", "min": 0, "max": 1},
    )


_WARNING = "warning: "


def warnings_in(notes: Iterable[str]) -> list[str]:
    """The warnings among notes, each once, without the word "warning".

    Args:
        notes: lines of `provenance` and of what followed.
    """
    return list(
        dict.fromkeys(
            note.removeprefix(_WARNING)
            for note in notes
            if note.startswith(_WARNING)
        )
    )


def meaning_of_score(found: Found) -> str:
    """What the numbers in the column `score` are."""
    if found.deviations is None:
        return "standard deviations of S above its mean"
    return "probability of an impurity"


FORMAT = "stm-keras positions"
FORMAT_VERSION = 1

UNITS = {
    "row, col, rows, cols": "px; (0, 0) is the centre of the file's top left "
    "pixel; spans are first and one after the last",
    "x_nm, y_nm": "nm from the file's top left corner, x right, y down",
    "scanner_x_nm, scanner_y_nm, centre_nm": "nm on the sample in the "
    "scanner's own coordinates, x right, y up",
    "angle_deg": "degrees, counter-clockwise",
    "extent_nm, pixel_nm, origin_nm": "nm, along the rows (down) first",
    "bias_v": "V",
    "std_x_nm, std_y_nm": "nm, standard deviations of x_nm and y_nm",
    "rank": "1 is the highest score",
}


def write_json(
    path: Path, prediction: Prediction, *, mask_radius_nm: float
) -> None:
    """Write `document` to a file, UTF-8."""
    text = json.dumps(
        document(prediction, mask_radius_nm=mask_radius_nm),
        indent=2,
        allow_nan=False,
        ensure_ascii=False,
    )
    # Names of files may hold bytes that are no UTF-8; JSON has the same escape.
    path.write_text(text + "\n", "utf-8", "backslashreplace", newline="\n")


def document(
    prediction: Prediction, *, mask_radius_nm: float
) -> dict[str, Any]:
    """Positions and what is known of them, as JSON has it.

    Args:
        prediction: what was found.
        mask_radius_nm: of the discs in the mask [nm].

    Returns:
        Plain values; the keys are described in docs/predict.md.
    """
    card, options = prediction.card, prediction.options
    found = prediction.found
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "written_by": f"stm-keras {stm_keras.__version__}",
        "units": UNITS | {"score, threshold": meaning_of_score(found)},
        "source": _source(prediction.file_maps),
        "region": _region(prediction),
        "model": {
            "name": card.name,
            "made": card.made,
            "versions": card.versions,
            "ring_rad_px": list(card.ring_rad_px),
        },
        "options": {
            "surface": options.surface,
            "cleaning": dataclasses.asdict(options.cleaning),
            "tiling": options.tiling,
            "threshold": options.threshold,
            "false_discovery_rate": options.false_discovery_rate,
        },
        "threshold": found.threshold,
        "noise_floor_of_s": _finite(found.floor),
        "expected_false": found.expected_false,
        "found_in_surrogates": None
        if found.surrogates is None
        else found.surrogates.tolist(),
        "score_map": {
            "file": "S.npy",
            "shape_px": list(found.score.shape),
            "pixel_nm": list(prediction.maps.pixel_nm),
            "origin_nm": list(prediction.origin_nm),
        },
        "mask": {"file": "mask.npy", "radius_nm": mask_radius_nm},
        "positions": _positions(prediction),
        "warnings": warnings_in(prediction.notes),
        "provenance": list(prediction.notes),
    }


def _source(maps: ConductanceMaps) -> dict[str, Any]:
    placement = maps.placement
    return {
        "file": maps.source,
        "channel": maps.channel,
        "unit": maps.unit,
        "bias_v": maps.bias_v.tolist(),
        "shape_px": list(maps.shape[1:]),
        "extent_nm": list(maps.extent_nm),
        "pixel_nm": list(maps.pixel_nm),
        "placement": placement
        and {
            "centre_nm": list(placement.centre_nm),
            "angle_deg": placement.angle_deg,
        },
    }


def _region(prediction: Prediction) -> dict[str, Any]:
    row, col = prediction.origin_px
    _, height, width = prediction.levelled.shape
    return {
        "rows": [row, row + height],
        "cols": [col, col + width],
        "origin_nm": list(prediction.origin_nm),
        "bias_v": prediction.levelled.bias_v.tolist(),
    }


def _positions(prediction: Prediction) -> list[dict[str, float]]:
    """One a position, the highest score first."""
    places = prediction.positions_px
    scanner = prediction.file_maps.scanner_nm(places)
    deviations = prediction.deviations_nm
    listed = []
    for index, score in enumerate(prediction.scores):
        y_nm, x_nm = prediction.positions_nm[index]
        entry = {
            "row": float(places[index, 0]),
            "col": float(places[index, 1]),
            "x_nm": float(x_nm),
            "y_nm": float(y_nm),
        }
        if deviations is not None:
            entry["std_x_nm"] = float(deviations[index, 1])
            entry["std_y_nm"] = float(deviations[index, 0])
        if scanner is not None:
            entry["scanner_x_nm"] = float(scanner[index, 0])
            entry["scanner_y_nm"] = float(scanner[index, 1])
        listed.append(entry | {"score": float(score), "rank": index + 1})
    return listed


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class Export:
    """A file for another program.

    Attributes:
        program: its name, as the command line takes it.
        file: name of the file.
        writer: "module:function" in `stm_keras.outputs`.
        takes_mask: whether the writer takes the mask as well.
        writes_none: whether the program opens a file without a position.
        extra: of `pip install stm-keras[...]`, where the writer rests on a
            library that is not always there.
    """

    program: str
    file: str
    writer: str
    takes_mask: bool = False
    writes_none: bool = False
    extra: str = ""

    def load(self) -> Callable[..., None]:
        """The function that writes.

        Raises:
            InputError: where the extra is missing.
        """
        module, function = self.writer.split(":")
        try:
            library = import_module(f"stm_keras.outputs.{module}")
        except ModuleNotFoundError as error:
            if not self.extra or (error.name or "").startswith("stm_keras"):
                raise
            raise InputError(
                f"--export {self.program} needs the package {error.name}. "
                f"Install it with: pip install 'stm-keras[{self.extra}]'."
            ) from error
        return getattr(library, function)


EXPORTS: dict[str, Export] = {
    export.program: export
    for export in (
        Export("imagej", "RoiSet.zip", "imagej:write_roi_set", extra="imagej"),
        Export("napari", "napari_points.csv", "napari:write_points"),
        Export(
            "gwyddion",
            "result.gwy",
            "gwyddion:write_gwy",
            takes_mask=True,
            writes_none=True,
            extra="gwyddion",
        ),
    )
}
ALL = "all"


@dataclass(frozen=True)
class OutputOptions:
    """Choices of what is written.

    Attributes:
        exports: programs to write files for, keys of `EXPORTS`, or "all".
        mask_radius_nm: of the discs in the mask [nm].

    Raises:
        InputError: for an unknown program, one whose package is missing, or
            a radius that is not positive.
    """

    exports: tuple[str, ...] = ()
    mask_radius_nm: float = DEFAULT_RADIUS_NM

    def __post_init__(self) -> None:
        """Check everything before any work is done."""
        check_radius(self.mask_radius_nm)
        for name in self.exports:
            if name != ALL and name not in EXPORTS:
                raise InputError(
                    f"Unknown program to export for: {name!r}. Known: "
                    f"{', '.join(EXPORTS)}, {ALL}."
                )
        for export in self.chosen:
            export.load()

    @property
    def chosen(self) -> list[Export]:
        """The exports, in the order of the table."""
        return [
            export
            for name, export in EXPORTS.items()
            if name in self.exports or ALL in self.exports
        ]


FILES = (
    "positions.csv",
    "positions.json",
    "overview.png",
    "mask.tif",
    "mask.npy",
    "measured.npy",
    "S.npy",
)
"""What every result holds; files for other programs come after these."""


def write_prediction(
    prediction: Prediction,
    directory: str | Path,
    options: OutputOptions | None = None,
    *,
    truth_px: np.ndarray | None = None,
) -> list[Path]:
    """Write a result: `FILES`, and what `options` adds.

    All is written beside its place first and then moved there, so that an
    error leaves the directory as it was.

    Args:
        prediction: what to write.
        directory: where; made if missing. Other files in it stay.
        options: what to write.
        truth_px: row, column of the true positions [px], where they are
            known, for the picture.

    Returns:
        The files written.

    Raises:
        InputError: where it cannot be written to.
    """
    options = options or OutputOptions()
    out = writable_directory(directory)
    with tempfile.TemporaryDirectory(prefix=".stmk-", dir=out) as temporary:
        folder = Path(temporary)
        mask = impurity_mask(
            prediction.measured.shape,
            prediction.file_maps.pixel_nm,
            prediction.positions_px,
            options.mask_radius_nm,
        )
        names = [*FILES]
        _write_arrays(folder, prediction, mask)
        _write_table(folder, prediction)
        write_json(
            folder / "positions.json",
            prediction,
            mask_radius_nm=options.mask_radius_nm,
        )
        _draw(folder, prediction, truth_px)
        for export in options.chosen:
            if len(prediction.scores) or export.writes_none:
                extra = (mask,) if export.takes_mask else ()
                export.load()(folder / export.file, prediction, *extra)
                names.append(export.file)
        for name in names:
            (folder / name).replace(out / name)
    return [out / name for name in names]


def _write_arrays(
    folder: Path, prediction: Prediction, mask: np.ndarray
) -> None:
    np.save(folder / "S.npy", prediction.score)
    np.save(folder / "mask.npy", mask)
    np.save(folder / "measured.npy", prediction.measured.astype(np.uint8))
    write_mask_tiff(folder / "mask.tif", mask, prediction.file_maps.pixel_nm)


def _write_table(folder: Path, prediction: Prediction) -> None:
    maps = prediction.file_maps
    meaning = meaning_of_score(prediction.found)
    write_positions(
        folder / "positions.csv",
        prediction.positions_px,
        prediction.scores,
        pixel_nm=maps.pixel_nm,
        scanner_nm=maps.scanner_nm(prediction.positions_px),
        deviations_nm=prediction.deviations_nm,
        header_notes=[
            f"source: {maps.source}",
            f"score: {meaning}; detections of at least "
            f"{prediction.found.threshold:.4g}",
            f"model: {prediction.card.name}",
            *prediction.notes,
        ],
    )


def _draw(
    folder: Path, prediction: Prediction, truth_px: np.ndarray | None
) -> None:
    """The picture of the part that was looked at."""
    corner = prediction.origin_nm
    truth_nm = None
    if truth_px is not None:
        truth_nm = to_nm(truth_px, prediction.file_maps.pixel_nm) - corner
    plot_overview(
        folder / "overview.png",
        maps=prediction.levelled,
        score=prediction.score,
        criterion=_criterion(prediction.found),
        positions_nm=prediction.positions_nm - corner,
        truth_nm=truth_nm,
    )


def _criterion(found: Found) -> str:
    if found.deviations is None:
        return f"S > {found.threshold:.3g} std"
    return f"probability ≥ {found.threshold:.3g}"
