"""Export a model directory: SavedModel, TFLite."""

import shutil
from pathlib import Path
from typing import Any

import keras

from stm_keras.analysis.novelty import read_ground
from stm_keras.checksums import SUMS_NAME, write_checksums
from stm_keras.errors import InputError
from stm_keras.export.saved_model import export_saved_model
from stm_keras.export.tflite import PRECISIONS, export_tflite
from stm_keras.export.warmup import warmup_possible, write_warmup
from stm_keras.files import BROKEN_ZIP, atomic_file, writable_directory
from stm_keras.model_card import CARD_NAME, read_card
from stm_keras.nn.model import ImpurityFinder
from stm_keras.progress import Progress, no_progress
from stm_keras.versions import maker

FORMATS = ("saved-model", "tflite", "all")
WEIGHTS = "model.keras"
SAVED_MODEL = "saved_model"


def export_model(
    directory: str | Path,
    out: str | Path,
    form: str = "all",
    progress: Progress = no_progress,
) -> list[Path]:
    """Write a model for other programs.

    The SavedModel gets a warm-up record for TensorFlow Serving where
    tensorflow-serving-api is installed.

    Args:
        directory: of the model, with `model.keras` and its card.
        out: where to write: `saved_model/`, and `NAME-PRECISION.tflite`.
        form: what to write. TFLite is made from the SavedModel, which is
            written beside it then.
        progress: told the number of files done and of all.

    Returns:
        What was written.

    Raises:
        InputError: for an unknown form, a directory that holds no model, one
            that cannot be written to, or the model's own.
    """
    if form not in FORMATS:
        raise InputError(
            f"Unknown --format {form!r}. Known: {', '.join(FORMATS)}."
        )
    card = read_card(directory)
    model = load_weights(directory)
    if Path(out).resolve() == Path(directory).resolve():
        raise InputError(
            f"--out {out} is the model itself: --in-place writes its "
            "SavedModel anew; or name another directory."
        )
    out = writable_directory(out)
    saved_model = out / SAVED_MODEL
    precisions = () if form == "saved-model" else PRECISIONS
    total = 1 + len(precisions)
    export_saved_model(model, card, saved_model, read_ground(directory))
    if warmup_possible():
        write_warmup(saved_model, card.name)
    progress(1, total)
    written = [saved_model]
    for done, precision in enumerate(precisions, 2):
        path = out / f"{card.name}-{precision}.tflite"
        export_tflite(saved_model, path, precision)
        progress(done, total)
        written.append(path)
    return written


def export_in_place(directory: str | Path) -> None:
    """Write the SavedModel of a model directory anew, from its weights.

    What this version of the package writes takes the place of what another
    one wrote; card and weights stay.

    Args:
        directory: of the model.

    Raises:
        InputError: see `export_model`.
    """
    directory = Path(directory)
    card = read_card(directory)
    as_written = (directory / CARD_NAME).read_bytes()
    model = load_weights(directory)
    fresh = writable_directory(directory) / ".export"
    export_saved_model(model, card, fresh, read_ground(directory))
    move_into(directory, fresh)
    with atomic_file(directory / CARD_NAME) as temporary:
        temporary.write_bytes(as_written)
    write_checksums(directory)


def move_into(out: Path, export: Path) -> None:
    """Move a SavedModel's parts to their place, `saved_model.pb` last.

    Until that file is there, the directory is not a SavedModel, and no other
    program takes it for one.

    Args:
        out: the model's directory.
        export: the SavedModel; removed.
    """
    parts = sorted(export.iterdir(), key=lambda p: p.name == "saved_model.pb")
    for name in ("saved_model.pb", CARD_NAME, SUMS_NAME):
        (out / name).unlink(missing_ok=True)
    for part in parts:
        target = out / part.name
        if target.is_dir():
            shutil.rmtree(target)
        part.replace(target)
    export.rmdir()


def load_weights(directory: str | Path) -> ImpurityFinder:
    """The Keras model of a model directory, without running code from it.

    Raises:
        InputError: where there is none, or it is damaged.
    """
    path = Path(directory) / WEIGHTS
    if not path.exists():
        raise InputError(
            f"{directory} holds no {WEIGHTS}: give a directory that `stmk fit` "
            "wrote."
        )
    try:
        model: Any = keras.saving.load_model(
            path, compile=False, safe_mode=True
        )
    except (OSError, ValueError, KeyError, TypeError, *BROKEN_ZIP) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{path} is damaged, or of a network that this version no longer "
            f"builds ({reason[:160]}); {_maker(Path(directory))} made it. "
            "Restore it, train it again, or use a model of this version."
        ) from error
    if not isinstance(model, ImpurityFinder):
        raise InputError(f"{path} is no model of this package.")
    return model


def _maker(directory: Path) -> str:
    """Which version made a model, as far as its card can be read."""
    try:
        return maker(read_card(directory).versions)
    except InputError:
        return maker(None)
