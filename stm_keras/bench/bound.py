"""The Cramér-Rao bound of the cases that it applies to."""

import numpy as np

from stm_keras.analysis.bounds import position_bound
from stm_keras.bench.case import Case
from stm_keras.ring_model import fit_amplitudes


def position_variances(case: Case) -> np.ndarray | None:
    """The least var(row) + var(col) of each true position.

    Args:
        case: with its noise-free maps and the width of its noise, where the
            bound applies.

    Returns:
        float64 [n] [px^2], inf where the maps do not determine a position;
        None where the bound does not apply.
    """
    if case.clean is None or case.sigma is None:
        return None
    k = case.wave_numbers
    height, width = case.clean.shape[1:]
    covariance = position_bound(
        case.positions,
        fit_amplitudes(case.clean, case.positions, k),
        k,
        shape=(height, width),
        sigma=case.sigma,
    )
    return np.einsum("nii->n", covariance)
