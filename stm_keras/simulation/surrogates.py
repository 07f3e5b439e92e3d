"""Phase-randomised surrogate maps: a user's own spectrum and no impurity.

What is left has the power and cross spectra of the maps (FFT rings, noise,
lines) and nothing that comes from one place: whatever is found in it is
false. J. Theiler et al., Physica D 58, 77 (1992),
doi:10.1016/0167-2789(92)90102-S.
"""

import numpy as np
import tensorflow as tf

from stm_keras.errors import InputError


def phase_randomised(maps: tf.Tensor, turn: tf.Tensor) -> tf.Tensor:
    """Maps with the same power spectrum and phases turned at random.

    All maps of a stack are turned alike, so that what they share (their
    cross spectra) stays too.

    Args:
        maps: float32 [B, V, H, W], finite.
        turn: white noise whose phases are added, float32 [B, 1, H, W].

    Returns:
        The same shape.
    """
    noise = tf.signal.rfft2d(turn)
    size = tf.cast(tf.maximum(tf.abs(noise), 1e-9), tf.complex64)
    spectrum = tf.signal.rfft2d(maps) * noise / size
    return tf.signal.irfft2d(spectrum, tf.shape(maps)[2:])


def phase_surrogate(
    maps: np.ndarray,
    rng: np.random.Generator,
    left_out: np.ndarray | None = None,
) -> np.ndarray:
    """A surrogate of measured maps, which may have gaps and any unit.

    Args:
        maps: float [V, H, W], NaN where not measured.
        rng: source of the phases.
        left_out: bool [H, W], pixels whose values are no part of the spectrum,
            such as those of a strong object; None for none. Not heeded in a
            map that has no others.

    Returns:
        float32 of the same shape, NaN where the maps are.

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
    counted = measured
    if left_out is not None:
        rest = measured & ~left_out
        counted = np.where(rest.any(axis=(1, 2), keepdims=True), rest, measured)
    kept = np.where(counted, stack, np.nan)
    mean = np.nanmean(kept, axis=(1, 2), keepdims=True)
    about = np.where(counted, stack - mean, 0.0)
    # Currents of 1e-12 A are no numbers for float32's transform.
    scale = np.abs(about).max(axis=(1, 2), keepdims=True)
    scale[scale == 0] = 1.0
    turn = rng.standard_normal((1, 1, *stack.shape[1:]))
    turned = phase_randomised(
        tf.constant((about / scale)[None], tf.float32),
        tf.constant(turn, tf.float32),
    )
    surrogate = np.asarray(turned)[0] * scale + mean
    return np.where(measured, surrogate, np.nan).astype(np.float32)
