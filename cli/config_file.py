"""`--config`: options from a YAML file, and one that repeats a result."""

from pathlib import Path
from typing import Any

import typer

from stm_keras.errors import InputError

_NOT_REPEATED = {
    "beam_pipeline_options",
    "config",
    "files",
    "json",
    "out",
    "quiet",
    "verbose",
}
"""How a command talks; and what a result says for itself."""


def read_config(context: typer.Context, path: Path | None) -> Path | None:
    """Take the options of a file as the defaults of a command.

    Names are those of the options, with "-" or "_"; values are read as those
    on the command line are, so that 0:50 is no time of day.

    Args:
        context: of the command.
        path: of the file; None for none.

    Raises:
        InputError: where the file cannot be read, is no table of options, or
            names one that the command does not have.
    """
    if path is None:
        return None
    known = {str(p.name): p for p in context.command.params}
    del known["config"]
    defaults: dict[str, Any] = {}
    for key, value in _table(path).items():
        name = str(key).strip().lstrip("-").replace("-", "_")
        if name not in known:
            listed = ", ".join(n.replace("_", "-") for n in known)
            raise InputError(
                f"--config {path}: no option {key!r}. Known: {listed}."
            )
        if isinstance(value, dict):
            raise InputError(f"--config {path}: {key} takes one value.")
        if value in ("", "null", "~"):
            continue
        if known[name].nargs == -1:
            value = value if isinstance(value, list) else [value]
        elif isinstance(value, list):
            value = ",".join(map(str, value))
        defaults[name] = value
    context.default_map = {**(context.default_map or {}), **defaults}
    return path


def _table(path: Path) -> dict[Any, Any]:
    import yaml

    try:
        # Every value as text, as on the command line.
        given = yaml.load(path.read_text("utf-8"), Loader=yaml.BaseLoader)
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text in UTF-8"
        raise InputError(
            f"Cannot read --config {path}: {reason}. Check the path."
        ) from error
    except yaml.YAMLError as error:
        reason = " ".join(str(error).split())
        raise InputError(f"--config {path} is no YAML: {reason}.") from error
    if not isinstance(given, dict):
        raise InputError(
            f"--config {path} holds no table of options: write one a line, "
            "such as surface: cu111."
        )
    return given


def settings_of(context: typer.Context) -> dict[str, Any]:
    """What `--config` needs to run the command again, defaults included."""
    # In the order of the help, whatever was given first.
    names = [str(parameter.name) for parameter in context.command.params]
    return {
        name.replace("_", "-"): _plain(context.params[name])
        for name in names
        if name not in _NOT_REPEATED and context.params.get(name) is not None
    }


def _plain(value: Any) -> Any:
    return value if isinstance(value, (bool, int, float)) else str(value)
