"""What a finder is to the bench, and how all of them are tuned."""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np

from stm_keras.analysis.peaks import Peaks
from stm_keras.bench.case import TOLERANCE_PX, Case, Found
from stm_keras.bench.tuning import tuned_threshold
from stm_keras.errors import InputError
from stm_keras.scoring import Threshold


class Finder(Protocol):
    """Something that finds impurities.

    Attributes:
        name: in the table.
        probabilities: whether scores are probabilities of being true.
    """

    name: str
    probabilities: bool

    @property
    def settings(self) -> dict[str, Any]:
        """What the tuning chose, as plain values."""
        ...

    def tune(self, cases: Sequence[Case]) -> None:
        """Choose settings and threshold on cases that are not the test's."""
        ...

    def everything(self, case: Case) -> Found:
        """All that may be an impurity, whatever its score."""
        ...

    def find(self, case: Case) -> Found:
        """What counts as an impurity."""
        ...

    def unlikeness(self, case: Case) -> float | None:
        """How far the finder is off its ground, above 1; None: no idea."""
        ...


class TunedFinder(ABC):
    """A finder with a threshold, and perhaps a setting, chosen by tuning.

    The setting and threshold with the highest Jaccard index at 1 px, pooled
    over the tuning cases, are taken.
    """

    name = ""
    probabilities = False
    n_choosing: int | None = None
    """Tuning cases on which settings are compared, all for None; the
    threshold always comes from all of them."""

    def __init__(self) -> None:
        self.setting: Any = None
        self.threshold: float | None = None

    def candidates(self, case: Case) -> Sequence[Any]:
        """Settings to try, for cases such as this one."""
        del case
        return (None,)

    @abstractmethod
    def look(self, case: Case, setting: Any) -> Found:
        """All that a setting finds, whatever its score."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the tuning chose."""
        chosen = {} if self.setting is None else {"setting": str(self.setting)}
        return chosen | {"threshold": self.threshold}

    def tune(self, cases: Sequence[Case]) -> None:
        """See `Finder`.

        Raises:
            InputError: where no setting finds anything at all.
        """
        chosen, best = self._chosen(cases[: self.n_choosing])
        if best is not None and len(cases) > len(cases[: self.n_choosing]):
            best = self._tried(cases, chosen)
        if best is None:
            raise InputError(f"{self.name} finds nothing in the tuning maps.")
        self.setting, self.threshold = chosen, best.value

    def _chosen(self, cases: Sequence[Case]) -> tuple[Any, Threshold | None]:
        """The best setting, and how it did."""
        trials = [
            (setting, self._tried(cases, setting))
            for setting in self.candidates(cases[0])
        ]
        return max(
            trials, key=lambda t: -1.0 if t[1] is None else t[1].score.jaccard
        )

    def _tried(self, cases: Sequence[Case], setting: Any) -> Threshold | None:
        found = [self.look(case, setting) for case in cases]
        return tuned_threshold(found, cases, tolerance_px=TOLERANCE_PX)

    def everything(self, case: Case) -> Found:
        """See `Finder`."""
        return self.look(case, self._tuned()[0])

    def find(self, case: Case) -> Found:
        """See `Finder`."""
        setting, threshold = self._tuned()
        return self.look(case, setting).above(threshold)

    def unlikeness(self, case: Case) -> float | None:
        """See `Finder`."""
        del case

    def _tuned(self) -> tuple[Any, float]:
        if self.threshold is None:
            raise InputError(f"{self.name} was not tuned.")
        return self.setting, self.threshold


def found_peaks(peaks: Peaks) -> Found:
    """Peaks as what a finder found."""
    return Found(
        np.asarray(peaks.positions, np.float64).reshape(-1, 2),
        np.asarray(peaks.scores, np.float64),
    )
