"""The finders by name, and which of them can be had."""

import functools
import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from stm_keras.bench.classical import (
    LogFinder,
    PursuitFinder,
    RingFinder,
    TrackpyFinder,
    missing_trackpy,
)
from stm_keras.bench.finders import Finder
from stm_keras.bench.networks import (
    ContextDefaultFinder,
    ContextFinder,
    Wang2020Finder,
    load_network,
)
from stm_keras.errors import InputError
from stm_keras.models.card import CARD_NAME

OURS = "context"
"""Set against the best of the others in the report."""

FINDERS = (
    "log",
    "trackpy",
    "rings",
    "pursuit",
    "wang2020",
    "context",
    "context-tuned",
)
_OF_MODELS = {"wang2020": "wang2020", "context": "context"} | {
    "context-tuned": "context"
}


def network_of(finder: str) -> str:
    """The network that a finder uses; empty for one without."""
    return _OF_MODELS.get(finder, "")


@dataclass(frozen=True)
class Roster:
    """Where finders come from; reaches other processes.

    Attributes:
        models: directory of each network, by its name.
    """

    models: tuple[tuple[str, Path], ...] = ()

    def directory(self, finder: str) -> Path | None:
        """Model directory of a finder; None for one without a network."""
        return dict(self.models).get(network_of(finder))

    def missing(self, name: str) -> str | None:
        """Why a finder cannot be had; None where it can."""
        if name == "trackpy":
            return missing_trackpy()
        if name in _OF_MODELS:
            directory = self.directory(name)
            if directory is None:
                return "no model directory given"
            return _missing_network(directory, name)
        return None

    def make(self, name: str) -> Finder:
        """A finder, not tuned.

        Raises:
            InputError: where it cannot be had.
        """
        if reason := self.missing(name):
            raise InputError(f"{name}: {reason}.")
        plain: dict[str, Callable[[], Finder]] = {
            "log": LogFinder,
            "trackpy": TrackpyFinder,
            "rings": RingFinder,
            "pursuit": PursuitFinder,
        }
        if name in plain:
            return plain[name]()
        directory = self.directory(name)
        assert directory is not None
        network = load_network(directory)
        if name == "wang2020":
            return Wang2020Finder(network)
        if name == "context":
            return ContextDefaultFinder(network)
        return ContextFinder(network)

    def version(self, name: str) -> str:
        """Digest of a finder's weights; empty for one without a network."""
        directory = self.directory(name)
        if directory is None:
            return ""
        return _digest(directory)


def _missing_network(directory: Path, name: str) -> str | None:
    if not (directory / CARD_NAME).is_file():
        return f"no model in {directory}"
    needed = "score" if name == "wang2020" else "detect"
    if hasattr(load_network(directory), needed):
        return None
    return f"the model in {directory} is none of {_OF_MODELS[name]}"


@functools.cache
def _digest(directory: Path) -> str:
    """Of the weights and the card, by which they are used."""
    digest = hashlib.sha256()
    weights = sorted((directory / "variables").glob("variables.data-*"))
    for path in [*weights, directory / CARD_NAME]:
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def checked_finders(names: Sequence[str]) -> tuple[str, ...]:
    """The finders asked for, in the order of the table; all for none.

    Raises:
        InputError: for an unknown name.
    """
    for name in names:
        if name not in FINDERS:
            raise InputError(
                f"--finders: unknown finder {name!r}. Known: "
                f"{', '.join(FINDERS)}."
            )
    return tuple(n for n in FINDERS if n in names) if names else FINDERS
