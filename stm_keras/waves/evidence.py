"""What the waves say of candidates: does anything scatter there?

All candidates are fitted together, each with its own mask, beside sources
outside of the frame. The evidence of one is its amplitude, over all maps,
along the phase that is best for it and linear in energy, in deviations: what
is no scatterer has a phase that jumps from map to map.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.waves.fit import WaveOptions, moved_to, scan_q, spaced, started
from stm_keras.waves.iteration import Fit, Result, finish, iterate
from stm_keras.waves.prepared import prepare, remasked
from stm_keras.waves.settled import settled_radii

MOST_MAPS = 8
"""More maps say little more, and cost as much each."""

PHASES = np.arange(24) * 2 * np.pi / 24
SLOPES = np.linspace(-1.0, 1.0, 9)
"""Phases at the middle energy, and their change to the ends [rad]."""

_APART_PERIODS = 0.35
"""A candidate nearer to a more probable one has no wave of its own to be told
from the other's."""

MOST_EMPTY = 30
_EMPTY_APART = 0.9
"""Of places where nothing was found, from candidates, in periods."""

_DRAWS = 600

_OPTIONS = WaveOptions(refine_positions=False, q_each=False, q_uncertainty=0.03)


class Evidence(NamedTuple):
    """What waves say of n candidates; NaN where nothing is said.

    Attributes:
        alone: amplitude along the candidate's own best phase, in deviations
            [n]; about 2 where there is nothing.
        amplitudes: complex128 [n, M] of M maps, of maps of variance 1.
        covariance: of these [n, M, 2, 2].
        u: energy of these maps, -1 to 1 [M].
        empty: amplitudes at places where nothing was found, fitted along
            with the candidates and like them, complex128 [k, M].
        empty_covariance: of these [k, M, 2, 2].
    """

    alone: np.ndarray
    amplitudes: np.ndarray
    covariance: np.ndarray
    u: np.ndarray
    empty: np.ndarray
    empty_covariance: np.ndarray


def wave_evidence(
    maps: ConductanceMaps,
    positions_px: np.ndarray,
    probabilities: np.ndarray,
    q_per_nm: np.ndarray,
) -> Evidence | None:
    """Fit all candidates together, and weigh each.

    Args:
        maps: levelled.
        positions_px: row and column [n, 2] [px].
        probabilities: of the candidates [n]: of two at one place the more
            probable is fitted.
        q_per_nm: q = 2k of each map [V] [rad/nm]; 0 or NaN where unknown.

    Returns:
        None where no q is known or masks leave too little.
    """
    known = np.flatnonzero(np.nan_to_num(q_per_nm) > 0)
    if not len(known) or not len(positions_px):
        return None
    chosen = known[spaced(len(known), MOST_MAPS)]
    part = maps.with_data(
        maps.data[chosen], "some maps", bias_v=maps.bias_v[chosen]
    )
    q = q_per_nm[chosen]
    fitted = distinct(
        positions_px * np.asarray(maps.pixel_nm),
        probabilities,
        _APART_PERIODS * 2 * np.pi / q.max(),
    )
    fitted &= inside(positions_px, maps.shape[1:])
    period_nm = 2 * np.pi / float(q.max())
    empty = empty_places(part, positions_px, _EMPTY_APART * period_nm)
    n = int(fitted.sum())
    made = _fitted(part, np.concatenate([positions_px[fitted], empty]), q)
    if made is None:
        return None
    fit, result = made
    own, spread = _amplitudes(fit, result)
    amplitudes = np.full((len(fitted), fit.n_maps), np.nan, complex)
    covariance = np.full((*amplitudes.shape, 2, 2), np.nan)
    amplitudes[fitted], covariance[fitted] = own[:n], spread[:n]
    bias = part.bias_v
    half = np.ptp(bias) / 2
    u = (bias - bias.mean()) / half if half > 0 else np.zeros(len(chosen))
    return Evidence(
        along(amplitudes, covariance, u),
        amplitudes,
        covariance,
        u,
        own[n:],
        spread[n:],
    )


