"""One table of many files: what was found in each, or why not."""

import csv
import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from stm_keras.files import atomic_file, writable_directory
from stm_keras.finding.prediction import Prediction
from stm_keras.io.maps import ConductanceMaps
from stm_keras.io.recording import printable
from stm_keras.outputs.notes import warnings_in

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

    def with_prediction(
        self, prediction: Prediction, files: Iterable[Path]
    ) -> "FileResult":
        """The same once its impurities are found and written."""
        return replace(
            self,
            found=len(prediction.scores),
            files=tuple(files),
            remark=_remark(prediction),
            warnings=tuple(warnings_in(prediction.notes)),
        )


def _remark(prediction: Prediction) -> str:
    """What the model says of its own errors, a line."""
    found = prediction.found
    if found.expected_false is None:
        return ""
    parts = [
        f"expected to be false among them: {found.expected_false:.2g} "
        f"(probability of at least {found.threshold:.2g})"
    ]
    if found.surrogates is not None:
        parts.append(
            f"found in {len(found.surrogates)} maps of the same spectrum "
            f"without an impurity: {found.surrogates.mean():.2g} each"
        )
    return "; ".join(parts)


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
