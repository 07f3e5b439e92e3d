"""Normal equations of one map, with nuisances and noise marginalised."""

from typing import NamedTuple

import numpy as np
from scipy.linalg import blas, cho_solve, cholesky, solve_triangular

from stm_keras.waves.model import (
    Medium,
    amplitude_columns,
    circular,
    distances,
    medium_columns,
    position_columns,
    scatter,
)
from stm_keras.waves.nuisance import (
    BACKGROUND_VARIANCE,
    Outside,
    write_source_columns,
)


class Scene(NamedTuple):
    """What is the same for all maps of a frame.

    Attributes:
        pixels: row and column of those that are used, float64 [P, 2] [px].
        background: columns of the smooth background, float32 [b, P].
        outside: sources of waves there.
        shape: H, W of the frame [px].
    """

    pixels: np.ndarray
    background: np.ndarray
    outside: Outside
    shape: tuple[int, int]


class MapState(NamedTuple):
    """Where the fit of one map stands.

    Attributes:
        y: the map at the pixels, of variance about 1, float32 [P].
        weight: 1, or 0 where the map is not measured, float32 [P].
        c: amplitudes, complex [n].
        medium: see `Medium`.
        noise: variance of the noise at the waves' q, of white noise that
            would be as strong there.
        outside: prior variance of sources outside, each part [1/px^2].
    """

    y: np.ndarray
    weight: np.ndarray
    c: np.ndarray
    medium: Medium
    noise: float
    outside: float


class Nuisance(NamedTuple):
    """Columns that are marginalised, and what is needed for it.

    Attributes:
        columns: N, float32 [m, P].
        factor: lower Cholesky factor of N N^T + noise / prior, [m, m].
        prior: variance of each [m].
    """

    columns: np.ndarray
    factor: np.ndarray
    prior: np.ndarray


class Normal(NamedTuple):
    """Normal equations of one map, local unknowns first.

    Attributes:
        H: information matrix [p, p].
        b: gradient [p].
        chi2: of the residual, nuisances marginalised.
        log_evidence: of the residual under noise and nuisances.
        residual: what waves of the impurities leave, float32 [P].
        columns: dm/dunknown, float32 [p, P].
        nuisance: see `Nuisance`.
        X: factor^-1 N [columns; residual]^T, [m, p + 1].
    """

    H: np.ndarray
    b: np.ndarray
    chi2: float
    log_evidence: float
    residual: np.ndarray
    columns: np.ndarray
    nuisance: Nuisance
    X: np.ndarray

    @property
    def left(self) -> np.ndarray:
        """The residual less the expected nuisances, float32 [P]."""
        values = self._expected()
        return self.residual - values @ self.nuisance.columns

    def _expected(self) -> np.ndarray:
        return solve_triangular(
            self.nuisance.factor, self.X[:, -1], lower=True, trans=1
        ).astype(np.float32)

    @property
    def source_values(self) -> np.ndarray:
        """Expected values of all nuisances, float32 [m]."""
        return self._expected()


def marginalise(
    scene: Scene, state: MapState, positions: np.ndarray, r: np.ndarray
) -> Nuisance:
    """Columns of background and sources for a map, factorised.

    Args:
        scene: see `Scene`.
        state: see `MapState`.
        positions: of the impurities [n, 2] [px].
        r: `distances` of these to the pixels.
    """
    return factorised(scene, state, unfactorised(scene, state, positions, r))


def unfactorised(
    scene: Scene, state: MapState, positions: np.ndarray, r: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Columns N of background and sources, and N N^T; see `marginalise`."""
    medium, scattered = state.medium, None
    if medium.kappa:
        g = scatter(state.c, positions, r, medium).g
        sources = scene.outside.sources.positions
        between, _ = circular(distances(sources, positions), medium)
        scattered = (np.complex64(medium.kappa) * between) @ g
    b, n = len(scene.background), len(scene.outside.sources.areas)
    columns = np.empty((b + 2 * n, len(scene.pixels)), np.float32)
    columns[:b] = scene.background
    write_source_columns(columns[b:], scene.outside, medium, scattered)
    if not state.weight.all():
        columns *= state.weight
    return columns, _half_gram(columns)


def factorised(
    scene: Scene, state: MapState, shared: tuple[np.ndarray, np.ndarray]
) -> Nuisance:
    """Columns under the prior and the noise of a map.

    Args:
        scene: see `Scene`.
        state: see `MapState`.
        shared: see `unfactorised`.
    """
    columns, gram = shared
    prior = np.concatenate(
        [
            np.full(len(scene.background), BACKGROUND_VARIANCE),
            np.tile(scene.outside.sources.areas * state.outside, 2),
        ]
    )
    loaded = gram.copy()
    loaded[np.diag_indices_from(loaded)] += state.noise / prior
    factor = cholesky(loaded, lower=True, overwrite_a=True, check_finite=False)
    return Nuisance(columns, factor, prior)


def _half_gram(columns: np.ndarray) -> np.ndarray:
    """Lower half of N N^T of N [m, P], float64 [m, m]; the rest is zero."""
    # Columns in memory order are N^T to BLAS; its upper half is our lower.
    half = blas.ssyrk(1.0, columns.T, trans=1)
    return np.asarray(half).T.astype(np.float64)


def left_by(
    state: MapState, nuisance: Nuisance, modulation: np.ndarray
) -> np.ndarray:
    """`Normal.left` alone, of waves of the impurities [P]."""
    residual = state.weight * (state.y - modulation)
    expected = cho_solve(
        (nuisance.factor, True), nuisance.columns @ residual, check_finite=False
    )
    return residual - expected.astype(np.float32) @ nuisance.columns


def normal(
    scene: Scene,
    state: MapState,
    nuisance: Nuisance,
    positions: np.ndarray,
    r: np.ndarray,
    *,
    with_positions: bool,
    with_medium: bool = True,
) -> Normal:
    """Normal equations about a map's state.

    Unknowns in this order: Re c [n], Im c [n], k, gamma, kappa, then row [n]
    and column [n] of the positions where wanted.

    Args:
        scene: see `Scene`.
        state: see `MapState`.
        nuisance: of this map.
        positions: of the impurities [n, 2] [px].
        r: `distances` of these to the pixels.
        with_positions: whether positions are unknowns.
        with_medium: whether k, gamma and kappa are; without them and the
            positions the amplitudes alone.
    """
    waves = scatter(state.c, positions, r, state.medium)
    parts = [amplitude_columns(waves)]
    if with_medium:
        parts.append(medium_columns(waves, positions, r, state.medium))
    if with_positions:
        parts.append(
            position_columns(
                waves, positions, scene.pixels, r, state.medium.kappa
            )
        )
    residual = state.y - waves.modulation
    columns = np.concatenate([*parts, residual[None]])
    if not state.weight.all():
        columns *= state.weight
    cross = (nuisance.columns @ columns.T).astype(np.float64)
    X = solve_triangular(nuisance.factor, cross, lower=True, check_finite=False)
    full = (columns @ columns.T).astype(np.float64) - X.T @ X
    full /= state.noise
    chi2 = float(full[-1, -1])
    n_pixels = float(state.weight.sum())
    log_det = (
        2 * np.log(np.diag(nuisance.factor)).sum()
        + np.log(nuisance.prior / state.noise).sum()
    )
    evidence = -0.5 * (
        chi2 + log_det + n_pixels * np.log(2 * np.pi * state.noise)
    )
    return Normal(
        full[:-1, :-1],
        full[:-1, -1],
        chi2,
        float(evidence),
        columns[-1],
        columns[:-1],
        nuisance,
        X,
    )
