"""One detector a network: preprocess, network, decode, select."""

from pathlib import Path

from stm_keras.detector.context import ContextDetector
from stm_keras.detector.detector import (
    Detector,
    check_size,
    load_detector_as,
)
from stm_keras.detector.wang2020 import Wang2020Detector
from stm_keras.errors import InputError
from stm_keras.models.card import ModelCard

__all__ = [
    "KINDS",
    "ContextDetector",
    "Detector",
    "Wang2020Detector",
    "check_size",
    "kind_of",
    "load_detector",
]

KINDS: dict[str, type[Detector]] = {
    kind.network: kind for kind in (ContextDetector, Wang2020Detector)
}
"""Detectors by the class of their network, as cards name it."""


def load_detector(directory: str | Path) -> Detector:
    """Load a model directory.

    Args:
        directory: what `stmk fit --out` wrote, or the name of a model that
            ships, such as "context".

    Returns:
        The detector of its network.

    Raises:
        OtherVersionError: where a newer version made it and this one cannot
            use it; a model of an older version works.
        InputError: where it is missing, is no model directory, or is damaged.
    """
    return load_detector_as(KINDS, directory)


def kind_of(card: ModelCard) -> type[Detector]:
    """The detector of a card's network, without loading it.

    Raises:
        InputError: see `load_detector`.
    """
    try:
        return KINDS[str(card.network.get("class"))]
    except KeyError as error:
        raise InputError(
            f"The card of {card.name} has the network {error}. Known: "
            f"{', '.join(KINDS)}."
        ) from error
