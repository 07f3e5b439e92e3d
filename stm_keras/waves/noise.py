"""The noise of real maps is coloured: its spectrum, and what it does.

The fit weighs all pixels alike. What its unknowns owe to the noise is then
H^-1 S H^-1 with S the covariance of the gradient, which the power spectrum
of the noise gives (the "sandwich" of P. J. Huber, Proc. 5th Berkeley Symp. 1,
221 (1967)). On and about the ring |q| = 2k the fit itself has taken noise
away; there the spectrum is drawn through from both sides.
"""

import numpy as np
import scipy.fft

_BINS = 24
_PILE_UP = 1.5
"""Mean of 1 / (x sqrt(1 - x^2)) over x of 0.8 to 1.2, less half of that at
0.5 to 0.8, which is drawn across already, in units of the latter."""

_RING = (0.8, 1.2)
"""What of the spectrum the fit spoils, in 2k."""


def radial_spectrum(
    left: np.ndarray,
    pixels: np.ndarray,
    shape: tuple[int, int],
    q: float,
    *,
    over_ring: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Power of what a fit leaves against wave number.

    Args:
        left: residual at the pixels [P].
        pixels: row and column [P, 2].
        shape: H, W of the frame [px].
        q: 2k of the map [rad/px].
        over_ring: whether the ring also gets its part of the waves that
            two scatterers outside send in together, see `_pair_waves`.

    Returns:
        Wave numbers [B] [rad/px] and power per pixel [B]: white noise of
        variance 1 has 1 everywhere.
    """
    image = np.zeros(shape, np.float32)
    rows, cols = np.rint(pixels).astype(int).T
    image[rows, cols] = left
    power = np.abs(np.asarray(scipy.fft.rfft2(image))) ** 2 / max(len(left), 1)
    size = wave_numbers(shape)
    edges = np.linspace(0, np.pi, _BINS + 1)
    which = np.digitize(size, edges).ravel() - 1
    inside = (which >= 0) & (which < _BINS)
    sums = np.bincount(which[inside], power.ravel()[inside], _BINS)
    counts = np.bincount(which[inside], minlength=_BINS)
    filled = counts > 0
    at = (edges[:-1] + edges[1:])[filled] / 2
    level = sums[filled] / counts[filled]
    ring = (at > _RING[0] * q) & (at < _RING[1] * q)
    if (~ring & (at < q)).any() and (~ring & (at > q)).any():
        across = np.exp(
            np.interp(at[ring], at[~ring], np.log(level[~ring] + 1e-30))
        )
        level[ring] = across
        if over_ring:
            level[ring] += _pair_waves(at, level, q)
    elif ring.any() and (~ring).any():
        level[ring] = level[~ring].mean()
    return at, level


def _pair_waves(at: np.ndarray, level: np.ndarray, q: float) -> float:
    """Power on the ring by waves of pairs of scatterers outside.

    Waves that come from two directions at an angle make modulations of every
    wave number below 2k, 2k cos(angle / 2). No source of the model has them,
    and they pile up towards 2k: their power per mode goes as
    1 / (x sqrt(1 - x^2)), x = |q| / 2k. What is left below the ring beyond
    what is left above tells how strong they are.
    """
    below = (at > 0.5 * q) & (at < _RING[0] * q)
    above = (at > _RING[1] * q) & (at < 1.6 * q)
    if not below.any() or not above.any():
        return 0.0
    excess = float(level[below].mean() - level[above].mean())
    return _PILE_UP * max(excess, 0.0)


def wave_numbers(shape: tuple[int, int]) -> np.ndarray:
    """|q| of each mode of `scipy.fft.rfft2` [rad/px]."""
    down = 2 * np.pi * scipy.fft.fftfreq(shape[0])
    right = 2 * np.pi * scipy.fft.rfftfreq(shape[1])
    return np.hypot(down[:, None], right)


def gradient_covariance(
    scores: np.ndarray,
    pixels: np.ndarray,
    shape: tuple[int, int],
    spectrum: tuple[np.ndarray, np.ndarray],
) -> np.ndarray:
    """Covariance of sums over pixels of weights times noise, [p, p].

    Args:
        scores: the weights, float32 [p, P].
        pixels: row and column [P, 2].
        shape: H, W [px].
        spectrum: see `radial_spectrum`.
    """
    images = np.zeros((len(scores), *shape), np.float32)
    rows, cols = np.rint(pixels).astype(int).T
    images[:, rows, cols] = scores
    modes = np.asarray(scipy.fft.rfft2(images))
    level = np.interp(wave_numbers(shape), *spectrum)
    # Each mode of the half stands for two, but for the first and last column.
    twice = np.full(modes.shape[-1], 2.0)
    twice[0] = 1
    if shape[1] % 2 == 0:
        twice[-1] = 1
    weight = np.sqrt(level * twice / (shape[0] * shape[1]))
    modes *= weight.astype(np.float32)
    flat = modes.view(np.float32).reshape(len(scores), -1)
    return (flat @ flat.T).astype(np.float64)
