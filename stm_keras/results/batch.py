"""Find the impurities in files, and write what was found."""

import csv
import io
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from stm_keras.detections import Detections, warnings_in
from stm_keras.errors import InputError
from stm_keras.files import (
    JOURNAL,
    atomic_file,
    refuse_model_directory,
    result_directory,
    result_in,
    writable_directory,
)
from stm_keras.io.channels import Quantity, quantity
from stm_keras.io.reader import maps_of, open_recording
from stm_keras.io.recording import ReadOptions, printable
from stm_keras.io.sets import expand, read_stack
from stm_keras.maps import ConductanceMaps
from stm_keras.models.shipped import find_card
from stm_keras.preprocessing.merged import merged_biases
from stm_keras.preprocessing.preparation import (
    Companions,
    PredictOptions,
    PreparedMaps,
)
from stm_keras.results.folder import OutputOptions, write_result
from stm_keras.system import Progress, no_progress
from stm_keras.units import counted, height_by_width, plainly

if TYPE_CHECKING:
    from stm_keras.detector import Detector

FILE = "summary.csv"
OK = "ok"
REFUSED = "refused"
COLUMNS = (
    "file",
    "status",
    "found",
    "channel",
    "maps",
    "bias_v",
    "height_nm",
    "width_nm",
    "rows",
    "cols",
    "result",
    "warnings",
    "reason",
)


@dataclass(frozen=True)
class FileResult:
    """How it went with one file: numbers alone, as there may be many.

    Attributes:
        file: its path.
        channel: the channel read; empty, like all that follows, where the
            file could not be read.
        shape: number of maps, rows and columns.
        bias_v: of each map [V].
        extent_nm: height and width [nm].
        found: number of impurities; None where the file was refused.
        files: that were written.
        remark: how many of the found are expected to be false; empty where
            the model does not tell.
        warnings: what to be wary of, a line each.
        reason: why it was refused, a line; empty where it was not.
        notes: all that was done, a line each.
        expected_false: expected number of false ones; None likewise.
        records: the impurities, a dictionary each.
    """

    file: str
    channel: str = ""
    shape: tuple[int, int, int] | None = None
    bias_v: tuple[float, ...] = ()
    extent_nm: tuple[float, float] | None = None
    found: int | None = None
    files: tuple[Path, ...] = ()
    remark: str = ""
    warnings: tuple[str, ...] = ()
    reason: str = ""
    notes: tuple[str, ...] = ()
    expected_false: float | None = None
    records: tuple[Mapping[str, Any], ...] = ()

    @classmethod
    def of_maps(cls, maps: ConductanceMaps) -> "FileResult":
        """What is known once a file is read."""
        return cls(
            maps.source,
            channel=printable(maps.channel),
            shape=maps.shape,
            bias_v=tuple(maps.bias_v.tolist()),
            extent_nm=maps.extent_nm,
            warnings=tuple(warnings_in(maps.provenance)),
        )

    def with_detections(
        self, found: Detections, files: Iterable[Path]
    ) -> "FileResult":
        """The same once its impurities are found and written."""
        return replace(
            self,
            found=len(found),
            files=tuple(files),
            remark=_remark(found),
            warnings=tuple(found.warnings),
            notes=found.notes,
            expected_false=found.expected_false,
            records=tuple(found.records()),
        )

    def as_fields(self) -> dict[str, Any]:
        """What a program is told of it, as JSON has it."""
        return {
            "file": self.file,
            "status": REFUSED if self.reason else OK,
            "reason": self.reason or None,
            "channel": self.channel or None,
            "bias_v": list(self.bias_v),
            "extent_nm": self.extent_nm and list(self.extent_nm),
            "shape": self.shape and list(self.shape),
            "found": self.found,
            "expected_false": self.expected_false,
            "positions": list(self.records),
            "warnings": list(self.warnings),
            "files": list(map(str, self.files)),
        }


def _remark(found: Detections) -> str:
    """What the model says of its own errors, a line; none if all are sure."""
    if found.expected_false is None:
        return ""
    parts = []
    expected = counted(found.expected_false)
    if expected and len(found):
        several = expected not in ("1", "perhaps 1")
        parts.append(
            f"{expected} of these {len(found)} {'are' if several else 'is'} "
            "expected to be false"
        )
    if found.surrogates is not None and found.surrogates.any():
        parts.append(
            "in phase-randomised surrogate maps, which hold no impurity, it "
            f"finds {plainly(found.surrogates.mean())} each"
        )
    return "; ".join(parts)


