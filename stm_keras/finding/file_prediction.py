"""Find the impurities in files, and write what was found."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.files import writable_directory
from stm_keras.finding.predict_options import Companions, PredictOptions
from stm_keras.finding.prediction import predict_maps
from stm_keras.finding.saved_finder import Finder, load_finder
from stm_keras.io.channels import Quantity, quantity
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.reader import maps_of, open_recording
from stm_keras.io.recording import ReadOptions
from stm_keras.io.sets import expand, read_stack
from stm_keras.io.units import height_by_width
from stm_keras.outputs import summary
from stm_keras.outputs.options import OutputOptions
from stm_keras.outputs.result_folder import write_prediction
from stm_keras.outputs.summary import FileResult
from stm_keras.progress import Progress, no_progress


@dataclass(frozen=True)
class FileOptions:
    """Choices for `predict_files`.

    Attributes:
        read: how to read the files.
        predict: how to find.
        output: what to write.
        stack: all files are maps of one frame, and so one result.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    predict: PredictOptions = field(default_factory=PredictOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    stack: bool = False


def predict_files(
    paths: Sequence[Path],
    model: str | Path,
    out: str | Path,
    options: FileOptions,
    *,
    progress: Progress = no_progress,
) -> Iterator[str]:
    """Find the impurities in files and write the results.

    One file, or a stack, is one result in `out`, and a fault in it ends the
    work before anything is written. Of several files, or a folder, each has
    a folder of its own in `out`, named after it, and `summary.csv` tells how
    it went: a file that is refused does not stop the others.

    Args:
        paths: files and folders of files.
        model: model directory.
        out: directory of the result.
        options: how.
        progress: told the number of tiles of a file scored, and of all.

    Yields:
        Lines for the user: what was found where, and any warning.

    Raises:
        InputError: where a file, the model, or the directory cannot be used;
            of several files, once all others are done.
    """
    expanded = expand(paths)
    yield from expanded.notes
    files, out = list(expanded.paths), Path(out)
    _check_writable(out)
    if not options.stack and (len(files) != 1 or files != list(paths)):
        yield from _predict_each(files, model, out, options, progress)
        return
    maps = read_files(files, options)
    finder = load_finder(model)
    result = _find(files, maps, finder, out, options, progress)
    yield from _told(result)
    yield from (f"  {file}" for file in result.files)


def _predict_each(
    files: Sequence[Path],
    model: str | Path,
    out: Path,
    options: FileOptions,
    progress: Progress,
) -> Iterator[str]:
    """Many files, one after the other, whatever becomes of each."""
    folders = _folders(files, out)
    finder = load_finder(model)
    writable_directory(out)
    results: list[FileResult] = []
    for file, folder in zip(files, folders, strict=True):
        result = FileResult(str(file))
        try:
            maps = read_files([file], options)
            result = FileResult.of_maps(maps)
            result = _find([file], maps, finder, folder, options, progress)
        except InputError as error:
            result = replace(result, reason=str(error))
        results.append(result)
        # After each file: a long run that is stopped leaves what it did.
        summary.write_summary(out / summary.FILE, results)
        yield from _told(result)
    yield summary.format_summary(results)
    yield f"summary: {out / summary.FILE}"
    refused = sum(bool(result.reason) for result in results)
    if refused:
        raise InputError(
            f"{refused} of {len(files)} file(s) refused, the rest is done: see "
            f"the reasons in {out / summary.FILE}."
        )


def read_files(files: Sequence[Path], options: FileOptions) -> ConductanceMaps:
    """The maps of one file, or of all files of a stack."""
    if options.stack:
        return read_stack(files, options.read)
    return maps_of(open_recording(files[0]), options.read)


def _find(
    files: Sequence[Path],
    maps: ConductanceMaps,
    finder: Finder,
    folder: Path,
    options: FileOptions,
    progress: Progress,
) -> FileResult:
    found = predict_maps(
        maps,
        finder,
        options.predict,
        companions=companions_of(files, maps, options),
        progress=progress,
    )
    written = write_prediction(found, folder, options.output)
    return FileResult.of_maps(maps).with_prediction(found, written)


def companions_of(
    files: Sequence[Path], maps: ConductanceMaps, options: FileOptions
) -> Companions:
    """What the cleaning needs of the files beside the maps themselves."""
    cleaning = options.predict.cleaning
    current = reference = None
    if cleaning.normalise == "feenstra":
        current = _beside(files, options.read, "current")
    if cleaning.register and options.stack:
        # Topographs look alike at all biases, and the waves in dI/dV do not.
        try:
            reference = _beside(files, options.read, "topograph")
        except InputError:  # one is flat, say, at constant height
            reference = None
        if reference is not None and reference.shape != maps.shape:
            reference = None
    return Companions(current, reference)


def _beside(
    files: Sequence[Path], read: ReadOptions, wanted: Quantity
) -> ConductanceMaps | None:
    """Another quantity of the same files, or None where they lack it."""
    for channel in open_recording(files[0]).channels:
        if (
            quantity(channel.name, channel.unit) == wanted
            and channel.direction == read.direction
        ):
            return read_stack(files, replace(read, channel=channel.name))
    return None


def _told(result: FileResult) -> Iterator[str]:
    """Lines for the user on one file."""
    if result.shape is None or result.extent_nm is None or result.reason:
        yield f"refused: {result.reason}"
    else:
        yield (
            f"{result.file}: {result.found} impurities in "
            f"{result.channel or 'its maps'} ({result.shape[0]} map(s), "
            f"{height_by_width(result.extent_nm, 'nm')})"
        )
    if result.remark:
        yield f"  {result.remark}"
    yield from (f"  warning: {warning}" for warning in result.warnings)


def _check_writable(out: Path) -> None:
    """Refuse early what would fail late, without making a directory yet."""
    nearest = next(path for path in (out, *out.parents) if path.exists())
    if not nearest.is_dir():
        fault = f"{nearest} is a file"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        fault = f"no permission to write to {nearest}"
    else:
        return
    raise InputError(
        f"Cannot write to the directory {out}: {fault}. Choose another one."
    )


def _folders(paths: Sequence[Path], out: Path) -> list[Path]:
    """A folder for each file, named after it."""
    names = [path.stem for path in paths]
    if _twice(names):  # a.sxm and a.npz
        names = [path.name for path in paths]
    if twice := _twice(names):
        raise InputError(
            f"Two files are named {twice}: their results would overwrite each "
            "other. Predict them into different --out directories."
        )
    return [out / name for name in names]


def _twice(names: Sequence[str]) -> str | None:
    """A name that two share; large and small letters do not count."""
    seen = set[str]()
    for name in names:
        if name.casefold() in seen:
            return name
        seen.add(name.casefold())
    return None
