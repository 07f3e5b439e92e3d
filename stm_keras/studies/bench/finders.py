"""The finders, how all of them are tuned, and which of them can be had."""

import functools
import hashlib
import importlib
import importlib.util
import logging
import warnings
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from stm_keras.baselines import (
    LOG_SIGMAS_PX,
    Peaks,
    find_blobs_log,
    rms_map,
    without_gaps,
)
from stm_keras.detector import kind_of
from stm_keras.errors import InputError
from stm_keras.models.card import CARD_NAME, ModelCard
from stm_keras.nn.decoding import find_standing_out
from stm_keras.preprocessing.preparation import PredictOptions
from stm_keras.ring_model import SCATTERING
from stm_keras.scoring import (
    Threshold,
    best_threshold,
    keeping,
    pooled_score,
)
from stm_keras.studies.baselines.matched_filter import RADII_PX, find_rings
from stm_keras.studies.baselines.pursuit import (
    PursuitSettings,
    find_by_pursuit,
)
from stm_keras.studies.bench.cases import TOLERANCE_PX, Case, Found

OURS = "context"
"""Set against the best of the others in the report."""

_SPAN = 0.12
"""Counts this far about that of `best_threshold` are tried, which itself
tries counts a tenth apart: too coarse for a finder that misses fewer."""

_N_FINE = 49


class Finder(ABC):
    """Something that finds impurities, with a threshold chosen by tuning.

    The threshold, and perhaps a setting, with the highest Jaccard index at
    1 px, pooled over the tuning cases, are taken.

    Args:
        network: for finders that use one, as `load_detector` makes it.

    Attributes:
        name: in the table.
        network_name: of the network that it uses; empty without one.
        probabilities: whether scores are probabilities of being true.
        n_choosing: tuning cases on which settings are compared, all for None;
            the threshold always comes from all of them.
    """

    name = ""
    network_name = ""
    probabilities = False
    n_choosing: int | None = None

    def __init__(self, network: Any = None) -> None:
        self._network = network
        self.setting: Any = None
        self.threshold: float | None = None

    def candidates(self, case: Case) -> Sequence[Any]:
        """Settings to try, for cases such as this one."""
        del case
        return (None,)

    @abstractmethod
    def detect(self, case: Case, setting: Any) -> Found:
        """All that a setting finds, whatever its score."""

    @property
    def settings(self) -> dict[str, Any]:
        """What the tuning chose, as plain values."""
        chosen = {} if self.setting is None else {"setting": str(self.setting)}
        return chosen | {"threshold": self.threshold}

    def tune(self, cases: Sequence[Case]) -> None:
        """Choose setting and threshold on cases that are not the test's.

        Raises:
            InputError: where no setting finds anything at all.
        """
        first = cases[: self.n_choosing]
        trials = [(s, self._tried(first, s)) for s in self.candidates(cases[0])]
        chosen, best = max(
            trials, key=lambda t: -1.0 if t[1] is None else t[1].score.jaccard
        )
        if best is not None and len(cases) > len(first):
            best = self._tried(cases, chosen)
        if best is None:
            raise InputError(f"{self.name} finds nothing in the tuning maps.")
        self.setting, self.threshold = chosen, best.value

    def _tried(self, cases: Sequence[Case], setting: Any) -> Threshold | None:
        found = [self.detect(case, setting) for case in cases]
        return tuned_threshold(found, cases, tolerance_px=TOLERANCE_PX)

    def everything(self, case: Case) -> Found:
        """All that may be an impurity, whatever its score."""
        return self.detect(case, self._tuned()[0])

    def find(self, case: Case) -> Found:
        """What counts as an impurity."""
        setting, threshold = self._tuned()
        found = self.detect(case, setting)
        return found.where(found.scores > threshold)

    def ood_score(self, case: Case) -> float | None:
        """How far out of distribution, above 1 it is; None: unknown."""
        del case

    def _tuned(self) -> tuple[Any, float]:
        if self.threshold is None:
            raise InputError(f"{self.name} was not tuned.")
        return self.setting, self.threshold


def tuned_threshold(
    found: Sequence[Found], cases: Sequence[Case], *, tolerance_px: float
) -> Threshold | None:
    """The threshold with the highest pooled Jaccard index.

    Args:
        found: everything that was found in each case.
        cases: with their truth.
        tolerance_px: farthest match [px].

    Returns:
        The threshold and its score; None where nothing was found at all.
    """
    peaks = [Peaks(one.positions, one.scores) for one in found]
    truth = [case.positions for case in cases]
    coarse = best_threshold(peaks, truth, tolerance=tolerance_px)
    if coarse is None:
        return None
    heights = np.sort(np.concatenate([p.scores for p in peaks]))[::-1]
    count = int((heights > coarse.value).sum())
    about = np.linspace((1 - _SPAN) * count, (1 + _SPAN) * count, _N_FINE)
    trials = [
        Threshold(value, pooled_score(peaks, truth, value, tolerance_px))
        for value in keeping(heights, about)
    ]
    return max([coarse, *trials], key=lambda trial: trial.score.jaccard)


