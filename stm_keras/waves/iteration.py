"""Gauss-Newton over amplitudes, wave numbers and positions of all maps."""

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack, solve_triangular
from threadpoolctl import threadpool_limits

from stm_keras.waves.arrow import Block, Spread, solve, spread
from stm_keras.waves.model import Medium, distances
from stm_keras.waves.noise import gradient_covariance, radial_spectrum
from stm_keras.waves.normal import (
    MapState,
    Normal,
    Nuisance,
    Scene,
    marginalise,
    normal,
)

_WEAK = 30.0
"""Prior deviation of an amplitude's parts, in deviations of a map: weak."""

_MOST_STEP_PX = 0.5
"""Positions move no further in one step."""

_MOST_STEP_K = 0.02
"""Nor does a wave number, as a ratio."""


@dataclass
class Fit:
    """A fit on its way; changed by its functions.

    Attributes:
        scene: see `Scene`.
        states: of each map.
        positions: now [n, 2] [px].
        start: where they were given [n, 2].
        deviations: of these [n, 2]; 0 keeps them.
        gamma_free: whether the damping is fitted.
        gamma_start: its value and deviation beforehand [1/px].
        q_each: whether each map has a wave number of its own.
        q_factor: whether one factor for all is fitted.
        q_spread: deviation of the wave numbers beforehand, as a ratio.
        kappa_free: whether each map's kappa is fitted.
        amplitude_prior: mean complex [V, n] and precision [V, n, 2, 2] of the
            amplitudes; None for a weak one.
    """

    scene: Scene
    states: list[MapState]
    positions: np.ndarray
    start: np.ndarray
    deviations: np.ndarray
    gamma_free: bool = False
    gamma_start: tuple[float, float] = (0.0, 0.01)
    q_each: bool = True
    q_factor: bool = False
    q_spread: float = 0.03
    kappa_free: bool = False
    amplitude_prior: tuple[np.ndarray, np.ndarray] | None = None
    k_start: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        if not self.k_start.size:
            self.k_start = np.array([s.medium.k for s in self.states])

    @property
    def n(self) -> int:
        """Number of impurities."""
        return len(self.positions)

    @property
    def n_maps(self) -> int:
        """Number of maps."""
        return len(self.states)

    @property
    def moving(self) -> bool:
        """Whether positions are refined."""
        return bool((self.deviations > 0).any())

    def of_maps(self, chosen: Sequence[int]) -> "Fit":
        """The same for some of the maps."""
        prior = self.amplitude_prior
        if prior is not None:
            prior = prior[0][list(chosen)], prior[1][list(chosen)]
        return replace(
            self,
            states=[self.states[v] for v in chosen],
            k_start=self.k_start[list(chosen)],
            amplitude_prior=prior,
        )


class Result(NamedTuple):
    """A finished fit's covariances.

    Attributes:
        normals: of each map.
        spread: see `Spread`; own unknowns are Re c, Im c, then k and kappa
            where they are free.
        own: names of those beyond the amplitudes.
        spectra: of the noise of each map.
    """

    normals: list[Normal]
    spread: Spread
    own: list[str]
    spectra: list[tuple[np.ndarray, np.ndarray]]


def each(function: Callable, items: Sequence) -> list:
    """Apply a function to items on all cores, BLAS on one thread each."""
    workers = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    with threadpool_limits(limits=1, user_api="blas"):
        if workers == 1 or len(items) == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(workers, len(items))) as pool:
            return list(pool.map(function, items))


def own_names(fit: Fit) -> list[str]:
    """What beyond the amplitudes belongs to a map."""
    return ["k"] * fit.q_each + ["kappa"] * fit.kappa_free


def block_of(fit: Fit, v: int, made: Normal) -> Block:
    """The normal equations of map `v` in the fit's own unknowns."""
    n, state = fit.n, fit.states[v]
    own = [*range(2 * n)]
    own += [2 * n] * fit.q_each + [2 * n + 2] * fit.kappa_free
    scale = np.ones(len(made.H))
    shared = [*range(2 * n + 3, 4 * n + 3)] if fit.moving else []
    if fit.q_factor:
        shared.append(2 * n)
        scale[2 * n] = state.medium.k
    if fit.gamma_free:
        shared.append(2 * n + 1)
    H = made.H * scale * scale[:, None]
    b = made.b * scale
    block = Block(
        H[np.ix_(own, own)].copy(),
        H[np.ix_(own, shared)],
        H[np.ix_(shared, shared)],
        b[own].copy(),
        b[shared],
    )
    return _with_prior(fit, v, block)


