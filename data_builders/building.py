"""Run a builder so that a data set is either whole or not there."""

import errno
import shutil
from pathlib import Path
from typing import Any

import tensorflow as tf
import tensorflow_datasets as tfds

from stm_keras.errors import InputError
from stm_keras.files import writable_directory


def build(
    builder_class: type[tfds.core.DatasetBuilder],
    config: Any,
    out: str | Path,
    *,
    overwrite: bool = False,
) -> Path:
    """Write a data set as TFRecord shards, or find it written already.

    Shards are written to a temporary directory that takes its name at the
    end; what an earlier, killed build left behind is removed first.

    Args:
        builder_class: the data set's TFDS builder.
        config: its `BuilderConfig`; configs that differ must have different
            names, for a set is known by its name alone.
        out: directory that holds data sets.
        overwrite: build again what is there already.

    Returns:
        The directory of the shards.

    Raises:
        InputError: where `out` cannot be written to or the disk is full.
    """
    out = writable_directory(out)
    builder = builder_class(config=config, data_dir=out)
    target = Path(builder.data_path)
    if overwrite:
        shutil.rmtree(target, ignore_errors=True)
    if target.is_dir():
        return target
    _remove_unfinished(target)
    try:
        builder.download_and_prepare()
    except (OSError, tf.errors.OpError) as error:
        raise InputError(_reason(error, out)) from error
    finally:
        _remove_unfinished(target)
    _check_counts(builder, config)
    return target


def _remove_unfinished(target: Path) -> None:
    for leftover in target.parent.glob(f"incomplete.*_{target.name}"):
        shutil.rmtree(leftover, ignore_errors=True)


def _reason(error: Exception, out: Path) -> str:
    full = isinstance(error, tf.errors.ResourceExhaustedError) or (
        isinstance(error, OSError)
        and error.errno in (errno.ENOSPC, errno.EDQUOT)
    )
    if full:
        return (
            f"The disk of {out} is full. The unfinished data set was removed: "
            "free some space or choose another --out."
        )
    text = (str(error).strip() or type(error).__name__).splitlines()[0]
    return f"Could not write the data set to {out}: {text[:200]}."


def _check_counts(builder: tfds.core.DatasetBuilder, config: Any) -> None:
    """A runner that loses examples must not go unseen."""
    built = {
        name: split.num_examples for name, split in builder.info.splits.items()
    }
    if tuple(built.values()) != tuple(config.n_examples):
        shutil.rmtree(builder.data_path, ignore_errors=True)
        raise RuntimeError(
            f"Examples were lost: {config.n_examples} asked for, {built} "
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
