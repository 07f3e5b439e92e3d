"""Make probabilities and standard deviations true, and check that they are."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy.optimize import minimize

from stm_keras.errors import InputError

N_BINS = 10
_LEAST = 1e-9


class Neighbourhoods(NamedTuple):
    """Detections with what they were joined from, to calibrate on.

    Attributes:
        logits: of the pixels that were joined, float64 [n, 9]; -inf for
            those that were not.
        octaves: log2 of the number of maps, float64 [n].
        correct: whether there is an impurity, bool [n].
        z: row and column error over standard deviation, float64 [n, 2]; NaN
            for those that are not correct.
    """

    logits: np.ndarray
    octaves: np.ndarray
    correct: np.ndarray
    z: np.ndarray

    def probabilities(self, line: ArrayLike = (1, 0, 0, 0)) -> np.ndarray:
        """Joint probability under a change of the logits, float64 [n].

        Args:
            line: slope and offset of the logits at one map, and how both
                change with every octave, [4].
        """
        slope, offset, by_slope, by_offset = np.asarray(line, np.float64)
        octaves = self.octaves[:, None]
        with np.errstate(invalid="ignore"):  # 0 times -inf is none
            logits = (slope + by_slope * octaves) * self.logits
        logits = logits + offset + by_offset * octaves
        logits = np.where(np.isfinite(self.logits), logits, -np.inf)
        # ln(1 - p) of every pixel; that none of them holds one is their sum.
        none = -np.logaddexp(0.0, logits).sum(axis=1)
        return -np.expm1(none)


class Reliability(NamedTuple):
    """Stated against observed shares of correct detections.

    Attributes:
        stated: mean probability in each bin, float64 [b].
        observed: share of correct ones in each bin, float64 [b].
        counts: detections in each bin, int64 [b].
        error: expected calibration error, the mean of |stated - observed|
            weighed with the counts.
    """

    stated: np.ndarray
    observed: np.ndarray
    counts: np.ndarray
    error: float


def fit_calibration(seen: Neighbourhoods) -> tuple[float, ...]:
    """The calibration of `Context` that makes held-out detections true.

    Slope and offset of the logits maximise the likelihood of which
    detections are correct (J. Platt, Advances in Large Margin Classifiers
    (1999), 61; here with the number of maps as a second variable). The
    deviations' factor makes the z-scores' mean square 1, likewise by octave.

    Args:
        seen: detections on fields that the network was not trained on.

    Returns:
        Six numbers, see `stm_keras.nn.context.Context`.

    Raises:
        InputError: with fewer than 100 detections, or without correct and
            false ones among them.
    """
    n, right = len(seen.correct), int(seen.correct.sum())
    if n < 100 or right in (0, n):
        raise InputError(
            f"Cannot calibrate on {n} detections of which {right} are "
            "correct: the network has not learnt enough. Train longer."
        )

    def loss(line: np.ndarray) -> float:
        p = np.clip(seen.probabilities(line), _LEAST, 1 - _LEAST)
        return -float(np.where(seen.correct, np.log(p), np.log1p(-p)).mean())

    line = minimize(
        loss,
        (1.0, 0.0, 0.0, 0.0),
        method="Nelder-Mead",
        options={"xatol": 1e-4},
    ).x
    width, by_width = _deviation_line(seen)
    return (
        float(line[0]),
        float(line[1]),
        width,
        float(line[2]),
        float(line[3]),
        by_width,
    )


def _deviation_line(seen: Neighbourhoods) -> tuple[float, float]:
    """Factor of the deviations at one map, and its change by octave."""
    here = seen.correct & np.isfinite(seen.z).all(axis=1)
    octaves, mean_square = [], []
    for octave in np.unique(seen.octaves[here]):
        part = seen.z[here & (seen.octaves == octave)]
        if len(part) >= 30:
            octaves.append(octave)
            mean_square.append(np.sqrt((part**2).mean()))
    if len(octaves) < 2:
        return float(np.sqrt((seen.z[here] ** 2).mean())), 0.0
    by_octave, at_one = np.polyfit(octaves, mean_square, 1)
    return float(at_one), float(by_octave)


def reliability(
    probabilities: ArrayLike, correct: ArrayLike, n_bins: int = N_BINS
) -> Reliability:
    """How far stated probabilities are from what happens.

    Args:
        probabilities: float [n], 0 to 1.
        correct: bool [n].
        n_bins: bins of equal width; empty ones are left out.

    Returns:
        The diagram's points and the expected calibration error (M. P. Naeini
        et al., Proc. AAAI 29, 2901 (2015)); NaN without any detection.
    """
    p = np.asarray(probabilities, np.float64)
    right = np.asarray(correct, bool)
    if p.shape != right.shape or p.ndim != 1:
        raise InputError(
            "Give one `correct` for each probability. Received the shapes "
            f"{p.shape} and {right.shape}."
        )
    which = np.minimum((p * n_bins).astype(int), n_bins - 1)
    counts = np.bincount(which, minlength=n_bins)
    full = counts > 0
    stated = np.bincount(which, p, n_bins)[full] / counts[full]
    observed = np.bincount(which, right, n_bins)[full] / counts[full]
    error = float("nan")
    if len(p):
        error = float(
            np.average(np.abs(stated - observed), weights=counts[full])
        )
    return Reliability(stated, observed, counts[full], error)


def false_discovery_threshold(
    probabilities: ArrayLike, correct: ArrayLike, rate: float
) -> float:
    """The least probability above which few detections are false.

    Args:
        probabilities: float [n], 0 to 1.
        correct: bool [n].
        rate: the share of false ones among all kept, 0 to 1.

    Returns:
        The threshold; that of the surest detection where none is low enough.

    Raises:
        InputError: for a rate outside (0, 1), or no detection.
    """
    if not 0 < rate < 1:
        raise InputError(
            f"A false-discovery rate lies between 0 and 1. Received: {rate}"
        )
    order = np.argsort(-np.asarray(probabilities, np.float64), kind="stable")
    if not len(order):
        raise InputError("No detection to choose a threshold from.")
    p = np.asarray(probabilities, np.float64)[order]
    false = np.cumsum(~np.asarray(correct, bool)[order])
    share = false / np.arange(1, len(p) + 1)
    allowed = np.flatnonzero(share <= rate)
    return float(p[allowed[-1]] if len(allowed) else p[0])
