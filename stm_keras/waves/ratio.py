"""How much more likely a candidate's waves are an impurity's than nothing's.

Both are learnt in the very maps: what an impurity scatters, from the
candidates that the network is sure of; what is taken for waves where nothing
is, from empty places that were fitted along. The deviations of a fit are too
small where waves are not what the model says; at empty places this shows, and
widens them. Where the two do not differ, the ratio is 1.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.waves.evidence import Evidence

_WIDENED = np.array([1.0, 1.5, 2.0, 3.0, 4.5, 7.0, 10.0, 15.0])
_MORE = np.array([0.0, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0])
"""What variances at empty places are multiplied with; and a deviation that is
added, in the typical amplitude of the sure ones."""

_KIND = 0.35
"""What impurities of one kind differ by, in the typical amplitude."""

_UNLIKE = 0.15
"""Part of the impurities that is like none of the sure ones."""

_FAR = 0.1, 9.0
"""Part of the empty places that is worse, and how much more variance."""

_BEFOREHAND = 6.0
"""How often an impurity shows nothing is learnt from the sure ones; that it
is one in ten counts as much as so many."""

_LEAST_GAIN = 2.0
"""In log likelihood: less is chance."""

_WEIGHTS = np.linspace(0.0, 1.0, 21)


class Ratio(NamedTuple):
    """Waves of an impurity against those of nothing.

    Attributes:
        log_ratio: of each candidate, float64 [n]; NaN where nothing is said.
        weight: part of it that the sure ones and the empty places of these
            maps bear out, 0 to 1.
        apart: chance that a sure one has a larger ratio than an empty place.
    """

    log_ratio: np.ndarray
    weight: float
    apart: float


def wave_ratio(found: Evidence, sure: np.ndarray) -> Ratio:
    """Learn both from maps, and weigh all candidates.

    Args:
        found: evidence of candidates and empty places.
        sure: which candidates the network is sure of, bool [n], some of them
            with evidence.
    """
    known = np.isfinite(found.amplitudes).all(axis=1)
    sure = sure & known
    z, P = reduced(found.amplitudes[known], found.covariance[known], found.u)
    empty, of_empty = reduced(found.empty, found.empty_covariance, found.u)
    d = z.shape[1]
    scale = float(np.sqrt(np.median((z[sure[known]] ** 2).sum(axis=1)) / d))
    widen, more = _spread_of(empty, of_empty, scale)
    extra = (more * scale) ** 2 * np.eye(d)
    own = widen * P + extra
    null = _null(z, own)
    null_empty = _null(empty, widen * of_empty + extra)
    members = np.flatnonzero(sure[known])
    kind = (_KIND * scale) ** 2 * np.eye(d)

    def impurity(x: np.ndarray, V: np.ndarray, leave: bool) -> np.ndarray:
        """Like one of the sure ones, or like another of their strength."""
        to = x[:, None] - z[members]
        spread = V[:, None] + (widen * P[members] + extra) + kind
        each = _log_normal(to, spread)
        if leave:
            each[members, np.arange(len(members))] = -np.inf
        count = len(members) - leave * np.isin(np.arange(len(x)), members)
        like = _log_sum(each) - np.log(np.maximum(count, 1))
        other = _log_normal(x, V + scale**2 * np.eye(d))
        return np.logaddexp(np.log1p(-_UNLIKE) + like, np.log(_UNLIKE) + other)

    raw = impurity(z, own, True) - null
    raw_empty = impurity(empty, widen * of_empty + extra, False) - null_empty
    hidden = _hidden(raw[members])
    ratio = np.log(hidden + (1 - hidden) * np.exp(np.minimum(raw, 30.0)))
    of_nothing = np.log(
        hidden + (1 - hidden) * np.exp(np.minimum(raw_empty, 30.0))
    )
    weight = _weight(ratio[members], of_nothing)
    more_often = ratio[members][:, None] > of_nothing
    out = np.full(len(found.alone), np.nan)
    out[known] = ratio
    return Ratio(out, weight, float(more_often.mean()))


def reduced(
    amplitudes: np.ndarray, covariance: np.ndarray, u: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes that are linear in energy, and their covariance.

    Args:
        amplitudes: complex [n, M].
        covariance: of real and imaginary part [n, M, 2, 2].
        u: energy of the maps, -1 to 1 [M].

    Returns:
        Real numbers [n, d] and [n, d, d]: d is 2 for one map, else 4.
    """
    terms = np.vander(u, 1 if len(u) == 1 else 2, increasing=True)
    z = np.stack([amplitudes.real, amplitudes.imag], -1)
    inverse = np.linalg.inv(covariance)
    p = 2 * terms.shape[1]
    H = np.einsum("vi,nvab,vj->niajb", terms, inverse, terms)
    H = H.reshape(len(z), p, p)
    b = np.einsum("vi,nvab,nvb->nia", terms, inverse, z).reshape(len(z), p)
    P = np.linalg.inv(H)
    return np.einsum("nab,nb->na", P, b), P


def _spread_of(
    z: np.ndarray, P: np.ndarray, scale: float
) -> tuple[float, float]:
    """By what the variances of empty places are too small; likeliest."""
    eye = np.eye(z.shape[1])
    best, found = -np.inf, (1.0, 0.0)
    for widen in _WIDENED:
        for more in _MORE:
            V = widen * P + (more * scale) ** 2 * eye
            value = float(_null(z, V).sum())
            if value > best:
                best, found = value, (float(widen), float(more))
    return found


def _null(z: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Log probability of what is no scatterer [n]."""
    part, wider = _FAR
    return np.logaddexp(
        np.log1p(-part) + _log_normal(z, V),
        np.log(part) + _log_normal(z, wider * V),
    )


def _log_normal(x: np.ndarray, V: np.ndarray) -> np.ndarray:
    """Log density of zero mean, [...], of x [..., d] and V [..., d, d]."""
    solved = np.linalg.solve(V, x[..., None])[..., 0]
    determinant = np.linalg.slogdet(V)[1]
    return -0.5 * ((x * solved).sum(axis=-1) + determinant)


def _log_sum(values: np.ndarray) -> np.ndarray:
    top = np.maximum(values.max(axis=1, initial=-1e300), -1e300)
    return top + np.log(
        np.maximum(np.exp(values - top[:, None]).sum(axis=1), 1e-300)
    )


def _hidden(raw: np.ndarray) -> float:
    """How often an impurity shows nothing; expectation-maximisation."""
    share = 0.1
    for _ in range(50):
        nothing = share / (share + (1 - share) * np.exp(np.clip(raw, -30, 30)))
        share = (nothing.sum() + 0.1 * _BEFOREHAND) / (len(raw) + _BEFOREHAND)
    return float(share)


def _weight(sure: np.ndarray, empty: np.ndarray) -> float:
    """Part of the ratio that tells sure ones and empty places best apart.

    0 where it does so hardly better than nothing: by chance some part does.
    """
    gain = np.array(
        [
            -np.logaddexp(0, -w * sure).mean()
            - np.logaddexp(0, w * empty).mean()
            for w in _WEIGHTS
        ]
    )
    best = int(np.argmax(gain))
    both = 2 / (1 / len(sure) + 1 / len(empty))
    if both * (gain[best] - gain[0]) < _LEAST_GAIN:
        return 0.0
    return float(_WEIGHTS[best])
