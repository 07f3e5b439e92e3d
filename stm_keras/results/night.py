"""A night of files on Apache Beam's workers, one result a file.

Each worker process loads the model once, and treats a file as a plain
`predict_files` does. How it went with a file is kept beside the results,
in `UNFINISHED`, until all are done: a run that was stopped is gone on with by
the same command.
"""

import dataclasses
import functools
import hashlib
import json
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stm_keras.beam import pipeline_options, whole_transfers
from stm_keras.errors import InputError
from stm_keras.files import (
    atomic_file,
    refuse_model_directory,
    writable_directory,
)
from stm_keras.io.sets import expand
from stm_keras.results import batch
from stm_keras.results.batch import FileOptions, FileResult, Report, no_report
from stm_keras.system import keep_freed_memory, single_threaded

UNFINISHED = ".unfinished"
"""Folder in the directory of the results: a file for each that is done."""


@dataclass(frozen=True)
class _Task:
    """One file to predict, as a worker is given it.

    Attributes:
        file: its path.
        folder: of its result.
        note: where it is kept how it went.
        key: of file, model and options; another one's note counts for nothing.
    """

    file: Path
    folder: Path
    note: Path
    key: str


def predict_with_beam(
    paths: Sequence[Path],
    model: str | Path,
    out: str | Path,
    options: FileOptions,
    beam_options: str,
    *,
    report: Report = no_report,
    prepare: Callable[[], None] | None = None,
) -> Iterator[str]:
    """Find the impurities in many files with Apache Beam.

    Results, summary and lines are those of `predict_files`.

    Args:
        paths: files and folders of files.
        model: model directory, which all workers reach.
        out: directory of the results, likewise.
        options: how.
        beam_options: see `stm_keras.beam.pipeline_options`.
        report: told how it went with each file, once all are done.
        prepare: a module's function that a worker calls before it loads the
            model.

    Yields:
        Lines for the user: what was found where, and any warning.

    Raises:
        InputError: for a single file or a stack, wrong options, a model or
            directory that cannot be used, files that the runner lost; and
            once all others are done, where one was refused.
    """
    pipeline = pipeline_options(beam_options)
    expanded = expand(paths)
    yield from expanded.notes
    out, model, files = Path(out), Path(model), list(expanded.paths)
    if options.stack or (len(files) == 1 and files == list(paths)):
        raise InputError(
            "--beam-pipeline-options is for a folder or several files with a "
            "result each. Leave it out for one file, or a --stack."
        )
    batch.check_writable(out)
    refuse_model_directory(out)
    folders = batch.folders_of(files, out)
    notes = writable_directory(writable_directory(out) / UNFINISHED)
    card = model / "SHA256SUMS"
    sums = card.read_bytes() if card.exists() else b""
    tasks = [
        _Task(file, folder, notes / f"{folder.name}.json", key)
        for file, folder in zip(files, folders, strict=True)
        for key in [_key(file, sums, options)]
    ]
    waiting = [task for task in tasks if _noted(task) is None]
    if len(waiting) < len(tasks):
        yield f"{len(tasks) - len(waiting)} file(s) are done from before"
    _run(waiting, model, options, pipeline, prepare)
    yield from _gathered(tasks, out, report)


def _gathered(
    tasks: Sequence[_Task], out: Path, report: Report
) -> Iterator[str]:
    """Put together how it went with the files, in their order."""
    noted = [(task, _noted(task)) for task in tasks]
    results = [
        dataclasses.replace(result, records=(), notes=())
        for _, result in noted
        if result is not None
    ]
    batch.write_summary(out / batch.FILE, results)
    lost = len(tasks) - len(results)
    if lost:
        raise InputError(
            f"Beam's runner lost {lost} of {len(tasks)} file(s), the rest is "
            "done. Run the same command again: it does those alone."
        )
    for _, result in noted:
        if result is not None:
            report(result)
            yield from batch.told(result)
    shutil.rmtree(out / UNFINISHED)
    yield from batch.concluded(results, out)


def _run(
    tasks: Sequence[_Task],
    model: Path,
    options: FileOptions,
    pipeline_options: Any,
    prepare: Callable[[], None] | None,
) -> None:
    """Have Beam's workers do the tasks."""
    import apache_beam as beam  # pyright: ignore[reportMissingImports]
    from apache_beam.options.pipeline_options import (  # pyright: ignore[reportMissingImports]
        DirectOptions,
    )

    if not tasks:
        return
    direct = pipeline_options.view_as(DirectOptions)
    # Processes share the cores; threads of each would wait for the others'.
    several = direct.direct_running_mode == "multi_processing"
    work = functools.partial(_do, model, options, prepare)
    try:
        with (
            whole_transfers(),
            single_threaded() if several else nullcontext(),
            beam.Pipeline(options=pipeline_options) as pipeline,
        ):
            _ = (
                pipeline
                | "Files" >> beam.Create(list(tasks))
                # Else the runner would fuse the steps: one worker for all.
                | "Spread" >> beam.Reshuffle()
                | "Find" >> beam.Map(work)
            )
    except InputError:
        raise
    except Exception as error:
        # From another process only the text arrives, the reason last.
        lines = str(error).strip().splitlines() or [type(error).__name__]
        named = [line for line in lines if line.startswith(_OWN)]
        reason = named[-1].partition(": ")[2] if named else lines[-1]
        raise InputError(
            f"A worker of Beam failed: {reason[:300]} What is done is kept: "
            "run the same command again."
        ) from error


_OWN = "stm_keras.errors."


def _do(
    model: Path,
    options: FileOptions,
    prepare: Callable[[], None] | None,
    task: _Task,
) -> None:
    """Predict one file, and note how it went."""
    detector = _detector(model, options.trust_model, prepare)
    result = batch.find_in_file(task.file, task.folder, detector, options)
    text = json.dumps(
        {"key": task.key, **dataclasses.asdict(result)}, default=_plain
    )
    with atomic_file(task.note) as temporary:
        temporary.write_text(text, "utf-8", "surrogateescape")


@functools.cache
def _detector(
    model: Path, trust: bool, prepare: Callable[[], None] | None
) -> Any:
    """The model, loaded once a process."""
    keep_freed_memory()
    if prepare is not None:
        prepare()
    return batch.load_detector(model, trust=trust)


def _plain(value: Any) -> Any:
    """What JSON does not know: paths, and NumPy's numbers."""
    return value.item() if hasattr(value, "item") else str(value)


def _noted(task: _Task) -> FileResult | None:
    """How it went with a file that is done, None for one that is not."""
    try:
        text = task.note.read_text("utf-8", "surrogateescape")
        fields: dict[str, Any] = json.loads(text)
        if fields.pop("key") != task.key:
            return None
        fields |= {
            name: tuple(value)
            for name, value in fields.items()
            if isinstance(value, list)
        }
        fields["files"] = tuple(map(Path, fields["files"]))
        return FileResult(**fields)
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _key(file: Path, sums: bytes, options: FileOptions) -> str:
    """Digest of all that a result follows from; `sums` are the model's."""
    state = file.stat() if file.exists() else None
    known = state and (state.st_size, state.st_mtime_ns)
    return hashlib.sha256(
        repr((file, known, sums, options)).encode()
    ).hexdigest()
