"""What a network and a fit of rings say of each place, put together."""

from typing import NamedTuple

import numpy as np

from stm_keras.analysis.detections import Detections, distinct
from stm_keras.analysis.matching import match

REACH_PX = 1.5
"""Up to this distance a ring and a detection are of one impurity."""

UNSEEN = 0.005
"""Probability, to the network, of a place that it says nothing of; and to the
fit, of one where it has no ring."""

LEAST_PROBABILITY = 0.02
"""Less probable places are left out."""

INFLATION = 1.5
"""Of the fit's own standard deviations, which know nothing of impurities that
were missed; what makes the true places of two kinds of fields likeliest, see
docs/experiments.md, 10 and 11."""

_LEAST_DEVIATION_PX = 1e-3
_MOST_LOGIT = 9.2


class Rings(NamedTuple):
    """What a fit says.

    Attributes:
        positions: row and column, also outside of the frame, float64 [m, 2]
            [px].
        deviations: standard deviations of these, were the fit's model right,
            float64 [m, 2] [px].
        probabilities: posterior, float64 [m].
    """

    positions: np.ndarray
    deviations: np.ndarray
    probabilities: np.ndarray


class Candidates(NamedTuple):
    """Places that may hold an impurity.

    Attributes:
        network: probability to the network, float64 [n].
        rings: posterior probability to the fit, float64 [n].
        positions: row and column by both together, float64 [n, 2] [px].
        deviations: their standard deviations, float64 [n, 2] [px].
    """

    network: np.ndarray
    rings: np.ndarray
    positions: np.ndarray
    deviations: np.ndarray


class Weights(NamedTuple):
    """Of a logistic function, see `features`.

    Attributes:
        rings: of the log odds to the fit.
        network: of those to the network.
        excess: of the excess.
        constant: what is added.
    """

    rings: float
    network: float
    excess: float
    constant: float


def candidates(
    found: Detections,
    rings: Rings,
    measured: np.ndarray,
    inflation: float = INFLATION,
) -> Candidates:
    """Every ring and every detection, those of one impurity together.

    Where both know a place it is the mean of the network's and the fit's,
    weighed by their variances, those of the fit inflated. Both come from the
    same maps, and how their errors hang together is not known: deviations are
    those of covariance intersection with equal weights (S. J. Julier and J. K.
    Uhlmann, American Control Conference 1997, DOI 10.1109/ACC.1997.609105).

    Args:
        found: what the network detected.
        rings: what the fit says; what lies outside of the frame, or where
            nothing was measured, is left out.
        measured: where any map has a number, bool [H, W].
        inflation: of the fit's standard deviations.
    """
    places, widths, probabilities = (
        part[_seen(rings.positions, measured)] for part in rings
    )
    widths = np.maximum(inflation * widths, _LEAST_DEVIATION_PX)
    pairs, _ = match(places, found.positions, REACH_PX)
    ring, seen = pairs.T
    alone = np.setdiff1d(np.arange(len(found.positions)), seen)
    network = np.full(len(places), UNSEEN)
    network[ring] = found.probabilities[seen]
    mine, its = 1 / found.deviations[seen] ** 2, 1 / widths[ring] ** 2
    together = mine * found.positions[seen] + its * places[ring]
    places[ring] = together / (mine + its)
    widths[ring] = np.sqrt(2 / (mine + its))
    return Candidates(
        np.concatenate([network, found.probabilities[alone]]),
        np.concatenate([probabilities, np.full(len(alone), UNSEEN)]),
        np.concatenate([places, found.positions[alone]]),
        np.concatenate([widths, found.deviations[alone]]),
    )


def features(every: Candidates) -> np.ndarray:
    """What a candidate's probability is a logistic function of.

    The excess is by how much more impurities the fit counts in these maps than
    the network, as a logarithm: where its waves are not those of the maps,
    it needs several for one.

    Args:
        every: of one stack.

    Returns:
        Log odds to the fit and to the network, the excess, and 1, float64
        [n, 4].
    """
    excess = np.log((every.rings.sum() + 1) / (every.network.sum() + 1))
    n = len(every.rings)
    return np.stack(
        [
            _logit(every.rings),
            _logit(every.network),
            np.full(n, excess),
            np.ones(n),
        ],
        axis=1,
    )


def judged(every: Candidates, weights: Weights) -> Detections:
    """The candidates that are probable enough, the surest first.

    Args:
        every: of one stack.
        weights: of the logistic function.

    Returns:
        No two nearer than 1 px.
    """
    logits = features(every) @ np.array(weights)
    probabilities = 1 / (1 + np.exp(-logits))
    order = np.argsort(-probabilities, kind="stable")
    order = order[probabilities[order] >= LEAST_PROBABILITY]
    order = order[distinct(every.positions[order])]
    places = every.positions[order]
    pixels = np.round(places).astype(np.int64)
    return Detections(
        places, probabilities[order], every.deviations[order], pixels
    )


def _seen(places: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Which places lie in a pixel that was measured, bool [m]."""
    pixels = np.round(places).astype(int)
    least, most = pixels.min(axis=1), (measured.shape - pixels).min(axis=1)
    inside = (least >= 0) & (most > 0)
    row, col = np.where(inside[:, None], pixels, 0).T
    return inside & measured[row, col]


def _logit(probabilities: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    return np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT)
