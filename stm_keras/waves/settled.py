"""Masks as narrow as what the waves leave about each object allows.

Under wide masks the fit is safe from what is no wave. What it then says of
the hidden pixels is compared with what is there: from the rim inwards, a
mask is as wide as the outermost ring in which more is left than elsewhere.
"""

import numpy as np

from stm_keras.waves.iteration import Fit, normals_of, nuisances_of
from stm_keras.waves.masks import LEAST_PERIODS
from stm_keras.waves.model import circular, distances, scatter
from stm_keras.waves.normal import Normal
from stm_keras.waves.nuisance import cosines, source_columns
from stm_keras.waves.prepared import Prepared

_MORE = 1.35
"""Of a ring that stays hidden: its spread, in that of all pixels used."""


def settled_radii(fit: Fit, ready: Prepared, chosen: list[int]) -> np.ndarray:
    """Radii of masks about each object, float64 [n] [px].

    Args:
        fit: of the maps `chosen` under wide masks.
        ready: what was fitted.
        chosen: maps of `ready` that the fit holds.
    """
    nuisances = nuisances_of(fit)
    normals = normals_of(fit, nuisances, with_positions=False)
    hidden = np.argwhere(~ready.free).astype(np.float64)
    least = LEAST_PERIODS * np.pi / max(s.medium.k for s in fit.states)
    if not len(hidden):
        return np.full(fit.n, least)
    rows, cols = hidden.astype(int).T
    power = np.zeros(len(hidden))
    count = np.zeros(len(hidden))
    for made, v, at in zip(normals, chosen, range(fit.n_maps), strict=True):
        left = ready.maps[v][rows, cols] - predicted(
            fit, at, made, ready, hidden
        )
        known = np.isfinite(left)
        power[known] += (left[known] / made.left.std()) ** 2
        count += known
    r = np.sqrt(((fit.positions[:, None] - hidden) ** 2).sum(axis=-1))
    owner, nearest = r.argmin(axis=0), r.min(axis=0)
    return np.array(
        [
            _radius(power, count, (owner == j), nearest, least, widest)
            for j, widest in enumerate(ready.radii)
        ]
    )


def _radius(
    power: np.ndarray,
    count: np.ndarray,
    own: np.ndarray,
    nearest: np.ndarray,
    least: float,
    widest: float,
) -> float:
    for outer in np.arange(widest, least, -1.0):
        ring = own & (nearest > outer - 1) & (nearest <= outer)
        total = count[ring].sum()
        if total < 3:
            continue
        limit = _MORE**2 * (1 + 2 * np.sqrt(2 / total))
        if power[ring].sum() / total > limit:
            return float(outer)
    return least


def predicted(
    fit: Fit, v: int, made: Normal, ready: Prepared, pixels: np.ndarray
) -> np.ndarray:
    """What a fitted map should be at any pixels, float32 [P].

    Args:
        fit: the fit.
        v: which of its maps.
        made: its normal equations.
        ready: what was fitted.
        pixels: row and column [P, 2] [px].
    """
    state, scene = fit.states[v], fit.scene
    waves = scatter(
        state.c, fit.positions, distances(fit.positions, pixels), state.medium
    )
    scattered = None
    if state.medium.kappa:
        between, _ = circular(
            distances(scene.sources.positions, fit.positions), state.medium
        )
        scattered = (np.complex64(state.medium.kappa) * between) @ waves.g
    columns = [
        cosines(scene.shape, pixels, float(ready.q_px.min())),
        source_columns(
            distances(scene.sources.positions, pixels), state.medium, scattered
        ),
    ]
    return waves.modulation + made.source_values @ np.concatenate(columns)
