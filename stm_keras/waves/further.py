"""Further scatterers in what a fit leaves: waves of the kinds that are known.

A matched filter over the residual: at every place, the amplitude that waves
of a kind's phase have there, over all maps, in deviations.
"""

from typing import NamedTuple

import numpy as np
from scipy.signal import fftconvolve

from stm_keras.baselines import find_peaks
from stm_keras.waves.fit import WaveFit
from stm_keras.waves.model import Medium, circular
from stm_keras.waves.species import Species

_REACH_PERIODS = 3.0
_APART_PERIODS = 0.6
"""From an impurity that is known."""

THRESHOLD = 6.0
"""In deviations: of some thousand places in correlated noise, chance reaches
about 4.5."""


class Further(NamedTuple):
    """Places where the residual has waves of a kind, the surest first.

    Attributes:
        positions_px: row and column, float64 [m, 2] [px of the file].
        score: amplitude in deviations [m].
        kind: whose waves they are, int64 [m].
    """

    positions_px: np.ndarray
    score: np.ndarray
    kind: np.ndarray


def further_scatterers(
    fit: WaveFit, species: Species, threshold: float = THRESHOLD
) -> Further:
    """Search the residual.

    Args:
        fit: of the impurities that are known.
        species: of these.
        threshold: least score.
    """
    layers = np.stack(
        [_score(fit, amplitude) for amplitude in species.amplitudes]
    )
    best = layers.max(axis=0)
    known = (fit.positions_px + 0.5) / fit.joined - 0.5
    period = 2 * np.pi / np.nanmax(fit.q_per_nm) / fit.pixel_nm
    rows, cols = np.indices(best.shape)
    near = np.zeros(best.shape, bool)
    for row, col in known:
        near |= np.hypot(rows - row, cols - col) < _APART_PERIODS * period
    peaks = find_peaks(
        best,
        threshold=threshold,
        min_distance_px=max(int(period / 2), 1),
        exclude=near,
    )
    at = np.rint(peaks.positions).astype(int)
    return Further(
        (peaks.positions + 0.5) * fit.joined - 0.5,
        peaks.scores,
        layers.argmax(axis=0)[tuple(at.T)],
    )


def _score(fit: WaveFit, amplitude: np.ndarray) -> np.ndarray:
    """Amplitude along a kind's waves at each place [H, W], in deviations."""
    top = np.zeros(fit.residual.shape[1:])
    width = np.zeros_like(top)
    for v in np.flatnonzero(np.isfinite(amplitude)).tolist():
        wave = _wave(fit, v, complex(amplitude[v]))
        known = np.isfinite(fit.residual[v])
        weight = 1 / fit.noise[v] ** 2
        turned = wave[::-1, ::-1]
        top += weight * fftconvolve(
            np.where(known, fit.residual[v], 0), turned, mode="same"
        )
        width += weight * fftconvolve(known.astype(float), turned**2, "same")
    return top / np.sqrt(np.maximum(width, 1e-12 * width.max()))


def _wave(fit: WaveFit, v: int, c: complex) -> np.ndarray:
    """What an amplitude c makes around it, without the core [h, h]."""
    q = float(fit.q_per_nm[v]) * fit.pixel_nm
    half = int(np.ceil(_REACH_PERIODS * 2 * np.pi / q))
    offset = np.arange(-half, half + 1)
    r = np.hypot(*np.meshgrid(offset, offset, indexing="ij"))
    gamma = fit.pixel_nm / (2 * fit.mean_free_path_nm)
    h, _ = circular(r.astype(np.float32), Medium(q / 2, gamma))
    core = float(fit.core_nm.min()) / fit.pixel_nm
    return np.where((r > core) & (r <= half), (c * h**2).real, 0)
