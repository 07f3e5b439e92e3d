"""Find the impurities in files, and write what was found."""

import dataclasses
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from stm_keras.analysis.positions_file import to_nm, write_positions
from stm_keras.errors import InputError
from stm_keras.files import atomic_file, writable_directory
from stm_keras.io.options import ReadOptions
from stm_keras.io.reader import read_maps
from stm_keras.plots import plot_overview
from stm_keras.prediction import (
    Prediction,
    PredictOptions,
    predict_maps,
)
from stm_keras.progress import Progress, no_progress
from stm_keras.saved_finder import load_finder


def predict_files(
    paths: Sequence[Path],
    model: str | Path,
    out: str | Path,
    read: ReadOptions,
    options: PredictOptions,
    *,
    progress: Progress = no_progress,
) -> Iterator[str]:
    """Find the impurities in files and write the results.

    All files are read before anything is written; results of files that are
    done stay when a later one is refused.

    Args:
        paths: the files.
        model: model directory.
        out: directory of the result; with several files, a folder for each
            goes into it, under the file's name.
        read: how to read the files.
        options: how to find.
        progress: told the number of tiles of a file scored, and of all.

    Yields:
        Lines for the user: what was found where, and any warning.

    Raises:
        InputError: where a file, the model, or the directory cannot be used.
    """
    stacks = [read_maps(path, **dataclasses.asdict(read)) for path in paths]
    finder = load_finder(model)
    folders = _folders(paths, Path(out))
    for maps, folder in zip(stacks, folders, strict=True):
        found = predict_maps(maps, finder, options, progress=progress)
        write_prediction(found, folder)
        yield (
            f"{maps.source}: {len(found.scores)} impurities in "
            f"{maps.channel or 'its maps'} ({len(maps.data)} map(s), "
            f"{maps.extent_nm[1]:.4g} x {maps.extent_nm[0]:.4g} nm)"
        )
        for note in found.notes:
            if note.startswith("warning"):
                yield f"  {note}"
        for name in OUTPUTS:
            yield f"  {folder / name}"


OUTPUTS = ("positions.csv", "overview.png", "S.npy")


def write_prediction(
    prediction: Prediction,
    directory: str | Path,
    *,
    truth_px: np.ndarray | None = None,
) -> None:
    """Write `positions.csv`, `overview.png` and `S.npy`.

    Args:
        prediction: what to write.
        directory: where; made if missing.
        truth_px: row, column of the true positions [px], where they are
            known, for the picture.

    Raises:
        InputError: where it cannot be written to.
    """
    out = writable_directory(directory)
    with atomic_file(out / "S.npy") as temporary:
        np.save(temporary, prediction.score)
    with atomic_file(out / "overview.png") as temporary:
        plot_overview(
            temporary,
            maps=prediction.levelled,
            score=prediction.score,
            threshold=prediction.threshold,
            positions_nm=prediction.positions_nm,
            truth_nm=None
            if truth_px is None
            else to_nm(truth_px, prediction.file_maps.pixel_nm),
        )
    write_positions(
        out / "positions.csv",
        prediction.positions_px,
        prediction.scores,
        pixel_nm=prediction.file_maps.pixel_nm,
        header_notes=[
            f"source: {prediction.file_maps.source}",
            "score: the network's S, in its standard deviations above its "
            f"mean; detections above {prediction.threshold:.4g}",
            *prediction.notes,
        ],
    )


def _folders(paths: Sequence[Path], out: Path) -> list[Path]:
    if len(paths) == 1:
        return [out]
    names = [path.stem for path in paths]
    if len(set(names)) < len(names):  # a.sxm and a.npz
        names = [path.name for path in paths]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(
            f"Two files are named {twice}: their results would overwrite each "
            "other. Predict them into different --out directories."
        )
    return [out / name for name in names]
