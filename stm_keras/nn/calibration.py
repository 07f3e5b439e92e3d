"""Make probabilities and standard deviations true, and check that they are."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.optimize import minimize

from stm_keras.errors import InputError
from stm_keras.files import atomic_file
from stm_keras.system import BROKEN_ZIP

N_BINS = 10
_LEAST = 1e-9
_LEAST_SLOPE = 0.05


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

    def probabilities(self, change: ArrayLike | None = None) -> np.ndarray:
        """Joint probability, float64 [n].

        Args:
            change: of the logits: slopes above and below 0, and offset, at
                one map, then what each gains with every octave, [6]; None
                leaves them.
        """
        logits = self.logits
        if change is not None:
            logits = self.basis() @ np.asarray(change, np.float64)
            logits = np.where(np.isfinite(self.logits), logits, -np.inf)
        # ln(1 - p) of every pixel; that none of them holds one is their sum.
        none = -np.logaddexp(0.0, logits).sum(axis=1)
        return -np.expm1(none)

    def basis(self) -> np.ndarray:
        """What a change of the logits is linear in, [n, 9, 6]; finite."""
        logits = np.where(np.isfinite(self.logits), self.logits, 0.0)
        at_one = np.stack(
            [
                np.logaddexp(0.0, logits),
                -np.logaddexp(0.0, -logits),
                np.ones_like(logits),
            ],
            axis=-1,
        )
        octaves = self.octaves[:, None, None]
        return np.concatenate([at_one, octaves * at_one], axis=-1)


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

    Two slopes and an offset of the logits maximise the likelihood of which
    detections are correct: beta calibration (M. Kull, T. Silva Filho and P.
    Flach, Proc. AISTATS, PMLR 54, 623 (2017)), here of the pixels that were
    joined, and with the number of maps as a second variable. The deviations'
    factor makes the z-scores' mean square 1, likewise by octave.

    Args:
        seen: detections on fields that the network was not trained on.

    Returns:
        Eight numbers, see `stm_keras.nn.output.Calibration`.

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

    width, by_width = _deviation_line(seen)
    change = _likeliest_change(seen).tolist()
    return (*change[:3], width, *change[3:], by_width)


def _likeliest_change(seen: Neighbourhoods) -> np.ndarray:
    """See `Neighbourhoods.probabilities`, [6]."""
    # From what holds at one map and at the most: a slope that is positive at
    # both leaves the surer of two the surer at any number.
    most = max(seen.octaves.max(), 1.0)
    ends = np.kron([[1, 0], [-1 / most, 1 / most]], np.eye(3))
    basis = seen.basis() @ ends
    speaks = np.isfinite(seen.logits)

    def loss(change: np.ndarray) -> tuple[float, np.ndarray]:
        logits = np.where(speaks, basis @ change, -np.inf)
        none = np.logaddexp(0.0, logits).sum(axis=1)  # -ln(1 - p)
        p = np.clip(-np.expm1(-none), _LEAST, 1.0)
        nat = np.where(seen.correct, -np.log(p), none)
        # By ln(1 - p), then by every pixel's logit.
        slope = np.where(seen.correct, -(1 - p) / p, 1.0)[:, None]
        slope = slope * special.expit(logits)
        return nat.mean(), np.tensordot(slope, basis, 2) / len(p)

    free = (_LEAST_SLOPE, None), (_LEAST_SLOPE, None), (None, None)
    return (
        ends
        @ minimize(
            loss,
            (1.0, 1.0, 0.0) * 2,
            jac=True,
            method="L-BFGS-B",
            bounds=free * 2,
        ).x
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


FILE = "ground.npz"
QUANTILE = 0.99
_SHRINKAGE = 0.05

FIELDS_A_FEATURE = 4
"""The fewest that tell how features scatter."""


class TrainingDistribution(NamedTuple):
    """The features of a network on held-out fields of its training.

    The out-of-distribution (OOD) score of maps is the Mahalanobis distance of
    their features from those of the training, in units of what `QUANTILE` of
    held-out fields stay below (K. Lee et al., NeurIPS 31 (2018),
    arXiv:1807.03888).

    Attributes:
        mean: of the features, float32 [f].
        whitening: turns their covariance into the unit matrix and their
            distance into an OOD score, float32 [f, f].
    """

    mean: np.ndarray
    whitening: np.ndarray

    def ood_score(self, features: ArrayLike) -> np.ndarray:
        """OOD score of features [n, f], float64 [n]; above 1 is out."""
        away = np.asarray(features, np.float64) - self.mean
        return np.linalg.norm(away @ self.whitening, axis=-1)


def fit_distribution(features: ArrayLike) -> TrainingDistribution:
    """Learn where features of held-out fields lie.

    Args:
        features: float [n, f], in random order: the first half tells their
            covariance, the second how far they stray.

    Raises:
        InputError: with fewer than four fields for each feature, or features
            that are not finite.
    """
    seen = np.asarray(features, np.float64)
    if seen.ndim != 2 or len(seen) < FIELDS_A_FEATURE * seen.shape[1]:
        raise InputError(
            "A training distribution needs features [n, f] with n >= "
            f"{FIELDS_A_FEATURE} f. Received the shape {seen.shape}."
        )
    if not np.isfinite(seen).all():
        raise InputError("The network's features are not finite.")
    half = len(seen) // 2
    mean = seen[:half].mean(axis=0)
    covariance = np.cov(seen[:half], rowvar=False)
    # Few fields for many features: what is between them is known badly.
    own = np.diag(np.diag(covariance) + 1e-6)
    covariance = (1 - _SHRINKAGE) * covariance + _SHRINKAGE * own
    whitening = np.linalg.inv(np.linalg.cholesky(covariance)).T
    distribution = TrainingDistribution(mean.astype(np.float32), whitening)
    limit = np.quantile(distribution.ood_score(seen[half:]), QUANTILE)
    return distribution._replace(
        whitening=(whitening / limit).astype(np.float32)
    )


def write_distribution(
    distribution: TrainingDistribution, directory: str | Path
) -> None:
    """Write `FILE` into a model's directory."""
    with (
        atomic_file(Path(directory) / FILE) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez(file, **distribution._asdict())


def read_distribution(directory: str | Path) -> TrainingDistribution | None:
    """Read the training distribution of a model; None where it has none.

    Raises:
        InputError: where the file is damaged.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return TrainingDistribution(stored["mean"], stored["whitening"])
    except (OSError, ValueError, KeyError, *BROKEN_ZIP) as error:
        raise InputError(
            f"{path} is damaged ({str(error)[:160]}). Restore it or train the "
            "model again."
        ) from error
