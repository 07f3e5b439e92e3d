"""A result's folder: all its files, or none."""

import json
import math
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
import yaml
from numpy.typing import ArrayLike, NDArray

import stm_keras
from stm_keras.detections import Detections
from stm_keras.errors import InputError
from stm_keras.files import JOURNAL, result_directory, result_in
from stm_keras.maps import ConductanceMaps
from stm_keras.preprocessing.local_ood import LAYER
from stm_keras.results.exports import ALL, EXPORTS, Export
from stm_keras.results.report import report_of
from stm_keras.results.waves import NOTES as WAVE_NOTES
from stm_keras.results.waves import (
    SPECIES,
    FoundWaves,
    section,
    waves_about,
    with_residual,
    with_species,
    write_wave_files,
)

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
        mask: uint8 [H, W], of 0 and 1; drawn in black and white.
        pixel_nm: height and width of a pixel [nm].
    """
    tifffile.imwrite(
        path,
        mask,
        imagej=True,
        resolution=(1 / pixel_nm[1], 1 / pixel_nm[0]),  # pixels a nm: x, y
        metadata={"axes": "YX", "unit": "nm", "min": 0, "max": 1},
    )


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
    "wave_evidence": "amplitude in deviations; null where waves say nothing",
    "local_ood": "local out-of-distribution score at the impurity; above 1 "
    "the maps are unlike the training there",
    "species": "kind by waves, 1 the most numerous; null: not determined",
}


def write_json(
    path: Path,
    found: Detections,
    *,
    mask_radius_nm: float,
    waves: FoundWaves | None = None,
) -> None:
    """Write `document` to a file, UTF-8."""
    text = json.dumps(
        document(found, mask_radius_nm=mask_radius_nm, waves=waves),
        indent=2,
        allow_nan=False,
        ensure_ascii=False,
    )
    # Names of files may hold bytes that are no UTF-8; JSON has the same escape.
    path.write_text(text + "\n", "utf-8", "backslashreplace", newline="\n")


def document(
    found: Detections,
    *,
    mask_radius_nm: float,
    waves: FoundWaves | None = None,
) -> dict[str, Any]:
    """Positions and what is known of them, as JSON has it.

    Args:
        found: the impurities.
        mask_radius_nm: of the discs in the mask [nm].
        waves: about the impurities, for a section of their own; None for
            none.

    Returns:
        Plain values; the keys are described in docs/files.md.
    """
    search = found.search
    return {
        "format": FORMAT,
        "format_version": FORMAT_VERSION,
        "written_by": f"stm-keras {stm_keras.__version__}",
        "units": UNITS | {"score, threshold": found.meaning_of_score},
        "source": _source(found.maps),
        "region": _region(found),
        "model": dict(search.model),
        "options": dict(search.options),
        "threshold": found.threshold,
        "noise_floor_of_s": _finite(found.floor),
        "expected_false": found.expected_false,
        "found_in_surrogates": None
        if found.surrogates is None
        else found.surrogates.tolist(),
        "score_map": {
            "file": "S.npy",
            "shape_px": list(search.score.shape),
            "pixel_nm": list(search.maps.pixel_nm),
            "origin_nm": list(search.origin_nm),
        },
        "mask": {"file": "mask.npy", "radius_nm": mask_radius_nm},
        "positions": found.records(),
        **({} if waves is None else {"waves": section(waves)}),
        "warnings": found.warnings,
        "provenance": list(found.notes),
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


def _region(found: Detections) -> dict[str, Any]:
    search = found.search
    row, col = search.origin_px
    _, height, width = search.levelled.shape
    return {
        "rows": [row, row + height],
        "cols": [col, col + width],
        "origin_nm": list(search.origin_nm),
        "bias_v": search.levelled.bias_v.tolist(),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


@dataclass(frozen=True)
class OutputOptions:
    """Choices of what is written.

    Attributes:
        exports: programs to write files for, keys of `EXPORTS`, or "all".
        mask_radius_nm: of the discs in the mask [nm].
        report: whether the page report.html is written.
        settings: what `stmk predict --config` needs to do the same again,
            plain values by the names of its options; None for none.

    Raises:
        InputError: for an unknown program, one whose package is missing, or
            a radius that is not positive.
    """

    exports: tuple[str, ...] = ()
    mask_radius_nm: float = DEFAULT_RADIUS_NM
    report: bool = True
    settings: Mapping[str, Any] | None = None

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


REPORT = "report.html"
FILES = (
    "positions.csv",
    "positions.txt",
    "positions.json",
    "overview.png",
    "mask.tif",
    "mask.npy",
    "measured.npy",
    "S.npy",
    REPORT,
)
"""What a result holds, the report where it is asked for; files for other
programs come after these, with `--waves` those of `results.waves`."""


LOCAL_OOD = "local_ood.npy"
"""The local OOD score at the pixel of S.npy, with `context`."""

SETTINGS = "options.yaml"
"""The options of `stmk predict` that gave a result."""


def write_settings(path: Path, settings: Mapping[str, Any]) -> None:
    """Write options for `stmk predict --config`.

    Args:
        path: the file.
        settings: plain values by the names of the options.
    """
    text = yaml.safe_dump(
        dict(settings), sort_keys=False, allow_unicode=True, width=80
    )
    path.write_text(
        f"# stm-keras {stm_keras.__version__}. The same again:\n"
        f"#     stmk predict --config {SETTINGS}\n{text}",
        "utf-8",
        "backslashreplace",
    )


def write_result(
    found: Detections,
    directory: str | Path,
    options: OutputOptions | None = None,
    *,
    truth_px: np.ndarray | None = None,
) -> list[Path]:
    """Write a result: `FILES`, and what `options` adds.

    All is written beside its place first and then moved there together, see
    `files.result_in`: an error leaves the directory as it was, and a kill is
    mended by the next run.

    Args:
        found: what to write.
        directory: where; made if missing. Other files in it stay.
        options: what to write.
        truth_px: row, column of the true positions [px], where they are
            known, for the pictures.

    Returns:
        The files written.

    Raises:
        InputError: where it cannot be written to, is a model's, or holds
            files of these names that no result brought there.
    """
    options = options or OutputOptions()
    out = Path(directory)
    exported = (export.file for export in options.chosen)
    check_results(out, (*FILES, LOCAL_OOD, *exported))
    waves = None
    if found.search.options.get("waves"):
        waves = waves_about(found)
        found = with_residual(with_species(found, waves), waves)
    out = result_directory(out)
    with result_in(out) as folder:
        mask = impurity_mask(
            found.measured.shape,
            found.maps.pixel_nm,
            found.positions_px,
            options.mask_radius_nm,
        )
        names = [*FILES]
        _write_arrays(folder, found, mask)
        _write_table(folder, found)
        write_json(
            folder / "positions.json",
            found,
            mask_radius_nm=options.mask_radius_nm,
            waves=waves,
        )
        names += _write_local(folder, found)
        names += [] if waves is None else write_wave_files(folder, waves)
        _draw(folder, found, truth_px)
        if options.report:
            # Into the folder of all others: one that is gone stays so.
            page = report_of(found, truth_px).html
            (folder / REPORT).write_text(page, "utf-8", newline="\n")
        else:
            names.remove(REPORT)
        if options.settings is not None:
            write_settings(folder / SETTINGS, options.settings)
            names.append(SETTINGS)
        for export in options.chosen:
            if len(found.scores) or export.writes_none:
                extra = (mask,) if export.takes_mask else ()
                export.load()(folder / export.file, found, *extra)
                names.append(export.file)
    return [out / name for name in names]


def check_results(out: Path, names: Iterable[str]) -> None:
    """Refuse to write over a user's own files.

    Args:
        out: directory of a result; it may be missing.
        names: of files that will be written.

    Raises:
        InputError: where one of them is there, and no result of this package.
    """
    taken = [name for name in names if os.path.lexists(out / name)]
    if taken and not os.path.lexists(out / JOURNAL) and not _is_result(out):
        raise InputError(
            f"{out / taken[0]} is there already, and no result of stmk: move "
            "it away, or choose another --out."
        )


def _is_result(out: Path) -> bool:
    """Whether a folder's positions.json is ours; it comes with all others."""
    try:
        with (out / RESULT).open("rb") as file:
            return FORMAT.encode() in file.read(_HEAD_BYTES)
    except OSError:
        return False