def empty_places(
    maps: ConductanceMaps, positions_px: np.ndarray, apart_nm: float
) -> np.ndarray:
    """Measured places far from all candidates and each other, [k, 2] [px].

    Args:
        maps: with what was measured.
        positions_px: of the candidates [n, 2] [px].
        apart_nm: least distance.
    """
    pixel = np.asarray(maps.pixel_nm)
    rng = np.random.default_rng(0)  # the same maps give the same answer
    drawn = rng.permutation(np.argwhere(maps.measured))[:_DRAWS]
    drawn = drawn + rng.uniform(-0.45, 0.45, drawn.shape)
    kept: list[np.ndarray] = []
    taken = positions_px * pixel
    for place in drawn:
        gap = np.linalg.norm(taken - place * pixel, axis=1)
        if gap.min(initial=np.inf) >= apart_nm:
            kept.append(place)
            taken = np.concatenate([taken, [place * pixel]])
        if len(kept) == MOST_EMPTY:
            break
    return np.reshape(kept, (-1, 2))


def _fitted(
    maps: ConductanceMaps, positions: np.ndarray, q_per_nm: np.ndarray
) -> tuple[Fit, Result] | None:
    """All candidates' waves; None where masks leave too little."""
    held = np.full(positions.shape, 0.1)  # not moved: no matter
    try:
        ready = prepare(maps, positions, held, q_per_nm, None)
        fit = started(ready, _OPTIONS)
        scan_q(fit, _OPTIONS.q_uncertainty)
        iterate(fit, 1)
        wider = remasked(maps, ready, settled_radii(fit, ready))
    except InputError:
        return None
    fit = moved_to(wider, ready, fit, list(range(fit.n_maps)))
    fit.kappa_free = fit.n > 1
    iterate(fit, 2)
    return fit, finish(fit)


def _amplitudes(fit: Fit, result: Result) -> tuple[np.ndarray, np.ndarray]:
    """Amplitudes [n, M] and covariances [n, M, 2, 2] of all that was fitted."""
    amplitudes = np.array([s.c for s in fit.states]).T
    covariance = np.empty((*amplitudes.shape, 2, 2))
    own = np.array(result.spread.own)
    for a in range(2):
        for b in range(2):
            one = a * fit.n + np.arange(fit.n)
            other = b * fit.n + np.arange(fit.n)
            covariance[:, :, a, b] = own[:, one, other].T
    return amplitudes, covariance


def distinct(
    positions: np.ndarray, probabilities: np.ndarray, least: float
) -> np.ndarray:
    """Which have no more probable one nearer than `least`, bool [n]."""
    kept = np.zeros(len(positions), bool)
    for j in np.argsort(-probabilities, kind="stable"):
        apart = np.linalg.norm(positions[kept] - positions[j], axis=1)
        kept[j] = not len(apart) or bool(apart.min() >= least)
    return kept


def inside(positions: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Which lie in a frame, bool [n]."""
    low = positions >= -0.5
    return np.asarray((low & (positions < np.subtract(shape, 0.5))).all(axis=1))


def projected(
    amplitudes: np.ndarray,
    covariance: np.ndarray,
    phase: np.ndarray,
) -> np.ndarray:
    """Amplitudes along phases in deviations, weighed over the maps.

    Args:
        amplitudes: [n, M].
        covariance: [n, M, 2, 2].
        phase: of each map [M], or of candidates and maps [n, M].

    Returns:
        Of unit variance where there is nothing [n].
    """
    angle = np.broadcast_to(phase, amplitudes.shape)
    # Best linear sum of both parts for an amplitude along the phase.
    e = np.stack([np.cos(angle), np.sin(angle)], -1)
    z = np.stack([amplitudes.real, amplitudes.imag], -1)
    weighed = np.linalg.solve(covariance, e[..., None])[..., 0]
    top = (weighed * z).sum(axis=(-1, -2))
    width = np.sqrt((weighed * e).sum(axis=(-1, -2)))
    return top / np.maximum(width, 1e-300)


def along(
    amplitudes: np.ndarray, covariance: np.ndarray, u: np.ndarray
) -> np.ndarray:
    """Evidence along the best phase that is linear in energy [n]."""
    out = np.full(len(amplitudes), np.nan)
    known = np.isfinite(amplitudes).all(axis=1)
    if not known.any():
        return out
    slopes = SLOPES if len(u) > 1 else np.zeros(1)
    tried = [
        projected(amplitudes[known], covariance[known], phase + slope * u)
        for phase in PHASES
        for slope in slopes
    ]
    out[known] = np.max(tried, axis=0)
    return out
