"""The Cramér-Rao bound of the cases that it applies to.

It is computed where `stm_keras.analysis.bounds` is there.
"""

import functools
import importlib
import importlib.util
from typing import Any

import numpy as np

from stm_keras.bench.case import Case

_BOUNDS = "stm_keras.analysis.bounds"
_MODEL = "stm_keras.analysis.ring_model"


@functools.cache
def _modules() -> tuple[Any, Any] | None:
    if importlib.util.find_spec(_BOUNDS) is None:
        return None
    return importlib.import_module(_BOUNDS), importlib.import_module(_MODEL)


def position_variances(case: Case) -> np.ndarray | None:
    """The least var(row) + var(col) of each true position.

    Args:
        case: with its noise-free maps and the width of its noise, where the
            bound applies.

    Returns:
        float64 [n] [px^2], inf where the maps do not determine a position;
        None where the bound does not apply or is not to be had.
    """
    modules = _modules()
    if case.clean is None or case.sigma is None or modules is None:
        return None
    bounds, model = modules
    k = case.wave_numbers
    amplitudes = model.fit_amplitudes(case.clean, case.positions, k)
    covariance = bounds.position_bound(
        case.positions,
        amplitudes,
        k,
        shape=case.clean.shape[1:],
        sigma=case.sigma,
    )
    return np.einsum("nii->n", covariance)
