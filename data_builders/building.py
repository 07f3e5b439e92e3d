"""What builders of data sets share: how examples are made, and built.

A builder of simulated sets names one function that makes any run of examples
from nothing but its arguments (`Make`). It then serves a plain build, in this
process or with helpers, and an Apache Beam build, where a cluster's workers
call it chunk by chunk. Keys are the examples' numbers, so both ways give the
same set in the same order (TFDS orders by key).

`build` runs a builder so that a data set is either whole or not there: in a
directory that a killed build cannot leave behind for good
(`files.scratch_directory`), which takes its place at one stroke.
"""

import dataclasses
import errno
import functools
import hashlib
import io
import os
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor
from contextlib import (
    contextmanager,
    nullcontext,
    redirect_stdout,
)
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from absl import logging
from tqdm import tqdm

from data_builders.croissant import write_croissant
from stm_keras.beam import pipeline_options, whole_transfers
from stm_keras.errors import InputError
from stm_keras.files import scratch_directory, take_place, writable_directory

Example = dict[str, np.ndarray]

Make = Callable[[int, range, int], Iterator[Example]]
"""Makes examples: (number of the split, numbers of the examples, processes).

It starts at a multiple of the builder's `CHUNK`; what it gives depends on
nothing but those numbers, and not on the processes. To reach workers it must
be a module's function, or a `functools.partial` of one."""

SPLITS = ("train", "validation", "test")
_DIGEST_LENGTH = 8
_CHUNKS_PER_BLOCK = 1000
"""A pipeline's plan names blocks, and workers cut them into chunks: of a
billion examples the chunks alone would outgrow what Dataflow takes as plan."""


@dataclasses.dataclass
class SimulatedConfig(tfds.core.BuilderConfig):
    """One variant of a simulated set; subclasses say what `simulation` is.

    Attributes:
        simulation: what a field is drawn from, a frozen dataclass.
        n_examples: number of train, validation and test fields.
        seed: of all randomness; splits draw from streams of their own.
    """

    simulation: Any = None
    n_examples: tuple[int, int, int] = (20_000, 500, 500)
    seed: int = 0

    def changed(
        self,
        *,
        n_examples: tuple[int, int, int] | None = None,
        seed: int | None = None,
        **simulation: Any,
    ) -> Self:
        """This variant with some options replaced, under a name of its own.

        Args:
            n_examples: see the class; None keeps it.
            seed: likewise.
            **simulation: fields of `simulation`; None keeps a field.

        Returns:
            A variant whose name ends in a digest of all its options, or this
            one where nothing changes.

        Raises:
            InputError: for a negative seed, or where the simulation refuses
                a value.
        """
        if seed is not None and seed < 0:
            raise InputError(f"--seed must be 0 or more, not {seed}.")
        given = {k: v for k, v in simulation.items() if v is not None}
        changed = dataclasses.replace(
            self,
            simulation=dataclasses.replace(self.simulation, **given),
            n_examples=n_examples or self.n_examples,
            seed=self.seed if seed is None else seed,
        )
        if changed == self:
            return self
        options = repr((changed.simulation, changed.n_examples, changed.seed))
        digest = hashlib.sha256(options.encode()).hexdigest()
        changed.name = f"{self.name}-{digest[:_DIGEST_LENGTH]}"
        return changed


def recorded(value: Any) -> Any:
    """A frozen dataclass as a data set's description holds it.

    Args:
        value: of a config; parts in a tuple (features of a surface, parts of
            an instrument) are told apart by the name of their class.

    Returns:
        What JSON takes.
    """
    if dataclasses.is_dataclass(value):
        return {
            f.name: recorded(getattr(value, f.name))
            for f in dataclasses.fields(value)
        }
    if isinstance(value, (tuple, list)):
        return [
            {"kind": type(v).__name__, **recorded(v)}
            if dataclasses.is_dataclass(v)
            else recorded(v)
            for v in value
        ]
    return value