Report = Callable[[FileResult], None]
"""Told how it went with a file, once it is done."""


def no_report(result: FileResult) -> None:
    """Tell nobody."""


def load_detector(model: str | Path, *, trust: bool = False) -> "Detector":
    """See `stm_keras.detector`, imported when a model is needed.

    So what is wrong with a file or an option is known before TensorFlow is
    imported, which takes seconds.
    """
    from stm_keras import detector

    return detector.load_detector(model, trust=trust)


def write_summary(path: str | Path, results: Sequence[FileResult]) -> None:
    """Write `COLUMNS` of each file as CSV, UTF-8.

    Several biases or warnings in a cell are separated by "; "; what is not
    known is an empty cell.

    Raises:
        InputError: where the directory cannot be written to.
    """
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(COLUMNS)
    table.writerows(map(_cells, results))
    writable_directory(Path(path).parent)
    with atomic_file(path) as temporary:
        # Names of files may hold bytes that are no UTF-8.
        temporary.write_text(
            text.getvalue(), "utf-8", "backslashreplace", newline="\n"
        )


def _cells(result: FileResult) -> list[str]:
    cells = dict.fromkeys(COLUMNS, "")
    cells["file"] = result.file
    cells["status"] = REFUSED if result.reason else OK
    cells["channel"] = result.channel
    cells["bias_v"] = "; ".join(f"{bias:.6g}" for bias in result.bias_v)
    cells["warnings"] = "; ".join(map(printable, result.warnings))
    cells["reason"] = printable(result.reason)
    if result.shape is not None:
        names = ("maps", "rows", "cols")
        cells |= dict(zip(names, map(str, result.shape), strict=True))
    if result.extent_nm is not None:
        sides = (f"{side:.6g}" for side in result.extent_nm)
        cells["height_nm"], cells["width_nm"] = sides
    if result.found is not None:
        cells["found"] = str(result.found)
        cells["result"] = str(result.files[0].parent)
    return list(cells.values())


def format_summary(results: Sequence[FileResult]) -> str:
    """The same as a plain text table, shorter.

    Returns:
        A heading and a line a file, aligned, without a last line end.
    """
    table = [("file", "channel", "bias [V]", "nm", "px", "found", "warnings")]
    table += [_short(result) for result in results]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) for cell, width in zip(row, widths, strict=True)
        ).rstrip()
        for row in table
    )


def _short(result: FileResult) -> tuple[str, ...]:
    name = printable(Path(result.file).name)
    found = REFUSED if result.found is None else str(result.found)
    warned = str(len(result.warnings) or "")
    if result.shape is None or result.extent_nm is None:
        return (name, "-", "-", "-", "-", found, warned)
    n_maps, rows, cols = result.shape
    bias = f"{min(result.bias_v):.4g}"
    if n_maps > 1:
        bias += f" to {max(result.bias_v):.4g} ({n_maps})"
    size = " x ".join(f"{side:.4g}" for side in result.extent_nm)
    channel = result.channel or "-"
    return (name, channel, bias, size, f"{rows} x {cols}", found, warned)


@dataclass(frozen=True)
class FileOptions:
    """Choices for `predict_files`.

    Attributes:
        read: how to read the files.
        predict: how to find.
        output: what to write.
        stack: all files are maps of one frame, and so one result.
        trust_model: load the model unchecked, see `load_detector`.
    """

    read: ReadOptions = field(default_factory=ReadOptions)
    predict: PredictOptions = field(default_factory=PredictOptions)
    output: OutputOptions = field(default_factory=OutputOptions)
    stack: bool = False
    trust_model: bool = False


def _load(model: str | Path, options: FileOptions) -> "Detector":
    return load_detector(model, trust=options.trust_model)


