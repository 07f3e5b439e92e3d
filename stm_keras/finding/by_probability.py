"""Find impurities with a network that says how sure it is."""

import dataclasses
from collections.abc import Callable

import numpy as np

from stm_keras.analysis.detections import Detections, find_detections
from stm_keras.analysis.false_discovery import least_kept
from stm_keras.analysis.ring_candidates import LEAST_PROBABILITY
from stm_keras.analysis.ring_refit import Refit, refit_rings
from stm_keras.errors import InputError
from stm_keras.finding.detection_finder import DetectionFinder
from stm_keras.finding.found import Found
from stm_keras.finding.predict_options import PredictOptions
from stm_keras.io.maps import ConductanceMaps
from stm_keras.nn.context import LEAST_FRAME_PX
from stm_keras.progress import Progress, no_progress
from stm_keras.simulation.surrogates import phase_surrogate

Rule = Callable[[np.ndarray], float]
"""From the probabilities of all detections in a stack to the least that
counts."""

_MOST_SURROGATES = 5
_ENOUGH_PX = 160_000
"""Of all surrogates together: five frames of nearly 180 x 180 px. They take as
long as the maps themselves, each."""


def find_by_probability(
    ready: ConductanceMaps,
    ring_rad_px: np.ndarray,
    finder: DetectionFinder,
    options: PredictOptions,
    progress: Progress = no_progress,
) -> Found:
    """Impurities surer than the threshold, and what to think of them.

    Args:
        ready: maps at the network's pixel.
        ring_rad_px: 2k of each map [rad/px], [V]; 0 where unknown.
        finder: the trained network.
        options: threshold or false-discovery rate, and number of surrogates.
        progress: told the number of tiles done and of all, those of
            surrogates not among them.
    """
    _check(ready, finder, options)
    score, all_found, fit = _look(ready, ring_rad_px, finder, options, progress)
    rule = _rule(finder, options)
    threshold = rule(all_found.probabilities)
    kept = all_found.probabilities >= threshold
    found = Detections(*(part[kept] for part in all_found))
    believed = fit is not None and fit.believed
    # Surrogates are looked at as the maps were.
    alike = dataclasses.replace(options, fit_rings=believed)
    surrogates = _surrogates(ready, ring_rad_px, finder, alike, rule)
    notes = _notes(ready.data, ring_rad_px, finder)
    if fit is not None:
        notes = (*notes, fit.verdict)
    if options.threshold is None:
        notes += _left_out(all_found.probabilities[~kept], finder)
    if surrogates is not None:
        rate = options.false_discovery_rate or finder.false_discovery_rate
        notes += _doubts(len(found.positions), surrogates, rate)
    return Found(
        score,
        found.positions,
        found.probabilities,
        threshold,
        deviations=found.deviations,
        expected_false=float((1 - found.probabilities).sum()),
        surrogates=surrogates,
        needs_every_map=False,
        notes=notes,
    )


def _look(
    ready: ConductanceMaps,
    ring_rad_px: np.ndarray,
    finder: DetectionFinder,
    options: PredictOptions,
    progress: Progress,
) -> tuple[np.ndarray, Detections, Refit | None]:
    """The score of every pixel, all detections, and the fit, if asked for."""
    output = finder.answer(ready.data, ring_rad_px, progress)
    # Nothing is found where no map has a measurement.
    output[~ready.measured, 0] = -np.inf
    score = np.where(ready.measured, output[..., 0], np.nan)
    found = find_detections(output, LEAST_PROBABILITY)
    if not options.fit_rings:
        return score, found, None
    fit = refit_rings(ready.data, ring_rad_px, found)
    return score, fit.detections, fit


def _check(
    ready: ConductanceMaps, finder: DetectionFinder, options: PredictOptions
) -> None:
    """Refuse a frame of little but edge, and the other kind's options."""
    if options.tiling != "overlap":
        raise InputError(
            f"--tiling {options.tiling}: the model {finder.card.name} is not "
            "cut into the paper's tiles; leave the option out."
        )
    _, height, width = ready.shape
    if min(height, width) < LEAST_FRAME_PX:
        raise InputError(
            f"{ready.source}: at the network's pixel of "
            f"{ready.pixel_nm[0]:.3g} nm the frame is only {height} x {width} "
            f"px, and {LEAST_FRAME_PX} are needed: give a larger frame."
        )


def _rule(finder: DetectionFinder, options: PredictOptions) -> Rule:
    """The user's threshold, or that of the user's or the card's rate."""
    given, rate = options.threshold, options.false_discovery_rate
    if given is not None:
        if not 0 < given < 1:
            raise InputError(
                f"--threshold {given:g}: the model {finder.card.name} gives "
                "probabilities; take one between 0 and 1."
            )
        return lambda probabilities: given
    if rate is not None:
        # Asked for alone, the rate decides alone.
        return lambda probabilities: least_kept(probabilities, rate)
    return finder.least_kept


def _surrogates(
    ready: ConductanceMaps,
    ring_rad_px: np.ndarray,
    finder: DetectionFinder,
    options: PredictOptions,
    rule: Rule,
) -> np.ndarray | None:
    n_surrogates = options.surrogates
    if n_surrogates is None:
        enough = -(-_ENOUGH_PX // ready.data[0].size)
        n_surrogates = min(enough, _MOST_SURROGATES)
    if n_surrogates == 0:
        return None
    rng = np.random.default_rng(0)  # the same file gives the same answer
    counts = []
    for _ in range(n_surrogates):
        maps = phase_surrogate(ready.data, rng)
        found = finder.detect(maps, ring_rad_px, fit_rings=options.fit_rings)
        sure = found.probabilities >= rule(found.probabilities)
        counts.append(float(sure.sum()))
    return np.array(counts)


def _notes(
    maps: np.ndarray, ring_rad_px: np.ndarray, finder: DetectionFinder
) -> tuple[str, ...]:
    unlikeness = finder.unlikeness(maps, ring_rad_px)
    if unlikeness is None:
        return ()
    note = (
        f"unlikeness to the training maps {unlikeness:.2f}; 99 of 100 of them "
        "are below 1"
    )
    return (f"warning: off its ground: {note}" if unlikeness > 1 else note,)


def _left_out(
    probabilities: np.ndarray, finder: DetectionFinder
) -> tuple[str, ...]:
    """Those not kept that are as probable as one that may be."""
    likely = probabilities[probabilities >= finder.threshold]
    if not len(likely):
        return ()
    return (
        f"left out: {len(likely)} more of a probability of {likely.min():.2f} "
        f"to {likely.max():.2f}, with which more of all would be expected to "
        "be false than the false-discovery rate allows; --threshold keeps them",
    )


def _doubts(
    n_found: int, surrogates: np.ndarray, rate: float
) -> tuple[str, ...]:
    """Whether the maps' own spectrum makes the finder see things."""
    mean = surrogates.mean()
    if mean <= max(1 / len(surrogates), rate * n_found):
        return ()
    return (
        f"warning: maps of the same spectrum without any impurity give "
        f"{mean:.2g} detections each, and these gave {n_found}: do not trust "
        "them",
    )
