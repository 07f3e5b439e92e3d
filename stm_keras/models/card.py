"""What travels with a trained model: how it was made and how good it is."""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError
from stm_keras.files import atomic_file
from stm_keras.models.fields import check_fields, read_json
from stm_keras.system import made_by_newer, maker, package_versions

CARD_NAME = "model_card.json"
TRAINING = "training"
"""Folder of checkpoints and logs beside the card; no part of the model."""

CARD_FORMAT = 2
_READABLE = (1, 2)
"""Form 1 had no `detection`: all its models are of `Wang2020`."""


class OtherVersionError(InputError):
    """A model that another version made, and that this one cannot use."""


@dataclass(frozen=True)
class ScoreSelection:
    """What a network that gives the score S alone keeps.

    Attributes:
        thresholds: least S of a detection, in its standard deviations above
            its mean, by number of maps; chosen on the validation split.
        floors: least S of a detection, by number of maps: what white noise
            reaches once in a frame of 80 x 80 px.
    """

    thresholds: dict[int, float]
    floors: dict[int, float]

    def __post_init__(self) -> None:
        for name in ("thresholds", "floors"):
            counts = getattr(self, name)
            if not counts or min(counts) < 1:
                raise ValueError(f"{name} name no number of maps")

    def threshold(self, n_maps: int) -> float:
        """Least S of a detection in a stack of `n_maps` maps.

        In standard deviations of S above its mean. Of the numbers of maps
        that a threshold was chosen for, the nearest (as a ratio) counts.
        """
        return self.thresholds[_nearest(self.thresholds, n_maps)]

    def noise_floor(self, n_maps: int) -> float:
        """S that white noise reaches once in a frame; nearest as above.

        S is a sum over the maps: beyond the most maps of the training it
        grows with their number.
        """
        nearest = _nearest(self.floors, n_maps)
        beyond = max(1.0, n_maps / max(self.floors))
        return self.floors[nearest] * beyond

    def as_fields(self) -> dict[str, Any]:
        """Its keys in `model_card.json`."""
        return {**dataclasses.asdict(self), "detection": None}


@dataclass(frozen=True)
class ProbabilitySelection:
    """What a network that gives probabilities keeps.

    Attributes:
        threshold: no detection is less probable, whatever else is found.
        false_discovery_rate: the share of false ones that may be expected.
        prior_false: count of false detections before any is inspected; in
            the file `false_beforehand`.
        measured: how true the probabilities and deviations are, on the test
            split: `tolerance_px`, `reliability`, `z_standard_deviation`,
            `false_in_surrogate_80x80`.
    """

    threshold: float
    false_discovery_rate: float
    prior_false: float = 0.0
    measured: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in ("threshold", "false_discovery_rate"):
            if not 0 < getattr(self, name) < 1:
                raise ValueError(f"detection: {name} is no share")
        if not self.prior_false >= 0:
            raise ValueError("detection: false_beforehand is below 0")

    def as_fields(self) -> dict[str, Any]:
        """Its keys in `model_card.json`."""
        return {
            "thresholds": {},
            "floors": {},
            "detection": {
                "threshold": self.threshold,
                "false_discovery_rate": self.false_discovery_rate,
                "false_beforehand": self.prior_false,
                **self.measured,
            },
        }


Selection = ScoreSelection | ProbabilitySelection


@dataclass(frozen=True)
class ModelCard:
    """The card of a model, stored as `model_card.json` beside it.

    Attributes:
        name: the model's name.
        network: class and sizes of the network.
        command: what to type to train it again.
        data: metadata of the training set: its path, config and seed.
        training: options and seeds of the training, and how it went.
        tile_px: side of the maps it was trained on [px].
        reach_px: receptive field: how far away [px] a pixel can be to count
            for a score.
        ring_rad_px: least and greatest scattering wave vector q = 2k that it
            was trained on [rad/px]; files are resampled to lie there.
        selection: what a detection must reach.
        scores: on the test split, by method.
        made: date, machine, and seconds that the epochs took.
        versions: of Python and the packages that made it.
        adaptation: of `Context` adapted to an experiment: figures before and
            after, and which network it is; see
            `stm_keras.training.adaptation`. None for any other.
        format: version of this card's form.
    """

    name: str
    network: dict[str, Any]
    command: str
    data: dict[str, Any]
    training: dict[str, Any]
    tile_px: int
    reach_px: int
    ring_rad_px: tuple[float, float]
    selection: Selection
    scores: dict[str, Any]
    made: dict[str, Any]
    versions: dict[str, str]
    adaptation: dict[str, Any] | None = None
    format: int = CARD_FORMAT


