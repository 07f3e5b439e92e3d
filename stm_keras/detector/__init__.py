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


def load_detector(directory: str | Path, *, trust: bool = False) -> Detector:
    """Load a model directory.

    A model is a program, so it is checked first: against its checksums, and
    for operations that do more than compute; see `stm_keras.models.trust`.

    Args:
        directory: what `stmk fit --out` wrote, or the name of a model that
            ships, such as "context".
        trust: load it unchecked; it may then do whatever this process may.

    Returns:
        The detector of its network.

    Raises:
        OtherVersionError: where a newer version made it and this one cannot
            use it; a model of an older version works.
        InputError: where it is missing, is no model directory, is damaged or
            changed, or could do more than compute.
    """
    return load_detector_as(KINDS, directory, trust=trust)


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
