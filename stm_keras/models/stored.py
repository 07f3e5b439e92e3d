"""Model directories, found below a folder and listed without loading."""

import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError, one_line
from stm_keras.files import is_model
from stm_keras.models.card import (
    CARD_NAME,
    TRAINING,
    Differences,
    ModelCard,
    OtherVersionError,
    ScoreSelection,
    model_files,
    read_card,
    verify_checksums,
)
from stm_keras.system import OURS


@dataclass(frozen=True)
class StoredModel:
    """A model directory as it lies there.

    Attributes:
        name: of the directory below the folder that it was found in.
        directory: where it is.
        size_bytes: of all its files but checkpoints and logs.
        card: None where it cannot be read.
        refusal: why the card cannot be read.
        differences: from the checksums; None where none are stored.
        damages: what is damaged, in words; empty for a model that is whole
            as far as its card and checksums tell.
    """

    name: str
    directory: Path
    size_bytes: int
    card: ModelCard | None
    refusal: InputError | None
    differences: Differences | None
    damages: tuple[str, ...]

    @property
    def checksums(self) -> str:
        """State of the checksums: ok, damaged or none stored."""
        if self.damages:
            return "damaged"
        return "none stored" if self.differences is None else "ok"

    @property
    def complaint(self) -> str:
        """One line on a damaged model: which, what, and what to do."""
        message = (
            f"The model {self.name} in {self.directory} is damaged: "
            f"{'; '.join(self.damages)}. Restore it, or train it again."
        )
        return str(InputError(message))


def find_models(folder: str | Path) -> list[StoredModel]:
    """Look at every model directory below a folder, by name.

    Args:
        folder: itself a model directory, or with some anywhere below it.

    Raises:
        InputError: where there is no such folder, or no model in it.
    """
    found = _directories(Path(folder))
    return [look_at(found[name], name) for name in sorted(found)]


def named_model(name: str, folder: str | Path) -> StoredModel:
    """Look at one model.

    Args:
        name: its directory, or its name below `folder`.
        folder: where models are.

    Raises:
        InputError: where there is no such model.
    """
    if is_model(Path(name)):
        return look_at(Path(name), Path(name).resolve().name)
    if is_model(Path(folder) / name):
        return look_at(Path(folder) / name, name)
    if Path(name).is_dir():
        raise InputError(
            f"{name} is not a model directory: it has no {CARD_NAME}."
        )
    known = ", ".join(sorted(_directories(Path(folder))))
    raise InputError(f"No model {name!r} in {folder}. There are: {known}.")


def look_at(directory: Path, name: str) -> StoredModel:
    """Read the card of a model and compare its files with the checksums.

    Args:
        directory: of the model.
        name: to call it by.
    """
    card, refusal, differences = None, None, None
    damages: list[str] = []
    try:
        differences = verify_checksums(directory)
        damages += [str(differences)] if differences else []
    except InputError as error:
        damages.append(str(error))
    try:
        card = read_card(directory)
    except OtherVersionError as error:
        refusal = error
    except InputError as error:
        refusal = error
        damages = damages or [str(error)]
    return StoredModel(
        name=name,
        directory=directory,
        size_bytes=sum(
            (directory / file).stat().st_size for file in model_files(directory)
        ),
        card=card,
        refusal=refusal,
        differences=differences,
        damages=tuple(damages),
    )


def _directories(folder: Path) -> dict[str, Path]:
    """Model directories by their names; none is looked for in another."""
    if not folder.is_dir():
        what = "is not a folder" if folder.exists() else "does not exist"
        raise InputError(
            f"{folder} {what}: give --folder, a folder of models, such as "
            "saved_models."
        )
    found: dict[str, Path] = {}
    seen: set[str] = set()
    for path, folders, _ in os.walk(folder, followlinks=True):
        real = os.path.realpath(path)
        if real in seen:  # a link to a folder above it
            folders.clear()
        elif is_model(Path(path)):
            folders.clear()
            name = Path(path).relative_to(folder).as_posix()
            found[Path(real).name if name == "." else name] = Path(path)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and name != TRAINING
        ]
        seen.add(real)
    if not found:
        raise InputError(
            f"No model in {folder}: no directory in it holds {CARD_NAME}. "
            "Train one with `stmk fit --out`, or give another --folder."
        )
    return found


_HEADING = (
    "name",
    "network",
    "parameters",
    "maps",
    "q",
    "made",
    "stm-keras",
    "MB",
    "checksums",
)


_RIGHT = ("parameters", "MB")


_UNKNOWN = "?"


def list_models(models: Iterable[StoredModel]) -> list[str]:
    """Show models as a table.

    Args:
        models: as `find_models` found them.

    Returns:
        A heading and one line a model: its name, class and number of
        parameters; the numbers of maps that it was trained with, and whether
        it can be given their q; the date, the stm-keras that made
        it; its size and the state of its checksums. A model whose card cannot
        be read has the reason in place of all this.
    """
    models = list(models)
    rows = [_HEADING, *(_row(model) for model in models if model.card)]
    names = max(len(model.name) for model in models)
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    widths[0] = max(widths[0], names)
    lines = [_aligned(_HEADING, widths)]
    for model in models:
        if model.card:
            lines.append(_aligned(_row(model), widths))
        else:
            reason = "; ".join(model.damages) or str(model.refusal)
            lines.append(f"{model.name.ljust(widths[0])}  {reason}")
    return [one_line(line) for line in lines]


def trained_with(card: ModelCard) -> list[int]:
    """Numbers of maps that a model was trained with, from few to many."""
    if isinstance(card.selection, ScoreSelection):
        return sorted(card.selection.thresholds)
    batches = card.training.get("batches")
    counts = batches.get("voltages") if isinstance(batches, dict) else None
    return sorted(set(counts)) if isinstance(counts, list) else []


def given_q(card: ModelCard) -> str:
    """Whether a network takes the scattering wave vector of each map."""
    if isinstance(card.selection, ScoreSelection):
        return "without"
    return "with or without"


def _row(model: StoredModel) -> tuple[str, ...]:
    card = model.card
    assert card is not None
    parameters = card.network.get("parameters")
    return (
        model.name,
        str(card.network.get("class", _UNKNOWN)),
        f"{parameters:,}" if isinstance(parameters, int) else _UNKNOWN,
        ",".join(map(str, trained_with(card))) or _UNKNOWN,
        given_q(card),
        str(card.made.get("date", _UNKNOWN)),
        str(card.versions.get(OURS, _UNKNOWN)),
        f"{model.size_bytes / 1e6:.1f}",
        model.checksums,
    )


def _aligned(cells: Iterable[str], widths: Iterable[int]) -> str:
    return "  ".join(
        cell.rjust(width) if name in _RIGHT else cell.ljust(width)
        for name, cell, width in zip(_HEADING, cells, widths, strict=True)
    ).rstrip()


def plain(value: Any) -> str:
    """A value of a card in a line for people."""
    if isinstance(value, list):
        return ",".join(map(str, value)) or "none"
    return str(value)