def predict_files(
    paths: Sequence[Path],
    model: str | Path,
    out: str | Path,
    options: FileOptions,
    *,
    progress: Progress = no_progress,
    load: Callable[[str | Path], "Detector"] | None = None,
    report: Report = no_report,
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
        load: loads the model, once the first file is read; by default
            `load_detector`.
        report: told how it went with each file.

    Yields:
        Lines for the user: what was found where, and any warning.

    Raises:
        InputError: where a file, the model, or the directory cannot be used;
            of several files, once all others are done.
    """
    expanded = expand(paths)
    yield from expanded.notes
    files, out = list(expanded.paths), Path(out)
    check_writable(out)
    refuse_model_directory(out)
    if not options.stack and (len(files) != 1 or files != list(paths)):
        folders = folders_of(files, out)
        detector = load(model) if load else _load(model, options)
        yield from _predict_each(
            files, detector, folders, out, options, progress, report
        )
        return
    maps = read_files(files, options)
    detector = load(model) if load else _load(model, options)
    result = _find(files, maps, detector, out, options, progress)
    report(result)
    yield from told(result)
    yield from (f"  {file}" for file in result.files)


def _predict_each(
    files: Sequence[Path],
    detector: "Detector",
    folders: Sequence[Path],
    out: Path,
    options: FileOptions,
    progress: Progress,
    report: Report,
) -> Iterator[str]:
    """Many files, one after the other, whatever becomes of each."""
    writable_directory(out)
    results: list[FileResult] = []
    for file, folder in zip(files, folders, strict=True):
        result = find_in_file(file, folder, detector, options, progress)
        report(result)
        # Positions of a night of files would fill the memory.
        results.append(replace(result, records=(), notes=()))
        # After each file: a long run that is stopped leaves what it did.
        write_summary(out / FILE, results)
        yield from told(result)
    yield from concluded(results, out)


def find_in_file(
    file: Path,
    folder: Path,
    detector: "Detector",
    options: FileOptions,
    progress: Progress = no_progress,
) -> FileResult:
    """Find the impurities in one file of many; a refusal is a result too.

    Args:
        file: one file.
        folder: of its result.
        detector: a loaded model.
        options: how.
        progress: told the number of tiles scored, and of all.
    """
    result = FileResult(str(file))
    try:
        maps = read_files([file], options)
        result = FileResult.of_maps(maps)
        return _find([file], maps, detector, folder, options, progress)
    except InputError as error:
        return replace(result, reason=str(error))


def concluded(results: Sequence[FileResult], out: Path) -> Iterator[str]:
    """The last lines on many files, whose summary is written.

    Raises:
        InputError: where any was refused.
    """
    yield format_summary(results)
    yield f"summary: {out / FILE}"
    refused = sum(bool(result.reason) for result in results)
    if refused:
        raise InputError(
            f"{refused} of {len(results)} file(s) refused, the rest is done: "
            f"see the reasons in {out / FILE}."
        )


def read_files(files: Sequence[Path], options: FileOptions) -> ConductanceMaps:
    """The maps of one file, or of all files of a stack."""
    if options.stack:
        return read_stack(files, options.read)
    return maps_of(open_recording(files[0]), options.read)


def _find(
    files: Sequence[Path],
    maps: ConductanceMaps,
    detector: "Detector",
    folder: Path,
    options: FileOptions,
    progress: Progress,
) -> FileResult:
    found = detector.predict(
        maps,
        options.predict,
        companions=companions_of(files, maps, options),
        progress=progress,
    )
    output = options.output
    if output.settings is not None:
        own = {"files": list(map(str, files)), "out": str(folder)}
        output = replace(output, settings={**own, **output.settings})
    written = write_result(found, folder, output)
    return FileResult.of_maps(maps).with_detections(found, written)


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


def told(result: FileResult) -> Iterator[str]:
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


def check_writable(out: Path) -> None:
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


def folders_of(paths: Sequence[Path], out: Path) -> list[Path]:
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


FILES = (
    "maps.npy",
    "pixel_nm.npy",
    "ring_per_nm.npy",
    "inputs.json",
    "frame.json",
)
FRAME = "frame.json"
_IN_FRAME = b'"position_in_file_px": "(px + 0.5)'
_MOST_FRAME_BYTES = 1 << 20

_MOST_OFF_PX = 0.05
"""What the mean of two sides may do to a position without a word."""


def write_tensors(
    paths: Sequence[Path],
    model: str | Path,
    out: str | Path,
    options: FileOptions,
) -> list[str]:
    """Write the inputs of a model's signatures for a file.

    It does what `stmk predict` does before the network, in the folder `out`:
    `maps.npy` float32 [1, V, H, W] at the network's pixel, NaN where not
    measured, of many maps means (see `merged_biases`); `pixel_nm.npy` [1];
    `ring_per_nm.npy` [1, V], for a model that takes it; `inputs.json`, the same
    for a REST request; and `frame.json`, which tells how to get from pixels of
    the maps to those of the file, and all that was done.

    Args:
        paths: one file, or those of a stack.
        model: directory or name, of which the card is read.
        out: folder to write to; other files in it stay.
        options: how to read and clean.

    Returns:
        What to be wary of.

    Raises:
        InputError: where a file, the model or the folder cannot be used, or
            the frame is too small for the model.
    """
    from stm_keras.detector import check_size, kind_of

    files = list(expand(paths).paths)
    _, card = find_card(model)
    if not options.stack and len(files) != 1:
        raise InputError(
            f"{len(files)} files: give one, or --stack for maps of one frame."
        )
    maps = read_files(files, options)
    beside = companions_of(files, maps, options)
    kind = kind_of(card)
    ready = kind.prepare(card, maps, options.predict, beside)
    check_size(ready.ready, kind.least_px(card), card.name)
    notes = [*ready.ready.provenance, *_oblong(ready)]
    out = Path(out)
    _check_tensors(out)
    out = result_directory(out)
    with result_in(out, drop=FILES) as folder:  # or of another model's tensors
        for name, values in tensors_of(ready).items():
            np.save(folder / f"{name}.npy", values)
        _write_json(folder / "inputs.json", _request(ready))
        _write_json(folder / FRAME, _frame(ready, notes))
    return [note for note in notes if note.startswith("warning:")]


def _check_tensors(out: Path) -> None:
    """Refuse to write over a user's own files."""
    taken = [name for name in FILES if os.path.lexists(out / name)]
    try:
        with (out / FRAME).open("rb") as file:
            ours = _IN_FRAME in file.read(_MOST_FRAME_BYTES)
    except OSError:
        ours = False
    if taken and not ours and not os.path.lexists(out / JOURNAL):
        raise InputError(
            f"{out / taken[0]} is there already, and not of `stmk prepare`: "
            "move it away, or choose another --out."
        )


def _oblong(ready: PreparedMaps) -> list[str]:
    """A warning where the one side of a pixel that is told is not both."""
    pixel = np.asarray(ready.ready.pixel_nm)
    off = np.abs(pixel - pixel.mean()) * ready.ready.shape[1:]
    if off.max() < _MOST_OFF_PX * pixel.mean():
        return []
    return [
        f"warning: pixels are {pixel[0]:.5g} x {pixel[1]:.5g} nm, and a model "
        f"takes their mean: its positions_nm are up to {off.max():.2g} nm off; "
        "make them of positions_px, as frame.json says"
    ]


def tensors_of(ready: PreparedMaps) -> dict[str, np.ndarray]:
    """The inputs by name; see `write_tensors`."""
    pixel = np.array([np.mean(ready.ready.pixel_nm)], np.float32)
    maps, ring = ready.ready.data.astype(np.float32), ready.q_per_nm
    if ring is None:
        return {"maps": maps[None], "pixel_nm": pixel}
    maps, ring = merged_biases(maps, ring)
    return {
        "maps": maps[None],
        "pixel_nm": pixel,
        "ring_per_nm": ring[None].astype(np.float32),
    }


def _request(ready: PreparedMaps) -> dict[str, object]:
    """TensorFlow Serving's columnar form, for the signature `locate`."""
    named = {k: v.tolist() for k, v in tensors_of(ready).items()}
    return {"signature_name": "locate", "inputs": named}


def _frame(ready: PreparedMaps, notes: list[str]) -> dict[str, object]:
    maps = ready.part
    return {
        "source": maps.source,
        "origin_px": list(ready.origin_px),
        "file_pixel_nm": list(maps.pixel_nm),
        "file_px_per_px": ready.scale.tolist(),
        "bias_v": maps.bias_v.tolist(),
        "position_in_file_px": "(px + 0.5) * file_px_per_px - 0.5 + origin_px",
        "position_in_file_nm": "(position_in_file_px + 0.5) * file_pixel_nm",
        "provenance": notes,
    }


def _write_json(path: Path, content: dict[str, object]) -> None:
    path.write_text(json.dumps(content) + "\n")