@dataclasses.dataclass(frozen=True)
class Generation:
    """How examples are made; what they are does not depend on it.

    Attributes:
        processes: how many work at once in a plain build.
        beam: leave the work to Apache Beam's workers.
    """

    processes: int = 1
    beam: bool = False


class SimulatedBuilder(tfds.core.GeneratorBasedBuilder):
    """A builder whose examples come out of one function, `_make`.

    Attributes:
        CHUNK: examples that a Beam worker makes at once.
        generation: set by `building.build` before the examples are made.
    """

    CHUNK: ClassVar[int] = 64
    generation = Generation()

    # Typed as a wrapped function by TFDS.
    def download_and_prepare(  # pyright: ignore
        self, **options: Any
    ) -> None:
        """Build the set as TFDS does, then describe it as Croissant.

        Args:
            **options: of TFDS.
        """
        before = self.is_prepared()
        super().download_and_prepare(**options)
        if not before:
            write_croissant(self)

    def _make(self) -> Make:
        """The function that makes this set's examples."""
        raise NotImplementedError

    def _split_generators(self, dl_manager: Any) -> dict[str, Any]:
        del dl_manager  # nothing is downloaded
        counts = getattr(self.builder_config, "n_examples", ())
        return {
            name: self._generate_examples(split, count)
            for split, (name, count) in enumerate(
                zip(SPLITS, counts, strict=True)
            )
        }

    def _generate_examples(self, split: int, count: int) -> Any:
        """A generator of (key, example), or a Beam transform that has them."""
        make = functools.partial(_keyed, self._make(), split)
        if self.generation.beam:
            return _beam_transform(make, count, self.CHUNK)
        return tqdm(
            make(self.generation.processes, range(count)),
            desc=SPLITS[split],
            total=count,
            unit=" fields",
            delay=2,
            leave=False,
            disable=None,  # where nobody watches
        )


def _keyed(
    make: Make, split: int, processes: int, numbers: range
) -> Iterator[tuple[int, Example]]:
    examples = make(split, numbers, processes)
    return zip(numbers, examples, strict=True)


def _beam_transform(
    make: Callable[[int, range], Iterator[tuple[int, Example]]],
    count: int,
    chunk: int,
) -> Any:
    import apache_beam as beam  # pyright: ignore[reportMissingImports]

    # One argument after the other, as `FlatMap` puts its element first.
    return (
        "Plan"
        >> beam.Create(cut_range(chunk * _CHUNKS_PER_BLOCK, range(count)))
        | "Cut" >> beam.FlatMap(functools.partial(cut_range, chunk))
        # Else the runner would fuse the steps, and a block be one worker's.
        | "Spread" >> beam.Reshuffle()
        | "Simulate" >> beam.FlatMap(functools.partial(make, 1))
    )


def cut_range(length: int, numbers: range) -> list[range]:
    """Cut a range into ranges of `length`, the last one shorter."""
    return [
        numbers[start : start + length]
        for start in range(0, len(numbers), length)
    ]


# --- building -------------------------------------------------------------


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
            `stm_keras.beam`. The examples stay the same.

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
    if (target / _INFO).is_file() and not overwrite:
        return target
    _check_ours(target)
    with scratch_directory(out, UNFINISHED) as scratch:
        builder = builder_in(scratch)
        _prepare(builder, out, options)
        _check_counts(builder)
        target.parent.mkdir(parents=True, exist_ok=True)
        take_place(Path(builder.data_path), target)
    return target


_INFO = "dataset_info.json"
UNFINISHED = ".incomplete"
"""In the name of a set that is being built; readers pass it by."""


def _check_ours(target: Path) -> None:
    """Refuse to replace what is no data set."""
    if (
        os.path.lexists(target)
        and not (target / _INFO).is_file()
        and not (target.is_dir() and not any(target.iterdir()))
    ):
        raise InputError(
            f"{target} is there already, and no data set: move it away, or "
            "choose another --out."
        )


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