def _with_prior(fit: Fit, v: int, block: Block) -> Block:
    """Add what is known of a map's own unknowns beforehand."""
    n, state = fit.n, fit.states[v]
    H, b = block.H, block.b
    at = np.arange(n)
    mean, precision = np.zeros(n, complex), np.zeros((n, 2, 2))
    precision[:, 0, 0] = precision[:, 1, 1] = 1 / _WEAK**2
    if fit.amplitude_prior is not None:
        mean, precision = (part[v] for part in fit.amplitude_prior)
    apart = np.stack([(mean - state.c).real, (mean - state.c).imag], -1)
    pull = np.einsum("nab,nb->na", precision, apart)
    for a in range(2):
        b[a * n + at] += pull[:, a]
        for other in range(2):
            H[a * n + at, other * n + at] += precision[:, a, other]
    place = 2 * n
    if fit.q_each:
        wide = 1 / (fit.q_spread * fit.k_start[v]) ** 2
        H[place, place] += wide
        b[place] += wide * (fit.k_start[v] - state.medium.k)
        place += 1
    if fit.kappa_free:
        wide = 1 / kappa_most(state.c) ** 2
        H[place, place] += wide
        b[place] -= wide * state.medium.kappa
    return block


def kappa_most(c: np.ndarray) -> float:
    """The largest kappa at which |t| = kappa |c| of the strong is below 1."""
    return 1 / max(float(np.quantile(np.abs(c), 0.9)), 1e-6)


def shared_prior(fit: Fit) -> tuple[np.ndarray, np.ndarray]:
    """Precision and gradient of what is known of shared unknowns."""
    precision, pull = [], []
    if fit.moving:
        held = np.maximum(fit.deviations, 1e-6)
        weight = (1 / held**2).T.ravel()
        precision += [*weight]
        pull += [*(weight * (fit.start - fit.positions).T.ravel())]
    if fit.q_factor:
        precision.append(1 / fit.q_spread**2)
        factor = np.log(fit.states[0].medium.k / fit.k_start[0])
        pull.append(-factor / fit.q_spread**2)
    if fit.gamma_free:
        mean, width = fit.gamma_start
        precision.append(1 / width**2)
        pull.append((mean - fit.states[0].medium.gamma) / width**2)
    return np.diag(precision), np.array(pull)


def iterate(fit: Fit, rounds: int, *, adapt: bool = True) -> None:
    """Take Gauss-Newton steps; the fit changes.

    Args:
        fit: where it stands.
        rounds: how often the nuisances are made anew.
        adapt: whether noise and outside strength are, too.
    """
    for _ in range(rounds):
        nuisances = nuisances_of(fit)
        _step(fit, normals_of(fit, nuisances))
        normals = normals_of(fit, nuisances)
        _step(fit, normals)
        if adapt:
            fit.states = each(
                lambda pair: _adapted(fit.scene, *pair),
                list(zip(fit.states, normals, strict=True)),
            )


def nuisances_of(fit: Fit) -> list[Nuisance]:
    """Nuisances of all maps."""
    r = distances(fit.positions, fit.scene.pixels)
    return each(
        lambda state: marginalise(fit.scene, state, fit.positions, r),
        fit.states,
    )


def normals_of(
    fit: Fit,
    nuisances: Sequence[Nuisance],
    *,
    with_positions: bool | None = None,
) -> list[Normal]:
    """Normal equations of all maps."""
    moving = fit.moving if with_positions is None else with_positions
    r = distances(fit.positions, fit.scene.pixels)

    def one(v: int) -> Normal:
        return normal(
            fit.scene,
            fit.states[v],
            nuisances[v],
            fit.positions,
            r,
            with_positions=moving,
        )

    return each(one, range(fit.n_maps))


def _step(fit: Fit, normals: list[Normal]) -> None:
    blocks = [block_of(fit, v, made) for v, made in enumerate(normals)]
    own, shared = solve(blocks, *shared_prior(fit))
    n, place = fit.n, 0
    if fit.moving:
        move = shared[: 2 * n].reshape(2, n).T
        fit.positions = fit.positions + np.clip(
            move, -_MOST_STEP_PX, _MOST_STEP_PX
        )
        place = 2 * n
    factor = 0.0
    if fit.q_factor:
        factor = float(np.clip(shared[place], -_MOST_STEP_K, _MOST_STEP_K))
        place += 1
    gamma = float(shared[place]) if fit.gamma_free else 0.0
    fit.states = [
        _moved(fit, state, step, factor, gamma)
        for state, step in zip(fit.states, own, strict=True)
    ]


