"""A program that loads a SavedModel, and what is asked of every one."""

import os
import shutil
import socket
import statistics
import subprocess
import time
from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.parity.environments import Environment

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
        environment: where the package is, see `environments`; None for the
            one that this runs in.
        program: what else must be on the path.
    """

    name: str
    package: str
    open: Open
    signature: str = "locate"
    cannot: str = ""
    environment: Environment | None = None
    program: str | None = None

    def version(self) -> str | None:
        """Of the package; None where it is not installed."""
        if self.environment is not None:
            return self.environment.version(self.package)
        try:
            return metadata.version(self.package)
        except metadata.PackageNotFoundError:
            return None

    def missing(self) -> str | None:
        """Why it cannot be run here; None where it can."""
        if self.version() is None:
            place = "the extra `parity`"
            if self.environment is not None:
                place = f"see {self.environment.about}"
            return f"{self.package} is not installed: {place}"
        if self.program is not None and not shutil.which(self.program):
            return f"there is no {self.program}"
        return None


class Timed(NamedTuple):
    """An answer, and how long it took [s], the median of several."""

    answer: Arrays
    seconds: float


def timed(ask: Ask, inputs: Arrays, repeats: int, patience_s: float) -> Timed:
    """Ask once, then again for the time.

    Args:
        ask: the function; an output `seconds`, its own measure, goes before.
        inputs: by name.
        repeats: most times to ask again.
        patience_s: after which it is not asked again [s].
    """
    answer = ask(inputs)
    times: list[float] = []
    while "seconds" not in answer and (
        not times or (len(times) < repeats and sum(times) < patience_s)
    ):
        start = time.perf_counter()
        ask(inputs)
        times.append(time.perf_counter() - start)
    own = answer.get("seconds")
    seconds = statistics.median(times) if own is None else float(own)
    return Timed(answer, seconds)


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


def free_port() -> int:
    """A port that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