def _of_peaks(peaks: Peaks) -> Found:
    return Found(
        np.asarray(peaks.positions, np.float64).reshape(-1, 2),
        np.asarray(peaks.scores, np.float64),
    )


class LogFinder(Finder):
    """Laplacian of Gaussian of the RMS map; its width is tuned."""

    name = "log"

    def candidates(self, case: Case) -> Sequence[float]:
        """Widths [px]."""
        return LOG_SIGMAS_PX

    def detect(self, case: Case, setting: float) -> Found:
        """See `find_blobs_log`."""
        return _of_peaks(find_blobs_log(case.maps, sigma_px=setting))


class TrackpyFinder(Finder):
    """`trackpy.locate` on the RMS map; its diameter is tuned.

    trackpy leaves out a border as wide as its filters: the map is mirrored
    there, and what is found beyond the frame left out.
    """

    name = "trackpy"

    def __init__(self, network: None = None) -> None:
        super().__init__(network)
        self._trackpy: Any = importlib.import_module("trackpy")
        logging.getLogger("trackpy").setLevel(logging.ERROR)

    def candidates(self, case: Case) -> Sequence[int]:
        """Diameters [px], odd."""
        return (3, 5, 7, 9)

    def detect(self, case: Case, setting: int) -> Found:
        """All features, scored by their mass in units of the map's spread."""
        rms = without_gaps(rms_map(case.maps))
        rms = (rms - rms.mean()) / (rms.std() or 1.0)
        pad = setting + 2
        image = np.pad(rms - rms.min(), pad, "symmetric")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            table = self._trackpy.locate(
                image, setting, minmass=0, engine="python"
            )
        if not len(table):
            return Found(np.empty((0, 2)), np.empty(0))
        places = table[["y", "x"]].to_numpy(np.float64) - pad
        mass = table["mass"].to_numpy(np.float64)
        inside = (
            (places >= -0.5) & (places < np.subtract(rms.shape, 0.5))
        ).all(axis=1)
        order = np.argsort(-mass[inside], kind="stable")
        return Found(places[inside][order], mass[inside][order])


class RingFinder(Finder):
    """Ring energy, k(V) given; the radius of its template is tuned."""

    name = "rings"

    def candidates(self, case: Case) -> Sequence[float]:
        """Radii [px]."""
        return RADII_PX

    def detect(self, case: Case, setting: float) -> Found:
        """See `find_rings`."""
        k = case.given_wave_numbers
        return _of_peaks(find_rings(case.maps, k, radius_px=setting))


class PursuitFinder(Finder):
    """The matched filter with pursuit and refit, k(V) and decay given.

    Where the waves are those of scattering, whether the pixels about the
    impurity count, and where the search stops, is tuned.
    """

    name = "pursuit"
    n_choosing = 3  # a search takes long

    _HOLES_PX = (0.0, 1.5)
    _MAX_MAPS = 16
    """Of longer stacks so many means are fitted, for the time's sake."""

    _STOPS = (4.0, 12.0)
    """Noise that is not white, and cores, have a search go on that stops low;
    the pursuit's default of a threshold lies just above the first."""

    def candidates(self, case: Case) -> Sequence[PursuitSettings]:
        """Of the search."""
        if case.given_decay == 2:  # Eq. 3
            return (PursuitSettings(),)
        return tuple(
            PursuitSettings(
                replace(SCATTERING, hole_px=hole),
                stop=stop,
                max_maps=self._MAX_MAPS,
            )
            for hole in self._HOLES_PX
            for stop in self._STOPS
        )

    def detect(self, case: Case, setting: Any) -> Found:
        """See `find_by_pursuit`."""
        return self._at(case, setting, -np.inf)

    def find(self, case: Case) -> Found:
        """What is below the threshold is taken out before the refit."""
        return self._at(case, *self._tuned())

    def _at(self, case: Case, setting: Any, threshold: float) -> Found:
        k = case.given_wave_numbers
        return _of_peaks(
            find_by_pursuit(case.maps, k, setting, threshold=threshold)
        )


class NetworkInput(NamedTuple):
    """Maps at the pixel of a network.

    Attributes:
        maps: float32 [V, H, W]; NaN where not measured.
        q_rad_px: q = 2k of each map as it is given, float32 [V] [rad/px]; 0
            where it is unknown, or the network takes none.
        scale: height and width of its pixels in those of the case, float64
            [2].
    """

    maps: np.ndarray
    q_rad_px: np.ndarray
    scale: np.ndarray

    def in_case(self, found: Found) -> Found:
        """What was found in these maps, in the pixels of the case."""
        sizes = found.deviations
        return Found(
            (found.positions + 0.5) * self.scale - 0.5,
            found.scores,
            None if sizes is None else sizes * self.scale,
        )


