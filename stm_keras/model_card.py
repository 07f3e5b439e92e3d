"""What travels with a trained model: how it was made and how good it is."""

import dataclasses
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError
from stm_keras.files import atomic_file
from stm_keras.versions import made_by_newer, maker, package_versions

CARD_NAME = "model_card.json"
TRAINING = "training"
"""Folder of checkpoints and logs beside the card; no part of the model."""

CARD_FORMAT = 2
_READABLE = (1, 2)
"""Form 1 had no `detection`: all its models are of `Wang2020`."""

_TABLES = ("network", "data", "training", "scores", "made", "versions")


class OtherVersionError(InputError):
    """A model that another version made, and that this one cannot use."""


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
        reach_px: how far away [px] a pixel can be to count for a score.
        ring_rad_px: least and greatest wave number 2k of the rings that it
            was trained on [rad/px]; files are resampled to lie there.
        thresholds: least S of a detection, in its standard deviations above
            its mean, by number of maps; chosen on the validation split.
            Empty, like `floors`, with `detection`.
        floors: least S of a detection, by number of maps: what white noise
            reaches once in a frame of 80 x 80 px.
        scores: on the test split, by method.
        made: date, machine, and seconds that the epochs took.
        versions: of Python and the packages that made it.
        detection: of `Context`: the least probability of a detection, the
            false-discovery rate that it follows from, and how true the
            probabilities and deviations are; None for a network that gives S
            alone.
        adaptation: of `Context` adapted to an experiment: figures before and
            after, and which network it is; see
            `stm_keras.fitting.adaptation_figures`. None for any other.
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
    thresholds: dict[int, float]
    floors: dict[int, float]
    scores: dict[str, Any]
    made: dict[str, Any]
    versions: dict[str, str]
    detection: dict[str, Any] | None = None
    adaptation: dict[str, Any] | None = None
    format: int = CARD_FORMAT

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


def _nearest(counts: Mapping[int, float], n_maps: int) -> int:
    return min(counts, key=lambda n: max(n / n_maps, n_maps / n))


def write_card(card: ModelCard, directory: str | Path) -> None:
    """Write `model_card.json` into a model's directory."""
    with atomic_file(Path(directory) / CARD_NAME) as temporary:
        temporary.write_text(
            json.dumps(dataclasses.asdict(card), indent=2) + "\n"
        )


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
        fields = json.loads(path.read_text())
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
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise _unreadable(path, fields, error) from error


def _typed(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields as `ModelCard` has them; JSON knows no tuple and no whole key."""
    low, high = fields["ring_rad_px"]
    if not 0 < low <= high:
        raise ValueError(f"ring_rad_px is {low} to {high}")
    for name in _TABLES:
        if not isinstance(fields[name], dict):
            raise TypeError(f"{name} is no table")
    typed = {**fields, "ring_rad_px": (float(low), float(high))}
    for name in ("thresholds", "floors"):
        typed[name] = {int(n): float(s) for n, s in fields[name].items()}
        needed = fields.get("detection") is None
        if needed and (not typed[name] or min(typed[name]) < 1):
            raise ValueError(f"{name} name no number of maps")
    if fields.get("detection") is not None:
        for name in ("threshold", "false_discovery_rate"):
            if not 0 < float(fields["detection"][name]) < 1:
                raise ValueError(f"detection: {name} is no share")
        if not float(fields["detection"].get("false_beforehand", 0.0)) >= 0:
            raise ValueError("detection: false_beforehand is below 0")
    return typed


def _other_form(path: Path, fields: dict[str, Any]) -> OtherVersionError:
    return OtherVersionError(
        f"{path} has the form {fields['format']!r} and was made by "
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
