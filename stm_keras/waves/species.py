"""Kinds of impurities: those whose complex amplitudes agree over the biases.

A mixture of one to four kinds. The amplitude of a kind is a polynomial in
energy, its real part and its imaginary part; members scatter about it by
their deviations and by a small part of the amplitude. The number of kinds is
that of the greatest evidence (G. Schwarz, Ann. Stat. 6, 461 (1978)).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from stm_keras.waves.fit import WaveFit

MOST_KINDS = 4
_FEWEST_MEMBERS = 3
_DEGREE = 2
_SCATTER = 0.12
"""What a member differs by from its kind beyond its deviations, of the
root mean square amplitude of all: neighbours and cores do that."""

_STARTS, _ROUNDS = 6, 60


@dataclass(frozen=True, eq=False)
class Species:
    """Kinds of n impurities in V maps.

    Attributes:
        member: kind of each, 0 the most numerous, int64 [n].
        probability: that it is of that kind and not of another, [n].
        amplitudes: of each kind, complex128 [K, V]; NaN where no map is.
        phase_rad: arg of these less pi / 2 [K, V].
        counts: members of each kind, int64 [K].
        evidence: of each number of kinds tried, log, less that of one.
        misfit: mean squared distance of each from its kind, in deviations
            and the scatter of a kind, [n]: 1 for a true member.
    """

    member: NDArray[np.int64]
    probability: NDArray[np.float64]
    amplitudes: NDArray[np.complex128]
    phase_rad: NDArray[np.float64]
    counts: NDArray[np.int64]
    evidence: NDArray[np.float64]
    misfit: NDArray[np.float64]

    @property
    def n_kinds(self) -> int:
        """Number of kinds."""
        return len(self.counts)


@dataclass(eq=False)
class _Data:
    """Amplitudes as real numbers [n, V, 2], their precision, polynomials."""

    z: np.ndarray
    precision: np.ndarray
    log_det: np.ndarray
    terms: np.ndarray


def find_species(fit: WaveFit, most: int = MOST_KINDS) -> Species:
    """Number of kinds, and who is of which.

    Args:
        fit: of one impurity or more.
        most: kinds that are tried.

    Returns:
        One kind where evidence asks for no more.
    """
    used = np.asarray(np.isfinite(fit.amplitudes).all(axis=0))
    n = len(fit.amplitudes)
    data = _data(fit, used)
    rng = np.random.default_rng(0)
    tried = []
    for kinds in range(1, max(1, min(most, n // _FEWEST_MEMBERS)) + 1):
        starts = 1 if kinds == 1 else _STARTS
        runs = [_mixture(data, kinds, rng) for _ in range(starts)]
        tried.append(max(runs, key=lambda run: run[0]))
    values = np.array([run[0] for run in tried])
    _, weights, mean = tried[int(values.argmax())]
    order = np.argsort(-weights.sum(axis=0), kind="stable")
    weights, mean = weights[:, order], mean[order]
    member = weights.argmax(axis=1)
    amplitudes = np.full((len(mean), len(used)), np.nan, complex)
    amplitudes[:, used] = mean[..., 0] + 1j * mean[..., 1]
    return Species(
        member,
        weights.max(axis=1),
        amplitudes,
        np.angle(-1j * amplitudes),
        np.bincount(member, minlength=len(mean)),
        values - values[0],
        np.array(
            [_misfit(data, mean[kind])[j] for j, kind in enumerate(member)]
        )
        / max(data.z[0].size, 1),
    )


def _data(fit: WaveFit, used: np.ndarray) -> _Data:
    c = fit.amplitudes[:, used]
    z = np.stack([c.real, c.imag], axis=-1)
    covariance = fit.covariance[:, used]
    size = np.maximum((np.abs(c) ** 2).mean(axis=0), 1e-300)
    covariance = covariance + _SCATTER**2 / 2 * size[:, None, None] * np.eye(2)
    bias = fit.bias_v[used]
    half = np.ptp(bias) / 2
    u = (bias - bias.mean()) / half if half > 0 else np.zeros(len(bias))
    degree = min(_DEGREE, len(np.unique(bias)) - 1)
    return _Data(
        z,
        np.linalg.inv(covariance),
        np.linalg.slogdet(covariance)[1].sum(axis=1),
        np.vander(u, degree + 1, increasing=True),
    )


def _mixture(
    data: _Data, kinds: int, rng: np.random.Generator
) -> tuple[float, np.ndarray, np.ndarray]:
    """Evidence, memberships [n, K] and amplitudes [K, V, 2] of a mixture."""
    n = len(data.z)
    seeds = rng.choice(n, kinds, replace=False)
    weights = np.zeros((n, kinds))
    apart = np.stack([_misfit(data, data.z[seed]) for seed in seeds], axis=1)
    weights[np.arange(n), apart.argmin(axis=1)] = 1
    share = np.full(kinds, 1 / kinds)
    log_like, mean = np.zeros((n, kinds)), np.zeros((kinds, *data.z.shape[1:]))
    for _ in range(_ROUNDS):
        mean = np.stack([_mean(data, weights[:, s]) for s in range(kinds)])
        share = np.maximum(weights.mean(axis=0), 1e-9)
        log_like = np.log(share) - 0.5 * np.stack(
            [_misfit(data, one) + data.log_det for one in mean], axis=1
        )
        new = np.exp(log_like - log_like.max(axis=1, keepdims=True))
        new /= new.sum(axis=1, keepdims=True)
        if np.abs(new - weights).max() < 1e-4:
            break
        weights = new
    top = log_like.max(axis=1, keepdims=True)
    total = float((top[:, 0] + np.log(np.exp(log_like - top).sum(1))).sum())
    numbers = kinds * 2 * data.terms.shape[1] + kinds - 1
    return total - 0.5 * numbers * np.log(data.z.size), weights, mean


def _misfit(data: _Data, mean: np.ndarray) -> np.ndarray:
    """Of each impurity to one kind [n]."""
    apart = data.z - mean
    return np.einsum("nva,nvab,nvb->n", apart, data.precision, apart)


def _mean(data: _Data, weights: np.ndarray) -> np.ndarray:
    """Amplitudes of a kind [V, 2], a polynomial in energy."""
    precision = np.einsum("n,nvab->vab", weights, data.precision)
    pull = np.einsum("n,nvab,nvb->va", weights, data.precision, data.z)
    p = data.terms.shape[1]
    H = np.einsum("vi,vab,vj->iajb", data.terms, precision, data.terms)
    b = np.einsum("vi,va->ia", data.terms, pull)
    H = H.reshape(2 * p, 2 * p) + 1e-9 * np.eye(2 * p) * np.trace(
        H.reshape(2 * p, 2 * p)
    )
    coefficients = np.linalg.solve(H, b.reshape(-1)).reshape(p, 2)
    return data.terms @ coefficients