def network_input(case: Case, card: ModelCard) -> NetworkInput:
    """A case as a network takes it: a file as `stmk predict` prepares it.

    Each network so gets what it gets from its users; what it finds comes back
    in the pixels of the case, in which all finders are compared.

    Args:
        case: of a file or not.
        card: of the network's model.
    """
    if case.file is None:
        q = np.asarray(2 * case.given_wave_numbers, np.float32)
        return NetworkInput(np.asarray(case.maps, np.float32), q, np.ones(2))
    maps, surface = case.file
    prepared = kind_of(card).prepare(card, maps, PredictOptions(surface))
    ready, q = prepared.ready, np.zeros(len(maps.data))
    if prepared.q_per_nm is not None:
        q = prepared.q_per_nm * np.mean(ready.pixel_nm)
    return NetworkInput(
        ready.data,
        np.asarray(q, np.float32),
        np.divide(case.maps.shape[1:], ready.shape[1:]),
    )


class Wang2020Finder(Finder):
    """The paper's network; the threshold of its S is tuned."""

    name = network_name = "wang2020"

    def detect(self, case: Case, setting: None) -> Found:
        """Peaks of S, in its standard deviations above its mean."""
        del setting
        given = network_input(case, self._network.card)
        score = np.array(self._network.score(given.maps[None])[0], np.float64)
        score[np.isnan(given.maps).any(axis=0)] = np.nan
        return given.in_case(_of_peaks(find_standing_out(score)))


class ContextFinder(Finder):
    """The network `context`, its threshold tuned as those of the others."""

    name = "context-tuned"
    network_name = "context"
    probabilities = True

    def detect(self, case: Case, setting: None) -> Found:
        """All detections, down to the least probability that it gives."""
        del setting
        given = network_input(case, self._network.card)
        found = self._network.detect(given.maps, given.q_rad_px)
        return given.in_case(
            Found(
                np.asarray(found.positions, np.float64).reshape(-1, 2),
                np.asarray(found.probabilities, np.float64),
                np.asarray(found.deviations, np.float64).reshape(-1, 2),
            )
        )

    def ood_score(self, case: Case) -> float | None:
        """Of the maps, against the training's; above 1 is out."""
        if not hasattr(self._network, "ood_score"):
            return None
        given = network_input(case, self._network.card)
        return self._network.ood_score(given.maps, given.q_rad_px)


class ContextDefaultFinder(ContextFinder):
    """The same as `stmk predict` selects detections, by its model card."""

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
        return self.detect(case, None)

    def find(self, case: Case) -> Found:
        """What `stmk predict` would select."""
        found = self.detect(case, None)
        return found.where(
            found.scores >= self._network.least_kept(found.scores)
        )


_CLASSES: dict[str, type[Finder]] = {
    kind.name: kind
    for kind in (
        LogFinder,
        TrackpyFinder,
        RingFinder,
        PursuitFinder,
        Wang2020Finder,
        ContextDefaultFinder,
        ContextFinder,
    )
}
FINDERS = tuple(_CLASSES)
"""In the order of the table."""

_NEEDED = {"wang2020": "score", "context": "detect"}
"""What a loaded model of each network can do."""


def network_of(finder: str) -> str:
    """The network that a finder uses; empty for one without."""
    return _CLASSES[finder].network_name


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
        if name == "trackpy" and importlib.util.find_spec("trackpy") is None:
            return "trackpy is not installed: pip install 'stm-keras[bench]'"
        network = network_of(name)
        if not network:
            return None
        directory = self.directory(name)
        if directory is None:
            return "no model directory given"
        if not (directory / CARD_NAME).is_file():
            return f"no model in {directory}"
        if not hasattr(load_network(directory), _NEEDED[network]):
            return f"the model in {directory} is none of {network}"
        return None

    def make(self, name: str) -> Finder:
        """A finder, not tuned.

        Raises:
            InputError: where it cannot be had.
        """
        if reason := self.missing(name):
            raise InputError(f"{name}: {reason}.")
        directory = self.directory(name)
        return _CLASSES[name](directory and load_network(directory))

    def version(self, name: str) -> str:
        """Digest of a finder's weights; empty for one without a network."""
        directory = self.directory(name)
        return "" if directory is None else _digest(directory)


@functools.cache
def load_network(directory: Path) -> Any:
    """Load a model directory, once; TensorFlow is imported here.

    Raises:
        InputError: where it is missing or damaged.
    """
    from stm_keras.detector import load_detector

    return load_detector(directory)


@functools.cache
def _digest(directory: Path) -> str:
    """Of the weights and the card, by which they are used."""
    digest = hashlib.sha256()
    weights = sorted((directory / "variables").glob("variables.data-*"))
    for path in [*weights, directory / CARD_NAME]:
        if path.is_file():
            digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def checked_finders(
    names: Sequence[str], *, quick: bool = False
) -> tuple[str, ...]:
    """The finders asked for, in the order of the table.

    Args:
        names: of finders; none for all.
        quick: leave out the slowest unless it is asked for.

    Raises:
        InputError: for an unknown name.
    """
    for name in names:
        if name not in FINDERS:
            raise InputError(
                f"--finders: unknown finder {name!r}. Known: "
                f"{', '.join(FINDERS)}."
            )
    slow = () if names or not quick else (PursuitFinder.name,)
    names = names or FINDERS
    return tuple(n for n in FINDERS if n in names and n not in slow)
