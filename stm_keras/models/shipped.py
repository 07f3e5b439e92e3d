"""Models that ship, known by name."""

from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.files import finish
from stm_keras.models.card import CARD_NAME, ModelCard, read_card

DEFAULT = "context"
"""The strongest."""

_INSTALLED = Path(__file__).parents[1] / "_models"
"""In a wheel; see `stm_keras.models.wheel`."""
_IN_PROJECT = Path(__file__).parents[2] / "saved_models"
"""Beside this package, where the project's folder is what is installed."""
FOLDER = _INSTALLED if _INSTALLED.is_dir() else _IN_PROJECT
"""Where the models that ship are."""


def shipped_models() -> dict[str, Path]:
    """Directories of the models that ship, by name."""
    if not FOLDER.is_dir():
        return {}
    cards = sorted(FOLDER.glob(f"*/{CARD_NAME}"))
    return {card.parent.name: card.parent for card in cards}


def model_path(model: str | Path) -> Path:
    """The directory of a model.

    Args:
        model: a directory, or the name of a model that ships. A name means
            the model that ships, unless a directory of that name holds one.

    Raises:
        InputError: where there is neither.
    """
    path = Path(model)
    shipped = shipped_models()
    if path.is_dir() and (
        str(model) not in shipped or (path / CARD_NAME).is_file()
    ):
        return path
    if str(model) in shipped:
        return shipped[str(model)]
    known = ", ".join(shipped) or "none with this installation"
    raise InputError(
        f"No such model: {model} is neither a directory nor one of those that "
        f"ship ({known}). Train one with `stmk fit`, or give the directory of "
        "one."
    )


def find_card(model: str | Path) -> tuple[Path, ModelCard]:
    """Directory and card of a model, without loading it.

    Args:
        model: see `model_path`.

    Raises:
        InputError: where it is missing, is no model directory, or has a
            damaged card; the same words for every command.
    """
    path = model_path(model)
    finish(path)  # what a kill left half done
    return path, read_card(path)