def _nearest(counts: Mapping[int, float], n_maps: int) -> int:
    return min(counts, key=lambda n: max(n / n_maps, n_maps / n))


def write_card(card: ModelCard, directory: str | Path) -> None:
    """Write `model_card.json` into a model's directory."""
    with atomic_file(Path(directory) / CARD_NAME) as temporary:
        temporary.write_text(json.dumps(_fields(card), indent=2) + "\n")


def read_card(directory: str | Path) -> ModelCard:
    """Read the card of a model.

    Args:
        directory: the model's directory.

    Raises:
        OtherVersionError: for a card of a form that this version does not
            know, or that it cannot read and a newer one wrote.
        InputError: where there is no card, or it is damaged.
    """
    path = Path(directory) / CARD_NAME
    fields: Any = None
    try:
        fields = read_json(path)
        if fields["format"] not in _READABLE:
            raise _other_form(path, fields)
        return ModelCard(**_typed(fields))
    except FileNotFoundError as error:
        raise InputError(
            f"{directory} is not a model directory: it has no {CARD_NAME}. "
            "Give a directory that `stmk fit --out` wrote."
        ) from error
    except InputError:
        raise
    except OSError as error:
        raise InputError(f"Cannot read {path}: {error.strerror}.") from error
    except (
        ValueError,
        TypeError,
        KeyError,
        AttributeError,
        OverflowError,
    ) as error:
        raise _unreadable(path, fields, error) from error


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as `ModelCard` has them; JSON knows no tuple and no whole key."""
    check_fields(fields)
    low, high = fields["ring_rad_px"]
    typed = {**fields, "ring_rad_px": (float(low), float(high))}
    parts = [typed.pop(n, None) for n in ("thresholds", "floors", "detection")]
    return typed | {"selection": _selection(*parts)}


def _selection(
    thresholds: dict[str, float],
    floors: dict[str, float],
    detection: dict[str, Any] | None,
) -> Selection:
    """The section of a card's selection; its keys stand side by side there."""
    if detection is None:
        return ScoreSelection(
            {int(n): float(s) for n, s in thresholds.items()},
            {int(n): float(s) for n, s in floors.items()},
        )
    measured = {**detection}
    return ProbabilitySelection(
        float(measured.pop("threshold")),
        float(measured.pop("false_discovery_rate")),
        float(measured.pop("false_beforehand", 0.0)),
        measured,
    )


def _fields(card: ModelCard) -> dict[str, Any]:
    """What `model_card.json` holds: undoes `_typed`."""
    fields = dataclasses.asdict(card)
    del fields["selection"]
    return fields | card.selection.as_fields()


def _other_form(path: Path, fields: dict[str, Any]) -> OtherVersionError:
    return OtherVersionError(
        f"{path} has the form {fields['format']!r:.40} and was made by "
        f"{maker(fields.get('versions'))}; this is "
        f"{maker(package_versions())}, which reads the forms "
        f"{' and '.join(map(str, _READABLE))}. Use the model with the version "
        "that made it, or train it again with this one."
    )


def _unreadable(path: Path, fields: Any, error: Exception) -> InputError:
    versions = fields.get("versions") if isinstance(fields, dict) else None
    newer = made_by_newer(versions)
    if newer:
        return OtherVersionError(
            f"The model card {path} cannot be read ({error}). {newer}"
        )
    return InputError(
        f"The model card {path} is damaged ({error}). Restore it or train "
        "the model again."
    )


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
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is no file. Restore it.")
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
