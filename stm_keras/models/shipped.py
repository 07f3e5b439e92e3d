"""Models that ship, known by name."""

from pathlib import Path

from stm_keras.errors import InputError

DEFAULT = "context"
"""The strongest."""

FOLDER = Path(__file__).parents[2] / "saved_models"
"""Beside this package, in the project's folder."""


def shipped_models() -> dict[str, Path]:
    """Directories of the models that ship, by name."""
    if not FOLDER.is_dir():
        return {}
    folders = sorted(path for path in FOLDER.iterdir() if path.is_dir())
    return {path.name: path for path in folders}


def model_path(model: str | Path) -> Path:
    """The directory of a model.

    Args:
        model: a directory, or the name of a model that ships.

    Raises:
        InputError: where there is neither.
    """
    path = Path(model)
    if path.is_dir():
        return path
    shipped = shipped_models()
    if str(model) in shipped:
        return shipped[str(model)]
    known = ", ".join(shipped) or "none with this installation"
    raise InputError(
        f"No such model: {model} is neither a directory nor one of those that "
        f"ship ({known}). Train one with `stmk fit`, or give the directory of "
        "one."
    )
