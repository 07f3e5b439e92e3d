"""Checksums of a model directory, as coreutils' `sha256sum` writes them."""

import hashlib
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from stm_keras.errors import InputError
from stm_keras.files import atomic_file
from stm_keras.model_card import TRAINING

SUMS_NAME = "SHA256SUMS"

_LINE = re.compile(r"(\\?)([0-9a-fA-F]{64}) [ *](.+)")
_ESCAPES = {"\\": r"\\", "\n": r"\n", "\r": r"\r"}
"""In a name; a line with one of them begins with a backslash."""
_LETTERS = {code: letter for letter, code in _ESCAPES.items()}
_ESCAPED = re.compile(r"\\[\\nr]")


@dataclass(frozen=True)
class Differences:
    """How the files of a model differ from its checksums.

    Attributes:
        changed: names of files with other content.
        missing: names of files that are not there.
        extra: names of files that have no checksum.
    """

    changed: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    extra: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        """Whether anything differs."""
        return bool(self.changed or self.missing or self.extra)

    def __str__(self) -> str:
        """Such as "changed saved_model.pb; missing model.keras"."""
        kinds = {
            "changed": self.changed,
            "missing": self.missing,
            "extra": self.extra,
        }
        return "; ".join(
            f"{kind} {', '.join(names)}"
            for kind, names in kinds.items()
            if names
        )


def write_checksums(directory: str | Path) -> None:
    """Write `SHA256SUMS` into a model's directory, over all of `model_files`.

    `sha256sum -c SHA256SUMS` checks it too.

    Args:
        directory: the model's directory.
    """
    directory = Path(directory)
    lines = []
    for name in model_files(directory):
        escaped = "".join(_ESCAPES.get(letter, letter) for letter in name)
        mark = "" if escaped == name else "\\"
        lines.append(f"{mark}{_digest(directory / name)}  {escaped}\n")
    with atomic_file(directory / SUMS_NAME) as temporary:
        temporary.write_bytes(os.fsencode("".join(lines)))


def verify_checksums(directory: str | Path) -> Differences | None:
    """Compare a model's files with its `SHA256SUMS`.

    Args:
        directory: the model's directory.

    Returns:
        What differs; None where no checksums are stored.

    Raises:
        InputError: where `SHA256SUMS` or a file that it names cannot be read.
    """
    directory = Path(directory)
    path = directory / SUMS_NAME
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    stored = dict(_entries(path, os.fsdecode(content)))
    found = model_files(directory)
    return Differences(
        changed=tuple(
            name
            for name in found
            if name in stored and _digest(directory / name) != stored[name]
        ),
        missing=tuple(sorted(stored.keys() - set(found))),
        extra=tuple(name for name in found if name not in stored),
    )


def model_files(directory: str | Path) -> list[str]:
    """The files that make up a model, sorted.

    Args:
        directory: the model's directory.

    Returns:
        Their names below it, with "/". Left out are `SHA256SUMS` itself, the
        folder `training`, and hidden files, which systems leave everywhere.
    """
    directory = Path(directory)
    names = []
    for folder, folders, files in os.walk(directory):
        below = Path(folder).relative_to(directory)
        folders[:] = [
            name
            for name in folders
            if not name.startswith(".") and below / name != Path(TRAINING)
        ]
        names += [
            (below / name).as_posix()
            for name in files
            if not name.startswith(".")
            and below / name != Path(SUMS_NAME)
            and (directory / below / name).is_file()
        ]
    return sorted(names)


def _digest(path: Path) -> str:
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error


def _entries(path: Path, text: str) -> Iterator[tuple[str, str]]:
    """Name and digest of every line."""
    for number, line in enumerate(text.removesuffix("\n").split("\n"), 1):
        match = _LINE.fullmatch(line)
        if not match:
            raise InputError(
                f"{path} is damaged: line {number} is no checksum of a file. "
                "Restore it, or train the model again."
            )
        escaped, digest, name = match.groups()
        if escaped:
            name = _ESCAPED.sub(lambda code: _LETTERS[code[0]], name)
        yield name, digest.lower()
