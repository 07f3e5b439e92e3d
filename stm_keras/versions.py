"""Versions of the packages: of those here, and of those that made a model."""

import platform
import re
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from stm_keras import __version__

OURS = "stm-keras"
_OTHERS = ("tensorflow", "keras", "tensorflow-datasets", "numpy")
_DECIDE = (OURS, "tensorflow", "keras")
"""Packages on which it depends whether a model can be loaded."""


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that make a model."""
    versions = {"python": platform.python_version(), OURS: __version__}
    for package in _OTHERS:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


def maker(versions: Any) -> str:
    """Which stm-keras made a model, in words.

    Args:
        versions: what its card says of them, whatever that is.
    """
    known = isinstance(versions, Mapping) and versions.get(OURS)
    return f"{OURS} {versions[OURS]}" if known else f"an unknown {OURS}"


def made_by_newer(versions: Any) -> str | None:
    """What to say where a newer package than those here made a model.

    Args:
        versions: what its card says of them, whatever that is.

    Returns:
        Who made it, and what to do; None where nothing that decides whether
        a model can be loaded is newer than here.
    """
    if not isinstance(versions, Mapping):
        return None
    here = package_versions()
    newer = [
        f"{name} {versions[name]} (here: {here[name]})"
        for name in _DECIDE
        if name in versions
        and _release(versions[name]) > _release(here[name]) > ()
    ]
    if not newer:
        return None
    return (
        f"It was made by {', '.join(newer)}: install what made it, or train "
        "it again with this version."
    )


def _release(version: Any) -> tuple[int, ...]:
    """The numbers that a version begins with, without zeros at its end."""
    numbers = re.match(r"\d+(\.\d+)*", str(version))
    parts = [int(n) for n in numbers[0].split(".")] if numbers else []
    while parts and not parts[-1]:
        parts.pop()
    return tuple(parts)
