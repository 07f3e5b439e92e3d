"""Finders without a network."""

import importlib
import importlib.util
import logging
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from stm_keras.analysis.baselines import (
    LOG_SIGMAS_PX,
    find_blobs_log,
    rms_map,
    without_gaps,
)
from stm_keras.analysis.matched_filter import RADII_PX, find_rings
from stm_keras.analysis.pursuit import PursuitSettings, find_by_pursuit
from stm_keras.bench.case import Case, Found
from stm_keras.bench.finders import TunedFinder, found_peaks
from stm_keras.ring_model import SCATTERING

TRACKPY_DIAMETERS_PX = (3, 5, 7, 9)
EQ3_DECAY = 2.0
_HOLES_PX = (0.0, 1.5)
_MAX_MAPS = 16
"""Of longer stacks so many means are fitted, for the time's sake."""

_STOPS = (4.0, 12.0)
"""Noise that is not white, and cores, have a search go on that stops low; the
pursuit's default of a threshold lies just above the first."""


class LogFinder(TunedFinder):
    """Laplacian of Gaussian of the RMS map; its width is tuned."""

    name = "log"

    def candidates(self, case: Case) -> Sequence[float]:
        """Widths [px]."""
        return LOG_SIGMAS_PX

    def look(self, case: Case, setting: float) -> Found:
        """See `find_blobs_log`."""
        return found_peaks(find_blobs_log(case.maps, sigma_px=setting))


class RingFinder(TunedFinder):
    """Ring energy, told k(V); the reach of its template is tuned."""

    name = "rings"

    def candidates(self, case: Case) -> Sequence[float]:
        """Reaches [px]."""
        return RADII_PX

    def look(self, case: Case, setting: float) -> Found:
        """See `find_rings`."""
        k = case.told_wave_numbers
        return found_peaks(find_rings(case.maps, k, radius_px=setting))


class TrackpyFinder(TunedFinder):
    """`trackpy.locate` on the RMS map; its diameter is tuned.

    trackpy leaves out a border as wide as its filters: the map is mirrored
    there, and what is found beyond the frame left out.
    """

    name = "trackpy"

    def __init__(self) -> None:
        super().__init__()
        self._trackpy: Any = importlib.import_module("trackpy")
        logging.getLogger("trackpy").setLevel(logging.ERROR)

    def candidates(self, case: Case) -> Sequence[int]:
        """Diameters [px], odd."""
        return TRACKPY_DIAMETERS_PX

    def look(self, case: Case, setting: int) -> Found:
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


class PursuitFinder(TunedFinder):
    """The matched filter with pursuit and refit, told k(V).

    It is told the decay of the waves, too. Where they are those of scattering,
    whether the pixels about the impurity count, and where the search stops,
    is tuned.
    """

    name = "pursuit"
    n_choosing = 3  # a search takes long

    def candidates(self, case: Case) -> Sequence[Any]:
        """`PursuitSettings`."""
        if case.told_decay == EQ3_DECAY:
            return (PursuitSettings(),)
        return tuple(
            PursuitSettings(
                replace(SCATTERING, hole_px=hole),
                stop=stop,
                max_maps=_MAX_MAPS,
            )
            for hole in _HOLES_PX
            for stop in _STOPS
        )

    def look(self, case: Case, setting: Any) -> Found:
        """See `find_by_pursuit`."""
        return self._at(case, setting, -np.inf)

    def find(self, case: Case) -> Found:
        """What is left below the threshold is taken out before the refit."""
        return self._at(case, *self._tuned())

    def _at(self, case: Case, setting: Any, threshold: float) -> Found:
        return found_peaks(
            find_by_pursuit(
                case.maps,
                case.told_wave_numbers,
                setting,
                threshold=threshold,
            )
        )


def missing_trackpy() -> str | None:
    """Why trackpy cannot be used; None where it can."""
    if importlib.util.find_spec("trackpy") is not None:
        return None
    return "trackpy is not installed: pip install 'stm-keras[bench]'"
