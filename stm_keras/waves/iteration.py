"""Gauss-Newton over amplitudes, wave numbers and positions of all maps."""

import math
import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack, solve_triangular
from threadpoolctl import ThreadpoolController

from stm_keras.waves.arrow import Block, Spread, solve, spread
from stm_keras.waves.model import Medium, distances
from stm_keras.waves.noise import gradient_covariance, radial_spectrum
from stm_keras.waves.normal import (
    MapState,
    Normal,
    Nuisance,
    Scene,
    factorised,
    marginalise,
    normal,
    unfactorised,
)

WEAK = 30.0
"""Prior deviation of an amplitude's parts, in deviations of a map: weak."""

_SAME_WAVES = 0.32
"""Maps whose k differ by no more than this over the frame's side [rad] share
the columns of sources outside, which stand for what is not known anyway."""

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
        k_start: wave numbers as given [V] [rad/px].
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
        return replace(
            self,
            states=[self.states[v] for v in chosen],
            k_start=self.k_start[list(chosen)],
        )

    def of_own(self) -> "Fit":
        """The same, what maps share being held."""
        held = np.zeros_like(self.deviations)
        return replace(self, deviations=held, q_factor=False, gamma_free=False)

    def of_amplitudes(self) -> "Fit":
        """The same, all but the amplitudes being held."""
        return replace(self.of_own(), q_each=False, kappa_free=False)

    @property
    def medium_free(self) -> bool:
        """Whether anything of the medium is unknown."""
        several = self.q_each, self.q_factor, self.gamma_free, self.kappa_free
        return any(several)


class Result(NamedTuple):
    """A finished fit's covariances.

    Attributes:
        left: of each map, see `Normal` [V, P].
        log_evidence: of each map [V].
        spread: see `Spread`; own unknowns are Re c, Im c, then k and kappa
            where they are free.
        own: names of those beyond the amplitudes.
    """

    left: np.ndarray
    log_evidence: np.ndarray
    spread: Spread
    own: list[str]


def each(function: Callable, items: Sequence) -> list:
    """Apply a function to items on all cores, BLAS on one thread each."""
    workers = (
        len(os.sched_getaffinity(0))
        if hasattr(os, "sched_getaffinity")
        else os.cpu_count() or 1
    )
    with _one_thread():
        if workers == 1 or len(items) == 1:
            return [function(item) for item in items]
        with ThreadPoolExecutor(min(workers, len(items))) as pool:
            return list(pool.map(function, items))


@cache
def _libraries() -> ThreadpoolController:
    """Those loaded; to look for them takes as long as a small fit's step."""
    return ThreadpoolController()


def _one_thread() -> AbstractContextManager:
    """BLAS on one thread: over small matrices several wait for each other."""
    return _libraries().limit(limits=1, user_api="blas")


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
    at = np.arange(2 * n)
    H[at, at] += 1 / WEAK**2
    b[at] -= np.concatenate([state.c.real, state.c.imag]) / WEAK**2
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
        # Of impurities that scatter nothing only the amplitudes can be told;
        # what maps share is told best once their own unknowns are.
        known = any(state.c.any() for state in fit.states)
        first = fit.of_own() if known else fit.of_amplitudes()
        _step(first, normals_of(first, nuisances))
        fit.states = first.states
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


def normals_of(fit: Fit, nuisances: Sequence[Nuisance]) -> list[Normal]:
    """Normal equations of all maps."""
    r = distances(fit.positions, fit.scene.pixels)
    return each(
        lambda v: _normal_of(fit, v, nuisances[v], r), range(fit.n_maps)
    )


def _normal_of(fit: Fit, v: int, nuisance: Nuisance, r: np.ndarray) -> Normal:
    return normal(
        fit.scene,
        fit.states[v],
        nuisance,
        fit.positions,
        r,
        with_positions=fit.moving,
        with_medium=fit.medium_free or fit.moving,
    )


def _step(fit: Fit, normals: Sequence[Normal]) -> None:
    _step_by(fit, [block_of(fit, v, made) for v, made in enumerate(normals)])


