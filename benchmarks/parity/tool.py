"""A program that loads a SavedModel, and what is asked of every one."""

import os
import subprocess
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

import numpy as np

Arrays = dict[str, np.ndarray]
Ask = Callable[[Arrays], Arrays]
Open = Callable[[Path, Path], AbstractContextManager[Ask]]
ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Tool:
    """A program that loads the SavedModel.

    Attributes:
        name: for the table.
        package: whose version is shown, and without which it is left out.
        open: gives, for a model directory and a scratch folder, the function
            that answers; a context manager.
        signature: what it is asked.
        cannot: what it cannot do.
    """

    name: str
    package: str
    open: Open
    signature: str = "locate"
    cannot: str = ""

    def version(self) -> str | None:
        """Of the package; None where it is not installed."""
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None


def own_name(names: Iterable[str], known: Iterable[str]) -> str:
    """Which of the known names a converter's own ones stand for.

    Raises:
        LookupError: where none does.
    """
    longest_first = sorted(known, key=len, reverse=True)
    for name in names:
        for one in longest_first:
            if one in name:
                return one
    raise LookupError(f"none of {longest_first} in {list(names)}")


def run(*command: object, cwd: Path | None = None) -> str:
    """What a program prints.

    Raises:
        RuntimeError: where it fails, with the end of what it complained of.
    """
    done = subprocess.run(
        [str(part) for part in command],
        capture_output=True,
        text=True,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=cwd,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"{command[0]}: {done.stderr[-2000:]}")
    return done.stdout
