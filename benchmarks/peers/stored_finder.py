"""A peer's detections as one of the bench's finders."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import numpy as np
from peer_files import Detections, digest, load_detections
from stm_keras.bench.finders import TunedFinder

from stm_keras.errors import InputError
from stm_keras.studies.bench.cases import Case, Found


class StoredFinder(TunedFinder):
    """Finds what a peer found; its threshold is tuned as all finders' are.

    Args:
        name: of the peer.
        stored: what it found, by the digest of the stack.
    """

    def __init__(self, name: str, stored: Mapping[str, Found]) -> None:
        super().__init__()
        self.name = name
        self._stored = stored

    def look(self, case: Case, setting: None) -> Found:
        """All that the peer found.

        Raises:
            InputError: for a stack that it was not shown.
        """
        del setting
        found = self._stored.get(digest(case.maps))
        if found is None:
            raise InputError(
                f"{self.name} was not shown a stack that is to be scored: "
                "export and find again, on this machine."
            )
        return found


def by_digest(files: Iterable[Detections]) -> dict[str, Found]:
    """What was found in each stack, the surest first."""
    return {
        name: _sorted(positions, scores)
        for file in files
        for name, positions, scores in zip(
            file.digests, file.positions, file.scores, strict=True
        )
    }


def _sorted(positions: np.ndarray, scores: np.ndarray) -> Found:
    order = np.argsort(-scores, kind="stable")
    return Found(positions[order], scores[order])


def read_detections(path: Path) -> Detections:
    """Read and check a peer's file.

    Raises:
        InputError: where it is missing, damaged or not finite.
    """
    try:
        found = load_detections(path)
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path} holds no detections ({error}): run the peer's script."
        ) from error
    for values in (*found.positions, *found.scores):
        if not np.isfinite(values).all():
            raise InputError(f"{path} holds a position or score of NaN.")
    return found
