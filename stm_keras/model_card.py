"""What travels with a trained model: how it was made and how good it is."""

import dataclasses
import json
import platform
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from stm_keras.errors import InputError
from stm_keras.files import atomic_file

CARD_NAME = "model_card.json"
CARD_FORMAT = 2
_READABLE = (1, 2)
"""Form 1 had no `detection`: all its models are of `Wang2020`."""

_PACKAGES = ("stm-keras", "tensorflow", "keras", "tensorflow-datasets", "numpy")


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
    format: int = CARD_FORMAT

    def threshold(self, n_maps: int) -> float:
        """Least S of a detection in a stack of `n_maps` maps.

        In standard deviations of S above its mean. Of the numbers of maps
        that a threshold was chosen for, the nearest (as a ratio) counts.
        """
        return self.thresholds[_nearest(self.thresholds, n_maps)]

    def noise_floor(self, n_maps: int) -> float:
        """S that white noise reaches once in a frame; nearest as above."""
        return self.floors[_nearest(self.floors, n_maps)]


def _nearest(counts: Mapping[int, float], n_maps: int) -> int:
    return min(counts, key=lambda n: max(n / n_maps, n_maps / n))


def package_versions() -> dict[str, str]:
    """Versions of Python and of the packages that make a model."""
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            versions[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            versions[package] = "not installed"
    return versions


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
        InputError: where there is no card, or it is damaged or of a form that
            this version does not know.
    """
    path = Path(directory) / CARD_NAME
    try:
        fields = json.loads(path.read_text())
        if fields["format"] not in _READABLE:
            raise InputError(
                f"{path} has the form {fields['format']!r}; this version of "
                f"stm-keras reads {_READABLE}. Use the version that made "
                "it, or train again."
            )
        low, high = fields["ring_rad_px"]
        if not 0 < low <= high:
            raise ValueError(f"ring_rad_px is {low} to {high}")
        fields["ring_rad_px"] = (float(low), float(high))
        for name in ("thresholds", "floors"):
            fields[name] = {int(n): float(s) for n, s in fields[name].items()}
            needed = not fields.get("detection")
            if needed and (not fields[name] or min(fields[name]) < 1):
                raise ValueError(f"{name} name no number of maps")
        return ModelCard(**fields)
    except FileNotFoundError as error:
        raise InputError(
            f"{directory} is not a model directory: it has no {CARD_NAME}. "
            "Give a directory that `stmk fit --out` wrote."
        ) from error
    except InputError:
        raise
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise InputError(
            f"The model card {path} is damaged ({error}). Restore it or train "
            "the model again."
        ) from error
