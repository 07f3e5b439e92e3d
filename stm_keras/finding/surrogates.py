"""Maps with the spectrum of a user's own and no impurity in them."""

import numpy as np

from stm_keras.errors import InputError


def phase_surrogate(maps: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Turn the phases of maps at random, those of all maps alike.

    What is left has the power and cross spectra of the maps (rings, noise,
    lines) and nothing that comes from one place: whatever a finder finds in
    it is false (J. Theiler et al., Physica D 58, 77 (1992),
    doi:10.1016/0167-2789(92)90102-S).

    Args:
        maps: float [V, H, W], NaN where not measured.
        rng: source of the phases.

    Returns:
        float32 of the same shape, NaN at the same places.

    Raises:
        InputError: for maps of another shape or without a value.
    """
    stack = np.asarray(maps, np.float64)
    if stack.ndim != 3 or not np.isfinite(stack).any(axis=(1, 2)).all():
        raise InputError(
            "Surrogates need maps [V, H, W] with a value in each. Received "
            f"the shape {stack.shape}."
        )
    measured = np.isfinite(stack)
    mean = np.nanmean(stack, axis=(1, 2), keepdims=True)
    about = np.where(measured, stack - mean, 0.0)
    noise = np.fft.rfft2(rng.standard_normal(stack.shape[1:]))
    turned = np.fft.rfft2(about) * noise / np.maximum(np.abs(noise), 1e-12)
    surrogate = np.fft.irfft2(turned, s=stack.shape[1:])
    return np.where(measured, surrogate + mean, np.nan).astype(np.float32)
