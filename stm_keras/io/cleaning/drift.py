"""The drift between maps of a stack, measured by cross-correlation.

Rings around impurities grow and shrink with the bias, symmetrically about
each impurity; what is cut off by the frame's border is not symmetric, and
neighbouring maps alone would add up to a drift that is none. So the path found
from pairs of maps is refined against the mean of all maps, in which the far
parts of the rings have averaged out and the surroundings of the impurities
have not.
"""

from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy import ndimage, signal
from skimage.registration import phase_cross_correlation

_TAPER = 0.25  # share of a window that falls off
_PAIRS_APART = (1, 2, 4, 8, 16)
_PAIR_ROUNDS = 2
_MEAN_ROUNDS = 3
_NEWTON_STEPS = 6
_FARTHEST_PX = 1.5  # of a local search, from where the last round left off
# Waves longer than this part of the frame are background; those whose fronts
# lie along the lines are line offsets; those near Nyquist no spline can move.
_LEAST_PERIODS = 2.5
_HIGHEST_RAD_PX = 0.75 * np.pi


class Waves(NamedTuple):
    """The plane waves that count, of a window.

    Attributes:
        window: weights of the pixels, float64 [H, W].
        band: which of the transform's coefficients count, bool [H, W//2+1].
        q: their wave vectors (row, column), float64 [Q, 2], rad/px.
    """

    window: np.ndarray
    band: np.ndarray
    q: np.ndarray


def waves(shape: tuple[int, int]) -> Waves:
    """The waves of a frame, under a Tukey window."""
    height, width = shape
    tapers = [signal.windows.tukey(n + 2, _TAPER)[1:-1] for n in shape]
    down = np.repeat(
        2 * np.pi * scipy.fft.fftfreq(height)[:, None], width // 2 + 1, axis=1
    )
    right = np.broadcast_to(2 * np.pi * scipy.fft.rfftfreq(width), down.shape)
    size = np.hypot(down, right)
    band = (
        (size > 2 * np.pi * _LEAST_PERIODS / min(shape))
        & (size < _HIGHEST_RAD_PX)
        & (right > 2 * np.pi * _LEAST_PERIODS / width)
    )
    q = np.stack([down[band], right[band]], axis=1)
    return Waves(np.outer(*tapers), band, q)


def filled(image: np.ndarray) -> np.ndarray:
    """The image [H, W] with unmeasured pixels as their nearest measured ones.

    For transforms and splines alone, which know no NaN; what rests on such
    pixels must not be kept.
    """
    missing = np.isnan(image)
    if not missing.any():
        return image
    nearest = ndimage.distance_transform_edt(
        missing, return_distances=False, return_indices=True
    )
    assert nearest is not None
    return image[tuple(nearest)]


def pair_path(images: np.ndarray) -> np.ndarray:
    """Path of a stack from the shifts between pairs of its maps.

    Neighbours are compared over the whole frame first; then maps 1, 2, 4, 8
    and 16 apart near where these left them, and the path that fits all pairs
    is found in weighted least squares.

    Args:
        images: float64 [V, H, W] without NaN.

    Returns:
        Displacement of each map (row, column), float64 [V, 2], px; its mean
        is zero.
    """
    basis = waves((images.shape[1], images.shape[2]))
    path = _coarse_path(images, basis)
    for _ in range(_PAIR_ROUNDS):
        spectra = moved_spectra(images, path, basis)
        path = path + _fit_path(*_pair_shifts(spectra, basis.q), len(images))
    return path - path.mean(axis=0)


