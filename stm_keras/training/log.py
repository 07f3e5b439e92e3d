"""Checkpoints and log of a training, written so that a kill costs an epoch."""

import csv
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal

import keras

from stm_keras.errors import InputError
from stm_keras.files import (
    atomic_file,
    can_lock,
    lock,
    writable_directory,
)
from stm_keras.models.card import (
    CARD_NAME,
    TRAINING,
    read_card,
    verify_checksums,
)

LAST = "last.keras"
BEST = "best.keras"

Keep = Literal["best", "last"]
FILES: dict[Keep, str] = {"best": BEST, "last": LAST}
"""Checkpoints that a network may be made of."""
_STATE = "state.json"
_CSV = "log.csv"
BOARD = "tensorboard"
_OURS = {_STATE, LAST, BEST, _CSV, BOARD, "export"}
"""What a training's folder holds; `export` is of an earlier version's."""


class TrainingLog(keras.callbacks.Callback):
    """Writes the state after every epoch: model, optimizer, history.

    The best checkpoint is the one with the lowest L0 on held-out simulated
    maps. It uses no truth of an experiment, for a user's has none.

    Args:
        directory: where to write.
        config: options that decide the training's course; a resumed training
            must have the same.
        steps_per_epoch: optimizer steps in an epoch.
    """

    def __init__(
        self, directory: Path, config: dict[str, Any], steps_per_epoch: int
    ) -> None:
        super().__init__()
        self.directory = directory
        self.config = config
        self.steps_per_epoch = steps_per_epoch
        self.history: list[dict[str, float]] = []
        self._epoch_start = time.monotonic()

    def kept(self, keep: Keep) -> dict[str, float]:
        """The row of the checkpoint that is to be kept; {} without any."""
        if not self.history:
            return {}
        return self.best if keep == "best" else self.history[-1]

    @property
    def best(self) -> dict[str, float]:
        """The history's row with the lowest `val_l0`."""
        return min(self.history, key=lambda row: row["val_l0"])

    def resume(self) -> keras.Model | None:
        """Load the last checkpoint.

        Returns:
            The model with its optimizer, or None where there is none yet.

        Raises:
            InputError: where the stored training had other options, or its
                files are damaged.
        """
        path = self.directory / _STATE
        if not path.exists() or not (self.directory / LAST).exists():
            return None
        try:
            state = json.loads(path.read_text())
            stored, history = state["config"], state["history"]
            model: Any = keras.saving.load_model(self.directory / LAST)
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise InputError(
                f"The training in {self.directory} is damaged ({error}). "
                "Start anew with --overwrite."
            ) from error
        current = _whole(json.loads(json.dumps(self.config)))
        stored = _whole(stored)
        differing = [k for k in current if stored.get(k) != current[k]]
        if differing:
            raise InputError(
                f"The training in {self.directory} was begun with other "
                f"options ({', '.join(differing)}). Resume with the same, or "
                "start anew with --overwrite."
            )
        # The state is written before the checkpoint: a kill between the two
        # leaves an epoch in the history that the weights have not seen.
        done = int(model.optimizer.iterations) // self.steps_per_epoch
        self.history = history[:done]
        return model

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Start the clock."""
        del epoch, logs
        self._epoch_start = time.monotonic()

    def on_epoch_end(
        self, epoch: int, logs: dict[str, float] | None = None
    ) -> None:
        """Write everything; see the class."""
        row = {"epoch": epoch + 1} | {
            k: float(v) for k, v in (logs or {}).items()
        }
        row["seconds"] = round(time.monotonic() - self._epoch_start, 1)
        self.history.append(row)
        with atomic_file(self.directory / _STATE) as temporary:
            temporary.write_text(
                json.dumps({"config": self.config, "history": self.history})
            )
        if self.best is row:
            self._save(BEST)
        self._save(LAST)
        self._write_csv()

    def _save(self, name: str) -> None:
        with atomic_file(self.directory / name) as temporary:
            assert self.model is not None  # Keras sets it before an epoch
            self.model.save(temporary)

    def _write_csv(self) -> None:
        with (
            atomic_file(self.directory / _CSV) as temporary,
            temporary.open("w", newline="") as file,
        ):
            writer = csv.DictWriter(file, list(self.history[-1]))
            writer.writeheader()
            writer.writerows(self.history)


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
    if directory.is_dir() and any(
        path.name not in _OURS and not path.name.startswith(".")
        for path in directory.iterdir()
    ):
        raise InputError(
            f"{directory} holds what no `stmk fit` has written: move it away, "
            "or choose another --out."
        )
    if overwrite and not resume:
        shutil.rmtree(directory, ignore_errors=True)
    return writable_directory(directory)


@contextmanager
def only_one(directory: Path) -> Iterator[None]:
    """Keep a second training out of a folder.

    Args:
        directory: of checkpoints and logs.

    Raises:
        InputError: where another process trains there.
    """
    with ExitStack() as stack:
        if not lock(directory, stack) and can_lock():
            raise InputError(
                f"Another `stmk fit` trains in {directory.parent}: wait for "
                "its end, or choose another --out."
            )
        yield


def _whole(course: dict[str, Any]) -> dict[str, Any]:
    """With the option that is left out where it is what it always was."""
    return {"precision": "float32", **course}


def is_finished(out: Path, course: dict[str, Any]) -> bool:
    """Whether `out` holds a whole model from just this training.

    Args:
        out: the model's directory.
        course: the options that decide a training.
    """
    if not (out / CARD_NAME).exists():
        return False
    differs = verify_checksums(out)  # written last: without, it was stopped
    if differs is None or differs.changed or differs.missing:
        return False
    stored = _whole(read_card(out).training)
    wanted = _whole(json.loads(json.dumps(course)))
    return all(stored.get(name) == wanted[name] for name in wanted)
