"""Prepared data sets on disk: find one, open it, say clearly if it is hurt."""

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from google.protobuf import json_format, message

from stm_keras.errors import InputError
from stm_keras.simulation.scene import Scene

_INFO = "dataset_info.json"
_FEATURES = "features.json"


def find_prepared(path: str | Path) -> Path:
    """Find the one prepared data set in a directory.

    Args:
        path: the version directory of a TFDS data set, or any directory above
            it that holds no other.

    Returns:
        The directory with the shards.

    Raises:
        InputError: where there is none, or more than one to choose from.
    """
    path = Path(path)
    if not path.is_dir():
        raise InputError(
            f"No such data directory: {path}. Make one with "
            "`stmk build-data friedel --out DIR`."
        )
    found = sorted(
        info.parent
        for info in path.rglob(_INFO)
        # An unfinished build; TFDS renames it once it is whole.
        if not any("incomplete" in part for part in info.parts)
    )
    if not found:
        raise InputError(
            f"No data set in {path}: it holds no {_INFO}. Make one with "
            "`stmk build-data friedel --out DIR`."
        )
    if len(found) > 1:
        names = ", ".join(str(f.relative_to(path)) for f in found)
        raise InputError(
            f"{path} holds {len(found)} data sets: name one of {names}."
        )
    return found[0]


_UNREADABLE = (
    tf.errors.DataLossError,  # truncated shard, flipped byte
    tf.errors.FailedPreconditionError,  # fewer records than promised
    tf.errors.NotFoundError,  # shard gone
    message.DecodeError,
)
_NO_DESCRIPTION = (
    ArithmeticError,
    AssertionError,  # TFDS: the data set could not be found
    AttributeError,
    ImportError,  # a feature of another package
    LookupError,
    NotImplementedError,
    OSError,
    RecursionError,
    TypeError,
    ValueError,  # JSON
    json_format.Error,
    tf.errors.InvalidArgumentError,
)
_OF_EXAMPLES = ("ParseExample", "ParallelMapDataset", "MapDataset")
"""What an error names where records are no such examples."""


@contextmanager
def reading(path: str | Path, *, description: bool = False) -> Iterator[None]:
    """Turn what is raised on damaged data into `InputError`.

    A pipeline reads while it is iterated over, so this goes around the loop
    as well as around the opening.

    Args:
        path: the data set, for the message.
        description: whether the block reads the JSON files that describe it;
            what they raise is raised by many other things too.
    """
    kinds = _UNREADABLE + (_NO_DESCRIPTION if description else ())
    try:
        yield
    except InputError:
        raise
    except kinds as error:
        raise _damaged(path, error) from error
    except tf.errors.InvalidArgumentError as error:
        if not any(word in str(error) for word in _OF_EXAMPLES):
            raise
        raise _damaged(path, error) from error


def _damaged(path: str | Path, error: Exception) -> InputError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    reason = lines[0].rpartition("}} ")[2][:160]  # without TensorFlow's node
    return InputError(
        f"The data set in {path} is damaged: {_culprit(Path(path), error)} "
        f"({reason}). Build it again."
    )


def _culprit(path: Path, error: Exception) -> str:
    """Which of a data set's files is hurt."""
    shards = sorted(path.rglob("*.tfrecord*"))
    for shard in shards:
        if not _is_whole(shard):
            return shard.name
    named = re.search(r"[\w.-]+\.tfrecord[\w.-]*", str(error))
    if named and named[0] not in {shard.name for shard in shards}:
        return f"{named[0]} is missing"
    return f"{_FEATURES} or {_INFO} does not fit the records"


def _is_whole(shard: Path) -> bool:
    """Whether every record of a shard can be read, and there are some."""
    try:
        return sum(1 for _ in tf.data.TFRecordDataset(str(shard))) > 0
    except (tf.errors.OpError, OSError):
        return False


def open_prepared(path: str | Path) -> Any:
    """Open a prepared data set, without the code that made it.

    Args:
        path: see `find_prepared`.

    Returns:
        A read-only `tfds.core.DatasetBuilder`.

    Raises:
        InputError: where there is no data set or it is damaged.
    """
    directory = find_prepared(path)
    with reading(directory, description=True):
        return tfds.builder_from_directory(directory)