def _moved(
    fit: Fit, state: MapState, step: np.ndarray, factor: float, gamma: float
) -> MapState:
    n, place, medium = fit.n, 2 * fit.n, state.medium
    c = state.c + step[:n] + 1j * step[n : 2 * n]
    k = medium.k * (1 + factor)
    if fit.q_each:
        most = _MOST_STEP_K * medium.k
        k += float(np.clip(step[place], -most, most))
        place += 1
    kappa = medium.kappa
    if fit.kappa_free:
        kappa = float(np.clip(kappa + step[place], 0.0, kappa_most(c)))
    gamma = max(medium.gamma + gamma, 0.0)
    return state._replace(c=c, medium=Medium(k, gamma, kappa))


def _adapted(scene: Scene, state: MapState, made: Normal) -> MapState:
    """Noise at the waves' q, and strength of the sources outside, anew."""
    q = 2 * state.medium.k
    left = made.left
    at, level = radial_spectrum(left, scene.pixels, scene.shape, q)
    weight = float(state.weight.mean())
    noise = float(np.interp(q, at, level)) / max(weight, 0.05)
    b = len(scene.background)
    values = made.source_values[b:].astype(np.float64)
    # Expectation-maximisation: expected squares, variance included.
    inverse, _ = lapack.dtrtri(made.nuisance.factor, lower=1)
    variance = state.noise * (inverse**2).sum(axis=0)[b:]
    area = np.tile(scene.sources.areas, 2)
    outside = float(np.mean((values**2 + variance) / area))
    return state._replace(noise=max(noise, 1e-5), outside=max(outside, 1e-8))


def finish(fit: Fit) -> Result:
    """The last steps, and covariances under the noise's own spectrum.

    The second step is small, and what it changes of residual and columns is
    neglected.
    """
    nuisances = nuisances_of(fit)
    _step(fit, normals_of(fit, nuisances))
    normals = normals_of(fit, nuisances)
    blocks = [block_of(fit, v, made) for v, made in enumerate(normals)]
    made = each(
        lambda v: _gradient(fit, v, normals[v], blocks[v]),
        range(len(normals)),
    )
    left = np.array([normal.left for normal in normals])
    _step(fit, normals)
    return Result(
        normals,
        spread(
            blocks,
            [part[0] for part in made],
            shared_prior(fit)[0],
            _together(left),
        ),
        own_names(fit),
        [part[1] for part in made],
    )


def _gradient(
    fit: Fit, v: int, made: Normal, block: Block
) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray]]:
    """Covariance of a map's gradient, and the spectrum of its noise."""
    state, scene, n = fit.states[v], fit.scene, fit.n
    q = 2 * state.medium.k
    at, level = radial_spectrum(
        made.left, scene.pixels, scene.shape, q, over_ring=True
    )
    level = level / max(float(state.weight.mean()), 0.05)
    own = [*range(2 * n)]
    own += [2 * n] * fit.q_each + [2 * n + 2] * fit.kappa_free
    scale = np.ones(len(made.H), np.float32)
    shared = [*range(2 * n + 3, 4 * n + 3)] if fit.moving else []
    if fit.q_factor:
        shared.append(2 * n)
        scale[2 * n] = state.medium.k
    if fit.gamma_free:
        shared.append(2 * n + 1)
    names = [*own, *shared]
    # W M: columns less what nuisances can take of them.
    taken = solve_triangular(
        made.nuisance.factor, made.X[:, :-1], lower=True, trans=1
    )
    scores = made.columns - taken.T.astype(np.float32) @ made.nuisance.columns
    scores = (scores * scale[:, None])[names] / np.float32(state.noise)
    meat = gradient_covariance(scores, scene.pixels, scene.shape, (at, level))
    # Sources outside are as random as the noise: their part of H - S.
    # N W M^T = (N N^T + noise / prior)^-1 N M^T / prior.
    weights = (taken * scale)[:, names]
    meat += (weights.T / made.nuisance.prior) @ weights
    a = len(own)
    meat[:a, :a] += (
        block.H - (made.H * scale * scale[:, None])[np.ix_(own, own)]
    )
    return meat, (at, level)


def _together(left: np.ndarray) -> float:
    """Variance of a mean over maps, in that of independent maps."""
    if len(left) < 2:
        return 1.0
    related = np.corrcoef(left)
    return float(np.clip(related.sum() / len(left), 1.0, len(left)))