def mean_path(
    images: np.ndarray, path: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Refine a path by shifting each map onto the mean of all the others.

    Args:
        images: float64 [V, H, W] without NaN.
        path: float64 [V, 2], px.

    Returns:
        The path, float64 [V, 2], px, of zero mean, and the correlation of
        each map with the others' mean, float64 [V], in standard deviations
        of what maps of noise have; 0 where no peak was found.
    """
    basis = waves((images.shape[1], images.shape[2]))
    score = np.zeros(len(images))
    for _ in range(_MEAN_ROUNDS):
        spectra = moved_spectra(images, path, basis)
        others = spectra.sum(axis=0) - spectra
        # What is no stronger than at the highest frequencies is noise.
        power = np.abs(others) ** 2
        size = np.hypot(*basis.q.T)
        noise = power[:, size > np.quantile(size, 0.75)].mean(axis=1)
        weight = np.clip(1 - 2 * noise[:, None] / power, 0, None)
        cross = spectra * others.conj() * (weight / np.sqrt(power))
        shift, found = local_shifts(cross, basis.q)
        path = path + np.where(found[:, None], shift, 0)
        turned = cross * np.exp(1j * shift @ basis.q.T)
        spread = np.sqrt((np.abs(cross) ** 2).sum(axis=1) / 2)
        score = np.where(found, turned.real.sum(axis=1) / spread, 0)
    return path - path.mean(axis=0), score


def moved_spectra(
    images: np.ndarray, path: np.ndarray, basis: Waves
) -> np.ndarray:
    """Waves of each map, moved back along the path, complex [V, Q]."""
    spectra = np.empty((len(images), len(basis.q)), np.complex128)
    for index, (image, step) in enumerate(zip(images, path, strict=True)):
        moved = ndimage.shift(image, -step, order=3, mode="reflect")
        moved = moved - np.average(moved, weights=basis.window)
        wave = np.asarray(scipy.fft.rfft2(moved * basis.window))
        spectra[index] = wave[basis.band]
    return spectra


def local_shifts(
    cross: np.ndarray, q: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Maximum of each correlation near no shift, by Newton's method.

    Args:
        cross: cross spectra, complex [P, Q].
        q: wave vectors, float64 [Q, 2], rad/px.

    Returns:
        Shifts, float64 [P, 2], px, and whether each is a maximum less than
        1.5 px away, bool [P].
    """
    shift = np.zeros((len(cross), 2))
    found = np.ones(len(cross), dtype=bool)
    products = np.stack([q[:, 0] ** 2, q[:, 0] * q[:, 1], q[:, 1] ** 2])
    for _ in range(_NEWTON_STEPS):
        turned = cross * np.exp(1j * shift @ q.T)
        slope = -turned.imag @ q
        bend = (turned.real @ products.T)[:, [0, 1, 1, 2]].reshape(-1, 2, 2)
        found &= (bend[:, 0, 0] > 0) & (np.linalg.det(bend) > 0)
        bend[~found] = np.eye(2)
        slope[~found] = 0
        step = np.linalg.solve(bend, slope[..., None])[..., 0]
        shift = np.clip(shift + step, -_FARTHEST_PX, _FARTHEST_PX)
    return shift, found & (np.abs(shift) < _FARTHEST_PX).all(axis=1)


def _coarse_path(images: np.ndarray, basis: Waves) -> np.ndarray:
    """Whole-pixel steps between neighbours, added up."""
    shape = (images.shape[1], images.shape[2])
    full = np.zeros((len(images), *basis.band.shape), np.complex128)
    full[:, basis.band] = moved_spectra(
        images, np.zeros((len(images), 2)), basis
    )
    passed = np.asarray(scipy.fft.irfft2(full, s=shape))
    steps = [
        # The library's own documentation names None; its annotation cannot.
        -phase_cross_correlation(
            before,
            after,
            normalization=None,  # pyright: ignore[reportArgumentType]
        )[0]
        for before, after in pairwise(passed)
    ]
    return np.cumsum([np.zeros(2), *steps], axis=0)


def _pair_shifts(
    spectra: np.ndarray, q: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pairs [P, 2], their shifts [P, 2] and the weights of these [P]."""
    norm = np.sqrt((np.abs(spectra) ** 2).sum(axis=1))
    pairs, shifts, weights = [], [], []
    for apart in _PAIRS_APART:
        if apart >= len(spectra):
            break
        cross = spectra[apart:] * spectra[:-apart].conj()
        shift, found = local_shifts(cross, q)
        turned = (cross * np.exp(1j * shift @ q.T)).real.sum(axis=1)
        same = np.clip(turned / (norm[apart:] * norm[:-apart]), 0, 1)
        first = np.arange(len(cross))
        pairs.append(np.stack([first, first + apart], axis=1))
        shifts.append(shift)
        # As the variance of a shift goes with the correlation.
        weights.append(np.where(found, same**2 / (1.02 - same**2), 0))
    return tuple(np.concatenate(p) for p in (pairs, shifts, weights))  # type: ignore[return-value]


def _fit_path(
    pairs: np.ndarray, shifts: np.ndarray, weights: np.ndarray, n_maps: int
) -> np.ndarray:
    """Path of zero mean that fits the shifts of pairs, float64 [V, 2]."""
    root = np.sqrt(weights)
    matrix = np.zeros((len(pairs), n_maps))
    rows = np.arange(len(pairs))
    matrix[rows, pairs[:, 0]] = -root
    matrix[rows, pairs[:, 1]] = root
    normal = matrix.T @ matrix
    path = np.linalg.pinv(normal, hermitian=True) @ (
        matrix.T @ (shifts * root[:, None])
    )
    return path - path.mean(axis=0)