def load_split(path: str | Path, split: str) -> tf.data.Dataset:
    """Read one split of a prepared data set in its stored order.

    Args:
        path: see `find_prepared`.
        split: "train", "validation", "test", or TFDS's slicing of one.

    Returns:
        A finite `tf.data.Dataset` of examples as they are stored.

    Raises:
        InputError: where the data set lacks the split or is damaged.
    """
    builder = open_prepared(path)
    name = split.partition("[")[0]
    if name not in builder.info.splits:
        known = ", ".join(builder.info.splits)
        raise InputError(
            f"The data set in {path} has no split {name!r}; it has: {known}."
        )
    with reading(path, description=True):
        dataset = builder.as_dataset(
            split=split,
            read_config=tfds.ReadConfig(
                # In order, from one shard after the other: examples then come
                # the same way every time.
                interleave_cycle_length=1,
                try_autocache=False,
            ),
        )
    return dataset.with_options(steady_options())


def steady_options() -> tf.data.Options:
    """Options under which a pipeline neither tunes itself nor lingers.

    With autotuning on, deleting an iterator sometimes blocks for many seconds.
    """
    options = tf.data.Options()
    options.autotune.enabled = False
    options.deterministic = True
    return options


_OF_EXPERIMENTS = (
    "maps",
    "bias_v",
    "extent_nm",
    "wave_numbers",
    "positions",
    "reference_positions",
)


def load_virtual(path: str | Path, split: str = "test") -> list[Scene]:
    """Read the virtual experiments of a prepared `au111` set.

    Args:
        path: the data set, see `find_prepared`.
        split: "train", "validation", "test", or TFDS's slicing of one.

    Returns:
        Scenes with biases, the size of a pixel, and both the true positions
        and those that expectation-maximisation found in the map of bound
        states.

    Raises:
        InputError: where the data set is missing, damaged, lacks the split,
            or holds no virtual experiments.
    """
    scenes = []
    with reading(path):
        examples = list(load_split(path, split).as_numpy_iterator())
    for example in examples:
        lacking = [name for name in _OF_EXPERIMENTS if name not in example]
        if lacking:
            raise InputError(
                f"The data set in {path} holds no virtual experiments: it "
                f"lacks {', '.join(lacking)}. Make one with `stmk build-data "
                "au111 --config virtual`."
            )
        maps = example["maps"]
        scenes.append(
            Scene(
                maps=maps,
                q=2 * example["wave_numbers"].astype(np.float64),
                positions=example["positions"],
                reference_positions=example["reference_positions"],
                bias_v=example["bias_v"],
                pixel_nm=float(example["extent_nm"][0]) / maps.shape[1],
            )
        )
    return scenes


@dataclass(frozen=True)
class BatchConfig:
    """How stored examples become batches.

    Attributes:
        batch_size: examples in a batch; a remainder is dropped.
        noise: eta, standard deviation of the white noise that is added to the
            maps, which lie in [-1, 1] (paper: 0.8).
        voltages: numbers of maps to train with; each batch draws one of these
            and keeps that many maps at random. Empty: all maps, always.
        seed: of order, noise and choice of maps.
    """

    batch_size: int = 32
    noise: float = 0.8
    voltages: tuple[int, ...] = ()
    seed: int = 0

    def __post_init__(self) -> None:
        if self.batch_size < 1:
            raise InputError(
                f"`batch_size` must be >= 1. Received: {self.batch_size}"
            )
        if not 0 <= self.noise < np.inf:
            raise InputError(f"`noise` must be >= 0. Received: {self.noise}")
        if self.seed < 0:
            raise InputError(f"`seed` must be >= 0. Received: {self.seed}")
        if any(v < 1 for v in self.voltages):
            raise InputError(
                f"`voltages` must be >= 1. Received: {self.voltages}"
            )


def maps_shape(path: str | Path) -> tuple[int, int, int]:
    """Shape (V, L, L) of the maps of a prepared data set.

    Raises:
        InputError: where the data set has no maps.
    """
    features = open_prepared(path).info.features
    if "maps" not in features:
        raise InputError(
            f"The data set in {path} has no feature `maps`; it has: "
            f"{', '.join(features)}."
        )
    return features["maps"].shape


def batches_per_epoch(path: str | Path, config: BatchConfig) -> int:
    """Number of whole batches in the training split.

    Raises:
        InputError: where the split is smaller than one batch.
    """
    n_examples = open_prepared(path).info.splits["train"].num_examples
    if n_examples < config.batch_size:
        raise InputError(
            f"The data set in {path} has {n_examples} training examples, "
            f"fewer than a batch of {config.batch_size}: build a larger one or "
            "lower --batch-size."
        )
    return n_examples // config.batch_size


def check_voltages(path: str | Path, counts: Sequence[int]) -> None:
    """Refuse numbers of voltages that the data set does not have.

    Raises:
        InputError: for the first such number.
    """
    n_voltages = maps_shape(path)[0]
    for count in counts:
        if count > n_voltages:
            raise InputError(
                f"The data set in {path} has {n_voltages} maps an example: "
                f"cannot train with {count}."
            )
