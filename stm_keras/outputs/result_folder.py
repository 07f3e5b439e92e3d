"""A result's folder: all its files, or none."""

import tempfile
from pathlib import Path

import numpy as np

from stm_keras.analysis.positions_file import to_nm, write_positions
from stm_keras.files import writable_directory
from stm_keras.finding.found import Found
from stm_keras.finding.prediction import Prediction
from stm_keras.outputs.mask import impurity_mask, write_mask_tiff
from stm_keras.outputs.notes import meaning_of_score
from stm_keras.outputs.options import OutputOptions
from stm_keras.outputs.positions_json import write_json
from stm_keras.plots import plot_overview

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