def _step_by(fit: Fit, blocks: list[Block]) -> None:
    with _one_thread():
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
    factor = made.nuisance.factor.astype(np.float32)
    inverse, _ = lapack.strtri(factor, lower=1)
    variance = state.noise * (inverse**2).sum(axis=0)[b:]
    area = np.tile(scene.outside.sources.areas, 2)
    outside = float(np.mean((values**2 + variance) / area))
    return state._replace(noise=max(noise, 1e-5), outside=max(outside, 1e-8))


class _Ended(NamedTuple):
    """One map at the end: its state and last normal equations."""

    state: MapState
    block: Block
    gradient: np.ndarray
    left: np.ndarray
    log_evidence: float


def finish(fit: Fit) -> Result:
    """The last steps, and covariances under the noise's own spectrum.

    What belongs to a map alone takes a step first, then all together. The
    last step is small, and what it changes of residual and columns is
    neglected. Maps are done one after the other, as their columns are large.
    """
    r = distances(fit.positions, fit.scene.pixels)
    groups = _alike(fit)
    parts = each(lambda group: _ended(fit, group, r), groups)
    found: list[_Ended] = [one for part in parts for one in part]
    ended = [found[at] for at in np.argsort(np.concatenate(groups))]
    fit.states = [one.state for one in ended]
    blocks = [one.block for one in ended]
    _step_by(fit, blocks)
    left = np.array([one.left for one in ended])
    with _one_thread():
        covered = spread(
            blocks,
            [one.gradient for one in ended],
            shared_prior(fit)[0],
            _together(left),
        )
    return Result(
        left,
        np.array([one.log_evidence for one in ended]),
        covered,
        own_names(fit),
    )


def _alike(fit: Fit) -> list[list[int]]:
    """Groups of maps whose waves from outside may be taken for the same."""
    k = np.array([state.medium.k for state in fit.states])
    side = math.sqrt(fit.scene.shape[0] * fit.scene.shape[1])
    groups: list[list[int]] = []
    for v in np.argsort(k, kind="stable").tolist():
        first = groups[-1][0] if groups else v
        near = (k[v] - k[first]) * side <= _SAME_WAVES
        weights = fit.states[v].weight, fit.states[first].weight
        if groups and near and np.array_equal(*weights):
            groups[-1].append(v)
        else:
            groups.append([v])
    return groups


def _ended(fit: Fit, group: list[int], r: np.ndarray) -> list[_Ended]:
    """The last steps of some maps of nearly one wave number."""
    scene, positions = fit.scene, fit.positions
    middle = fit.states[group[len(group) // 2]]
    shared = unfactorised(scene, middle, positions, r)
    ended = []
    for v in group:
        one = fit.of_maps([v])
        nuisance = factorised(scene, one.states[0], shared)
        own = one.of_own()
        _step(own, [_normal_of(own, 0, nuisance, r)])
        one.states = own.states
        made = _normal_of(one, 0, nuisance, r)
        block = block_of(one, 0, made)
        ended.append(
            _Ended(
                one.states[0],
                block,
                _gradient(one, made, block),
                made.left,
                made.log_evidence,
            )
        )
    return ended


def _gradient(fit: Fit, made: Normal, block: Block) -> np.ndarray:
    """Covariance of the gradient of a fit's only map."""
    state, scene, n = fit.states[0], fit.scene, fit.n
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
    scale = scale[names] / np.float32(state.noise)
    taken = solve_triangular(
        made.nuisance.factor,
        made.X[:, names] * scale,
        lower=True,
        trans=1,
        check_finite=False,
    )
    scores = made.columns[names]
    scores *= scale[:, None]
    scores -= taken.T.astype(np.float32) @ made.nuisance.columns
    meat = gradient_covariance(scores, scene.pixels, scene.shape, (at, level))
    # Sources outside are as random as the noise: their part of H - S.
    # N W M^T = (N N^T + noise / prior)^-1 N M^T / prior.
    taken *= state.noise
    meat += (taken.T / made.nuisance.prior) @ taken
    scale *= np.float32(state.noise)
    a = len(own)
    meat[:a, :a] += block.H - made.H[np.ix_(own, own)] * np.outer(
        scale[:a], scale[:a]
    )
    return meat


def _together(left: np.ndarray) -> float:
    """Variance of a mean over maps, in that of independent maps."""
    if len(left) < 2:
        return 1.0
    related = np.corrcoef(left)
    return float(np.clip(related.sum() / len(left), 1.0, len(left)))
