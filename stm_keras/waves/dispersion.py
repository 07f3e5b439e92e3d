"""k(V) by waves: effective mass and band edge from the fitted q."""

from dataclasses import replace

import numpy as np

from stm_keras.errors import InputError
from stm_keras.qpi.dispersion import (
    Dispersion,
    Rings,
    fit_dispersion,
    n_biases,
)
from stm_keras.waves.fit import WaveFit

MISFIT_FROM = 4
"""From so many maps on their misfit to the parabola tells whether deviations
of q are too small, and widens those of the mass and the edge."""


def wave_dispersion(fit: WaveFit) -> Dispersion | None:
    """Mass and band edge from q of all maps.

    Args:
        fit: with q of each map free.

    Returns:
        As of rings in the Fourier transform; None where there are fewer than
        two biases with a q that was fitted, or q does not grow with the bias.
    """
    used = np.isfinite(fit.q_per_nm) & (fit.std_q_per_nm > 0)
    rings = Rings(
        fit.bias_v[used],
        fit.q_per_nm[used],
        fit.q_covariance[np.ix_(used, used)],
    )
    if n_biases(rings.bias_v) < 2:
        return None
    try:
        found = fit_dispersion(rings)
    except InputError:
        return None
    kept = np.setdiff1d(np.arange(len(rings.bias_v)), found.left_out)
    if len(kept) < MISFIT_FROM:
        return found
    apart = (rings.q_per_nm - found.q_per_nm(rings.bias_v))[kept]
    inverse = np.linalg.pinv(rings.covariance[np.ix_(kept, kept)])
    misfit = float(apart @ inverse @ apart) / (len(kept) - 2)
    widen = np.sqrt(max(misfit, 1.0)) if np.isfinite(misfit) else 1.0
    return replace(
        found,
        effective_mass_sigma=widen * found.effective_mass_sigma,
        band_edge_sigma_ev=widen * found.band_edge_sigma_ev,
    )
