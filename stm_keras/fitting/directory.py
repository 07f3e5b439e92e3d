"""The directory that a training writes to."""

import json
import shutil
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError
from stm_keras.models.card import CARD_NAME, TRAINING, read_card
from stm_keras.system import writable_directory


def training_directory(out: Path, resume: bool, overwrite: bool) -> Path:
    """Make the folder of checkpoints and logs.

    Args:
        out: the model's directory.
        resume: what is there is to be continued.
        overwrite: what is there is to be replaced.

    Raises:
        InputError: where `out` is a file, or holds something and neither was
            asked for.
    """
    directory = out / TRAINING
    if out.exists() and not out.is_dir():
        raise InputError(f"--out {out} is a file: name a directory.")
    if out.is_dir() and any(out.iterdir()) and not (resume or overwrite):
        raise InputError(
            f"{out} is not empty. Continue the training in it with --resume, "
            "replace it with --overwrite, or choose another --out."
        )
    if overwrite and not resume:
        shutil.rmtree(directory, ignore_errors=True)
    return writable_directory(directory)


def is_finished(out: Path, course: dict[str, Any]) -> bool:
    """Whether `out` holds a whole model from just this training.

    Args:
        out: the model's directory.
        course: the options that decide a training.
    """
    if not (out / CARD_NAME).exists():
        return False
    stored = read_card(out).training
    wanted = json.loads(json.dumps(course))
    return all(stored.get(name) == wanted[name] for name in wanted)