RESULT = "positions.json"
_HEAD_BYTES = 200


def _write_arrays(folder: Path, found: Detections, mask: np.ndarray) -> None:
    np.save(folder / "S.npy", found.search.score)
    np.save(folder / "mask.npy", mask)
    np.save(folder / "measured.npy", found.measured.astype(np.uint8))
    write_mask_tiff(folder / "mask.tif", mask, found.maps.pixel_nm)


def _write_local(folder: Path, found: Detections) -> list[str]:
    """The local OOD score, where the network's answer comes with one."""
    local = found.search.layers.get(LAYER)
    if local is None:
        return []
    np.save(folder / LOCAL_OOD, np.asarray(local, np.float32))
    return [LOCAL_OOD]


def _write_table(folder: Path, found: Detections) -> None:
    found.to_csv(
        folder / "positions.csv",
        [
            f"source: {found.maps.source}",
            f"score: {found.meaning_of_score}; detections of at least "
            f"{found.threshold:.4g}",
            f"model: {found.search.model['name']}",
            *(WAVE_NOTES if SPECIES in found.physics else ()),
        ],
    )


def _draw(folder: Path, found: Detections, truth_px: np.ndarray | None) -> None:
    """The picture of the part that was searched."""
    figure = found.plot(truth_px=truth_px)
    figure.savefig(folder / "overview.png")
