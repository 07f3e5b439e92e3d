"""The trained networks as finders."""

import functools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from stm_keras.analysis.peaks import find_peaks
from stm_keras.bench.case import Case, Found
from stm_keras.bench.finders import TunedFinder, found_peaks
from stm_keras.bench.shown import Shown, shown
from stm_keras.errors import InputError
from stm_keras.scoring import standardised


class Wang2020Finder(TunedFinder):
    """The paper's network; the threshold of its S is tuned.

    Args:
        network: with `score(maps [B, V, H, W]) -> [B, H, W]`, and a `card`
            that says how files are to be prepared.
    """

    name = "wang2020"

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network = network

    def look(self, case: Case, setting: None) -> Found:
        """Peaks of S, in its standard deviations above its mean."""
        del setting
        view = shown(case, self._network.card)
        score = np.array(self._network.score(view.maps[None])[0], np.float64)
        score[np.isnan(view.maps).any(axis=0)] = np.nan
        return view.in_case(found_peaks(find_peaks(standardised(score))))


class ContextFinder(TunedFinder):
    """The network `context`, its threshold tuned as those of the others.

    Args:
        network: with `detect(maps [V, H, W], ring [V])`, 2k in rad/px, that
            gives positions, probabilities and deviations, with
            `least_kept(probabilities)`, and a `card`; see `ContextDetector`.
    """

    name = "context-tuned"
    probabilities = True

    def __init__(self, network: Any) -> None:
        super().__init__()
        self._network = network

    def look(self, case: Case, setting: None) -> Found:
        """All detections, down to the least probability that it gives."""
        del setting
        view = self._shown(case)
        found = self._network.detect(view.maps, view.ring_rad_px)
        return view.in_case(
            Found(
                np.asarray(found.positions, np.float64).reshape(-1, 2),
                np.asarray(found.probabilities, np.float64),
                np.asarray(found.deviations, np.float64).reshape(-1, 2),
            )
        )

    def unlikeness(self, case: Case) -> float | None:
        """How unlike the training's the maps are; above 1 is off ground."""
        if not hasattr(self._network, "unlikeness"):
            return None
        view = self._shown(case)
        return self._network.unlikeness(view.maps, view.ring_rad_px)

    def _shown(self, case: Case) -> Shown:
        return shown(case, self._network.card)


class ContextDefaultFinder(ContextFinder):
    """The same with what its model card says of a threshold: told nothing."""

    name = "context"

    @property
    def settings(self) -> dict[str, Any]:
        """The card's."""
        own = self._network.selection
        return {
            "threshold": own.threshold,
            "false_discovery_rate": own.false_discovery_rate,
            "false_beforehand": own.prior_false,
        }

    def tune(self, cases: Sequence[Case]) -> None:
        """Does nothing."""

    def everything(self, case: Case) -> Found:
        """See `Finder`."""
        return self.look(case, None)

    def find(self, case: Case) -> Found:
        """What `stmk predict` would keep."""
        found = self.look(case, None)
        return found.from_on(self._network.least_kept(found.scores))


@functools.cache
def load_network(directory: Path) -> Any:
    """Load a model directory, once; TensorFlow is imported here.

    Raises:
        InputError: where it is missing or damaged.
    """
    from stm_keras.detector import load_detector

    return load_detector(directory)


def check_model(directory: Path) -> None:
    """Refuse a model directory that is not there.

    Raises:
        InputError: for such a directory.
    """
    if not directory.is_dir():
        raise InputError(f"No such model directory: {directory}.")
