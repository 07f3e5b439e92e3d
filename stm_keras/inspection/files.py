"""Inspect files: text for the terminal, pictures and a JSON report."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from stm_keras import surfaces
from stm_keras.errors import InputError
from stm_keras.inspection.inspect import (
    FileReport,
    inspect_file,
    joint_surfaces,
)
from stm_keras.inspection.report_json import as_json
from stm_keras.inspection.report_text import report_lines, surface_lines
from stm_keras.io.recording import ReadOptions
from stm_keras.io.sets import expand
from stm_keras.system import atomic_file, writable_directory


def inspect_files(
    paths: Sequence[Path],
    read: ReadOptions,
    *,
    surface: str | None = None,
    out: Path | None = None,
    json_path: Path | None = None,
) -> Iterator[str]:
    """Inspect files one by one, and what they say together.

    Args:
        paths: files and folders.
        read: how to read them.
        surface: a key of `SURFACES` to check the rings against.
        out: directory for a picture of each file; None for none.
        json_path: file for the reports; None for none.

    Yields:
        Lines for the user.

    Raises:
        InputError: where an option or the only file cannot be used; of
            several files, once the others are reported.
    """
    if surface is not None:
        surfaces.surface(surface)
    files, notes = expand(paths)
    if out is not None:
        out = writable_directory(out)
    yield from notes
    reports, failed = list[FileReport](), list[InputError]()
    for number, path in enumerate(files):
        try:
            report = inspect_file(path, read, surface)
        except InputError as error:
            if len(files) == 1:
                raise
            failed.append(error)
            yield f"not read: {error}"
            continue
        reports.append(report)
        if number:
            yield ""
        yield from report_lines(report)
        if out is not None:
            yield from _picture(report, out)
    together = joint_surfaces(reports, surface)
    if together is not None:
        yield ""
        yield f"All {len(reports)} files together, if of one sample:"
        yield from surface_lines(together)
    if json_path is not None:
        write_json(json_path, as_json(reports, together))
        yield f"report: {json_path}"
    if failed:
        raise InputError(
            f"{len(failed)} of {len(files)} files could not be read: see "
            "above. Leave them out or copy them again."
        )


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a report; see `report_json.as_json`."""
    with atomic_file(path) as temporary:
        temporary.write_text(json.dumps(content, indent=2) + "\n")


def _picture(report: FileReport, out: Path) -> Iterator[str]:
    # matplotlib takes as long to load as all the rest.
    from stm_keras.inspection.picture import plot_report

    # With its suffix: a.sxm and a.npz have a picture each.
    path = out / f"{Path(report.recording.source).name}.inspect.png"
    with atomic_file(path) as temporary:
        drawn = plot_report(temporary, report)
    yield f"  {'picture':14} {path if drawn else 'nothing to draw'}"
