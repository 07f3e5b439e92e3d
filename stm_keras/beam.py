"""Apache Beam, an extra: its options, and the faults of its local runner.

Data sets are built with it (`data_builders.building`), and many files are
predicted (`stm_keras.results.night`).
"""

import io
import shlex
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import Any

from stm_keras.errors import InputError

_OPTION = "--beam-pipeline-options"
_EXAMPLE = (
    '"--runner=DirectRunner --direct_num_workers=2 '
    '--direct_running_mode=multi_processing"'
)


def pipeline_options(text: str) -> Any:
    """Read options as Beam's own programs take them.

    Args:
        text: such as "--runner=DirectRunner --direct_num_workers=2
            --direct_running_mode=multi_processing". What Beam itself does not
            know is passed on to the runner.

    Returns:
        `apache_beam.options.pipeline_options.PipelineOptions`.

    Raises:
        InputError: where Beam is not installed, the text cannot be read, the
            runner is unknown, or its mode is known to lose examples.
    """
    try:
        from apache_beam.options import (  # pyright: ignore[reportMissingImports]
            pipeline_options as beam_options,
        )
    except ImportError as error:
        raise InputError(
            f"{_OPTION} needs Apache Beam, which is not installed: "
            'pip install -c constraints.txt ".[beam]"'
        ) from error
    options = beam_options.PipelineOptions(_words(text))
    told = io.StringIO()
    try:
        with redirect_stderr(told):  # argparse writes there, then exits
            direct = options.view_as(beam_options.DirectOptions)
            runner = options.view_as(beam_options.StandardOptions).runner
    except SystemExit as error:
        reason = told.getvalue().strip().splitlines()[-1]
        raise InputError(
            f"{_OPTION}: {reason.partition('error: ')[2]}. Write, for "
            f"example, {_EXAMPLE}."
        ) from error
    if direct.direct_running_mode == "multi_threading":
        raise InputError(
            f"{_OPTION}: the mode multi_threading loses examples without a "
            "word. Use --direct_running_mode=multi_processing."
        )
    _check_runner(runner)
    return options


@contextmanager
def whole_transfers() -> Iterator[None]:
    """Keep Beam's local runner from losing examples on the way to its workers.

    Once a second it sends what its buffer holds and then empties the buffer;
    what was written in between, while the send waited for a full queue, is
    gone (Beam 2.77, `TimeBasedBufferingClosableOutputStream`). Here it sends
    by size alone, as workers of clusters do. Other runners are not touched.
    """
    from apache_beam.runners.portability.fn_api_runner import (  # pyright: ignore[reportMissingImports]
        worker_handlers,
    )

    name = "DATA_BUFFER_TIME_LIMIT_MS"
    before = getattr(worker_handlers, name, None)
    setattr(worker_handlers, name, 0)
    try:
        yield
    finally:
        setattr(worker_handlers, name, before)


def _words(text: str) -> list[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise InputError(f"{_OPTION} {text!r}: {error}.") from error
    if not words or not words[0].startswith("--"):
        raise InputError(
            f"{_OPTION} {text!r} is no list of options. Write, for example, "
            f"{_EXAMPLE}."
        )
    return words


def _check_runner(name: str | None) -> None:
    from apache_beam.runners import (  # pyright: ignore[reportMissingImports]
        create_runner,
    )

    try:
        if name:
            create_runner(name)
    except (ValueError, ImportError, AttributeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise InputError(f"{_OPTION}: {reason}") from error
