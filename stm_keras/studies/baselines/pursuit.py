"""Find impurities by pursuit: one ring after the other, then all at once.

The strong baseline for a network, given what the network has to learn: k(V)
and the template. The rings are found greedily where one more explains most of
what is left, all amplitudes being fitted anew after each (orthogonal matching
pursuit: Y. C. Pati et al., Asilomar 1993, DOI 10.1109/ACSSC.1993.342465),
positions are refined together, and what the fit does not need is taken out
again (backward elimination), which gives each impurity its score.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from stm_keras.analysis.peaks import Peaks
from stm_keras.analysis.pursuit_fit import RingFit, ring_rows
from stm_keras.analysis.pursuit_growth import FINAL_STEPS, STEP_PX, grow
from stm_keras.analysis.pursuit_search import as_score
from stm_keras.errors import InputError
from stm_keras.preprocessing.merged import joined
from stm_keras.ring_model import EQ3, RingTemplate, standardised_maps

STOP = 2.5
"""Default of `PursuitSettings.stop`: below what any threshold should be."""


class PursuitSettings(NamedTuple):
    """How to search, and what counts.

    Attributes:
        template: the wave.
        threshold: the least score that counts, see `find_by_pursuit`.
        stop: the search ends where no ring would have this score.
        min_distance_px: no impurity starts nearer to another than this [px].
        max_maps: of more maps, so many means of neighbours in k are taken,
            see `joined`; None takes every map.
    """

    template: RingTemplate = EQ3
    threshold: float = 4.5
    stop: float = STOP
    min_distance_px: float = 1.0
    max_maps: int | None = None


def find_by_pursuit(
    maps: ArrayLike,
    wave_numbers: ArrayLike,
    settings: PursuitSettings | None = None,
    *,
    threshold: float | None = None,
    max_peaks: int | None = None,
) -> Peaks:
    """Find impurities, with sub-pixel positions.

    Args:
        maps: [V, H, W], float; NaN = not measured. Constant maps say nothing
            and are left out.
        wave_numbers: k of each map, [V] [rad/px].
        settings: by default those of `PursuitSettings`.
        threshold: in place of the settings' own.
        max_peaks: keep at most this many, those that the fit needs most.

    Returns:
        Positions, and scores: by how much chi^2 (in units of the noise that
        the fit leaves in each map) rises without the impurity, as the
        deviate of a normal distribution that it would be if noise had given
        it. The score of one that was taken out later is not lower than that
        of those before it: a threshold keeps what eliminating up to it keeps.

    Raises:
        InputError: where shapes do not fit, a number is not positive, or a
            value is infinite.

    Examples:
        >>> row, col = np.mgrid[:40, :40]
        >>> r = np.hypot(row - 12.3, col - 25.0)
        >>> maps = [np.cos(2 * k * r + k) / (r + 1) ** 2 for k in (0.7, 0.8)]
        >>> found = find_by_pursuit(maps, (0.7, 0.8), max_peaks=1)
        >>> found.positions.round(2)
        array([[12.3, 25. ]])
    """
    settings = settings or PursuitSettings()
    if max_peaks is not None and max_peaks < 1:
        raise InputError(
            f"`max_peaks` must be at least 1. Received: {max_peaks}."
        )
    stack, k = standardised_maps(maps, wave_numbers)
    if settings.max_maps is not None:
        stack, k = joined(stack, k, settings.max_maps)
    if not len(k):
        return Peaks(np.zeros((0, 2)), np.zeros(0))
    fit = RingFit(stack, k, settings.template)
    grow(fit, stop=settings.stop, min_distance_px=settings.min_distance_px)
    order, scores = _scored(fit, len(k))
    limit = settings.threshold if threshold is None else threshold
    keep = np.flatnonzero(scores > limit)
    keep = keep[::-1][:max_peaks]
    positions, scores = fit.positions[order[keep]], scores[keep]
    if 0 < len(keep) < len(order):
        fit = RingFit(stack, k, settings.template)
        fit.add(positions)
        fit.refine(np.arange(len(positions)), FINAL_STEPS, STEP_PX)
        positions = fit.positions
    return Peaks(positions, scores)


def _scored(fit: RingFit, n_maps: int) -> tuple[np.ndarray, np.ndarray]:
    """Impurities in the order of their elimination, and their scores."""
    order, falls = elimination(fit)
    return order, np.maximum.accumulate(as_score(falls, n_maps))


def elimination(fit: RingFit) -> tuple[np.ndarray, np.ndarray]:
    """Take the least needed impurity out, again and again.

    Args:
        fit: it stays as it is.

    Returns:
        order: indices, the first taken out first, int [n].
        falls: by how much chi^2 rose each time, float64 [n].
    """
    n = len(fit.positions)
    gram = fit.normal.gram.copy()
    gram += (
        1e-9 * np.einsum("vii->vi", gram)[:, :, None] * np.eye(gram.shape[1])
    )
    inverse, best = np.linalg.inv(gram), fit.coefficients.copy()
    left, order, falls = np.arange(n), [], []
    for _ in range(n):
        rows = ring_rows(left)
        blocks = inverse[:, rows[:, :, None], rows[:, None, :]]
        parts = best[:, rows]
        solved = np.linalg.solve(blocks, parts[..., None])[..., 0]
        rise = (parts * solved).sum(axis=-1) / fit.noise[:, None] ** 2
        least = int(rise.sum(axis=0).argmin())
        order.append(int(left[least]))
        falls.append(float(rise.sum(axis=0)[least]))
        here = rows[least]
        column = inverse[:, :, here]
        best -= (column @ solved[:, least, :, None])[..., 0]
        inverse -= column @ np.linalg.solve(
            blocks[:, least], column.swapaxes(1, 2)
        )
        left = np.delete(left, least)
    return np.array(order, int), np.array(falls)
