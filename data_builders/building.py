"""Run a builder so that a data set is either whole or not there."""

import errno
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import contextmanager, nullcontext, redirect_stdout
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging

from data_builders.beam import pipeline_options, whole_transfers
from data_builders.generation import Generation
from data_builders.scratch import move_into_place, scratch_directory
from stm_keras.errors import InputError
from stm_keras.system import writable_directory

_FULL = (errno.ENOSPC, errno.EDQUOT)


def build(
    builder_class: type[tfds.core.DatasetBuilder],
    config: Any,
    out: str | Path,
    *,
    overwrite: bool = False,
    processes: int = 1,
    beam_options: str | None = None,
) -> Path:
    """Write a data set as TFRecord shards, or find it written already.

    Shards are written to a directory of their own that takes its place at
    the end; what an earlier, killed build left behind is removed first.

    Args:
        builder_class: the data set's TFDS builder.
        config: its `BuilderConfig`; configs that differ must have different
            names, for a set is known by its name alone.
        out: directory that holds data sets; with Beam also a bucket that all
            workers reach, such as gs://BUCKET/DIR.
        overwrite: build again what is there already.
        processes: how many simulate at once, for builders that can.
        beam_options: leave the work to Apache Beam with these options; see
            `data_builders.beam`. The examples stay the same.

    Returns:
        The directory of the shards, a path of the bucket's kind in a bucket.

    Raises:
        InputError: where `out` cannot be written to, the disk is full, or
            the options are wrong.
    """
    if processes < 1:
        raise InputError(f"--processes must be 1 or more, not {processes}.")
    options = None if beam_options is None else pipeline_options(beam_options)
    in_bucket = "://" in str(out)
    if in_bucket and options is None:
        raise InputError(
            f"A build in {out} needs --beam-pipeline-options: without Beam, "
            "name a directory of this machine."
        )
    generation = Generation(processes, options is not None)

    def builder_in(directory: str | Path) -> Any:
        builder = builder_class(config=config, data_dir=directory)
        # TFDS's own builders do not declare it.
        builder.generation = generation  # pyright: ignore
        return builder

    with _quiet():
        if in_bucket:
            return _build_in_bucket(builder_in(str(out)), overwrite, options)
        return _build_here(
            builder_in, writable_directory(out), overwrite, options
        )


def _build_here(
    builder_in: Callable[[Path], Any], out: Path, overwrite: bool, options: Any
) -> Path:
    target = Path(builder_in(out).data_path)
    if target.is_dir() and not overwrite:
        return target
    with scratch_directory(out) as scratch:
        builder = builder_in(scratch)
        _prepare(builder, out, options)
        _check_counts(builder)
        move_into_place(Path(builder.data_path), target)
    return target


def _build_in_bucket(builder: Any, overwrite: bool, options: Any) -> Any:
    """Where nothing can be locked or renamed, TFDS's own ways must do."""
    target = builder.data_path
    if target.exists() and not overwrite:
        return target
    if target.exists():
        target.rmtree()
    _prepare(builder, builder.data_dir, options)
    try:
        _check_counts(builder)
    except RuntimeError:
        target.rmtree()
        raise
    return target


@contextmanager
def _quiet() -> Iterator[None]:
    """Leave out TFDS's lines and bars, which tell of the scratch directory.

    Simulated sets have a bar of their own, see `generation`.
    """
    tfds.disable_progress_bar()
    verbosity = logging.get_verbosity()
    logging.set_verbosity(logging.ERROR)
    try:
        with redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)


def _prepare(builder: Any, out: str | Path, options: Any) -> None:
    download_config = tfds.download.DownloadConfig(beam_options=options)
    try:
        with whole_transfers() if options is not None else nullcontext():
            builder.download_and_prepare(download_config=download_config)
    except Exception as error:
        # TFDS wraps what stopped it, once or twice.
        for cause in _causes(error):
            if isinstance(cause, InputError):
                raise cause from error
            if isinstance(cause, (OSError, tf.errors.OpError, BrokenExecutor)):
                raise InputError(_reason(cause, out)) from error
        if options is None:
            raise
        # From another process only the text arrives.
        raise InputError(_reason(error, out)) from error


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__


def _reason(error: BaseException, out: str | Path) -> str:
    full = isinstance(error, OSError) and error.errno in _FULL
    lines = str(error).strip().splitlines() or [type(error).__name__]
    if full or any(os.strerror(errno.ENOSPC) in line for line in lines):
        return (
            f"The disk of {out} is full. The unfinished data set was removed: "
            "free some space or choose another --out."
        )
    # TensorFlow begins with the path, which has gone.
    text = lines[0].rpartition("; ")[2]
    return f"Could not write the data set to {out}: {text[:200]}."


def _check_counts(builder: Any) -> None:
    """A runner that loses examples must not go unseen."""
    built = {
        name: split.num_examples for name, split in builder.info.splits.items()
    }
    asked = tuple(builder.builder_config.n_examples)
    if tuple(built.values()) != asked:
        raise RuntimeError(
            f"Examples were lost: {asked} asked for, {built} "
            "written. The data set was removed."
        )


def named_config(
    builder_class: type[tfds.core.DatasetBuilder], name: str
) -> Any:
    """One of a builder's own configs.

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    known = {config.name: config for config in builder_class.BUILDER_CONFIGS}
    if name not in known:
        raise InputError(
            f"Unknown --config: {name!r}. Known: {', '.join(known)}."
        )
    return known[name]
