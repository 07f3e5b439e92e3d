"""Whether maps look like those that a network was trained on."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.errors import InputError
from stm_keras.files import BROKEN_ZIP, atomic_file

FILE = "ground.npz"
QUANTILE = 0.99
_SHRINKAGE = 0.05

FIELDS_A_FEATURE = 4
"""The fewest that tell how features scatter."""


class Ground(NamedTuple):
    """The ground that a network stands on: its features on held-out fields.

    The unlikeness of maps is the Mahalanobis distance of their features from
    those of the training, in units of what `QUANTILE` of held-out fields
    stay below (K. Lee et al., NeurIPS 31 (2018), arXiv:1807.03888).

    Attributes:
        mean: of the features, float32 [f].
        whitening: turns their covariance into the unit matrix and their
            distance into an unlikeness, float32 [f, f].
    """

    mean: np.ndarray
    whitening: np.ndarray

    def unlikeness(self, features: ArrayLike) -> np.ndarray:
        """Distance of features [n, f], float64 [n]; above 1 is off ground."""
        away = np.asarray(features, np.float64) - self.mean
        return np.linalg.norm(away @ self.whitening, axis=-1)


def fit_ground(features: ArrayLike) -> Ground:
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
            f"The ground needs features [n, f] with n >= {FIELDS_A_FEATURE} f. "
            f"Received the shape {seen.shape}."
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
    ground = Ground(mean.astype(np.float32), whitening)
    limit = np.quantile(ground.unlikeness(seen[half:]), QUANTILE)
    return ground._replace(whitening=(whitening / limit).astype(np.float32))


def write_ground(ground: Ground, directory: str | Path) -> None:
    """Write `FILE` into a model's directory."""
    with (
        atomic_file(Path(directory) / FILE) as temporary,
        temporary.open("wb") as file,
    ):
        np.savez(file, **ground._asdict())


def read_ground(directory: str | Path) -> Ground | None:
    """Read the ground of a model; None where it has none.

    Raises:
        InputError: where the file is damaged.
    """
    path = Path(directory) / FILE
    if not path.exists():
        return None
    try:
        with np.load(path, allow_pickle=False) as stored:
            return Ground(stored["mean"], stored["whitening"])
    except (OSError, ValueError, KeyError, *BROKEN_ZIP) as error:
        raise InputError(
            f"{path} is damaged ({str(error)[:160]}). Restore it or train the "
            "model again."
        ) from error
