"""The drift between maps of a stack, measured by cross-correlation.

Rings around impurities grow and shrink with the bias, symmetrically about
each impurity; what is cut off by the frame's border is not symmetric, and
neighbouring maps alone would add up to a drift that is none. So the path found
from pairs of maps is refined against the mean of all maps, in which the far
parts of the rings have averaged out and the surroundings of the impurities
have not.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import scipy.fft
from scipy import ndimage

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps

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
    from scipy import signal  # takes half a second, and few files need it

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
    from skimage.registration import phase_cross_correlation

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


_LEAST_SIDE_PX = 32  # a quarter of it must still hold waves
# Errors are mostly below the stated uncertainty. Of stacks that state more than
# this one in two was off by over 0.1 px (benchmarks/registration.py).
_MOST_UNCERTAIN_PX = 0.15
# Correlation with the other maps, in standard deviations of noise's; the
# best of many shifts of pure noise reaches about 4.
_LEAST_SCORE = 6.0
_LARGEST_SHARE = 0.25  # of the frame's side that a map may be moved
_LEAST_MEASURED = 0.5  # of a map
_SPLINE_ORDER = 5


@dataclass(frozen=True, eq=False)
class Registration:
    """The drift of a stack and how far it can be trusted.

    Attributes:
        path_px: displacement (row, column) of each map, float64 [V, 2], px;
            its mean is zero.
        uncertainty_px: standard error of a displacement in one direction
            [px], from paths found in the four quarters of the frame.
        score: correlation of each map with the mean of the others, float64
            [V], in standard deviations of what noise gives.
        failure: why it must not be applied; empty where it may.
    """

    path_px: np.ndarray
    uncertainty_px: float
    score: np.ndarray
    failure: str


def register(
    maps: ConductanceMaps, *, reference: ConductanceMaps | None = None
) -> ConductanceMaps:
    """Find the drift between the maps and move them back, or warn.

    Args:
        maps: the maps in the order in which they were taken, levelled.
        reference: maps of the same frame taken together with `maps`, one for
            each, that show the drift better, such as topographs.

    Returns:
        Maps moved to their mean place by splines of fifth order. What comes
        in over the border, and what rests on unmeasured pixels, is NaN. Where
        the drift cannot be trusted, the maps as they were and a warning in
        `provenance`.

    Raises:
        InputError: for a reference of another shape.
    """
    if reference is not None and reference.shape != maps.shape:
        raise InputError(
            f"{maps.source}: the reference has the shape {reference.shape} "
            f"and the maps {maps.shape}. Give one of the same frame a map."
        )
    shown = maps if reference is None else reference
    result = measure_drift(shown.data)
    if result.failure:
        note = f"warning: drift not taken out: {result.failure}"
        return maps.with_data(maps.data, note)
    moved = move_back(maps.data, result.path_px)
    lost = (np.isnan(moved).all(axis=(1, 2))).any()
    if lost or np.isnan(moved).any(axis=0).all():
        note = "warning: drift not taken out: no pixel would be left"
        return maps.with_data(maps.data, note)
    extent = np.ptp(result.path_px, axis=0)
    return maps.with_data(
        moved,
        f"drift taken out: {extent[0]:.2f} px down, {extent[1]:.2f} px across,"
        f" uncertain by {result.uncertainty_px:.2f} px"
        + (f", found in {reference.channel}" if reference is not None else ""),
    )


def measure_drift(data: np.ndarray) -> Registration:
    """Find the path of a stack and judge it.

    The path is found in the whole frame and in each of its quarters, which
    hold other impurities and other noise. Their scatter, halved, is the
    standard error; it holds what noise does as well as what rings that
    change with the bias do.

    Args:
        data: maps, float [V, H, W]; NaN is "not measured".

    Returns:
        The path; `failure` is set where the frame or the maps are too few,
        the quarters differ, or a map is not like the others.
    """
    n_maps, height, width = data.shape
    nothing = np.zeros((n_maps, 2)), np.inf, np.zeros(n_maps)
    if n_maps < 2:
        return Registration(*nothing, "a single map has nothing to drift from")
    if min(height, width) < _LEAST_SIDE_PX:
        return Registration(
            *nothing, f"frames below {_LEAST_SIDE_PX} px hold too little"
        )
    measured = (~np.isnan(data)).mean(axis=(1, 2))
    if (measured < _LEAST_MEASURED).any():
        index = int(measured.argmin())
        return Registration(*nothing, f"map {index} is mostly not measured")
    images = np.stack([filled(image.astype(np.float64)) for image in data])
    # A difference in size between maps, and tiny numbers, must not weigh.
    images -= images.mean(axis=(1, 2), keepdims=True)
    images /= images.std(axis=(1, 2), keepdims=True)
    path, score = mean_path(images, pair_path(images))
    uncertainty = _scatter_of_quarters(images, path)
    failure = _failure(path, uncertainty, score, (height, width))
    return Registration(path, uncertainty, score, failure)


def move_back(data: np.ndarray, path_px: np.ndarray) -> np.ndarray:
    """Move maps back by their displacements.

    Args:
        data: float [V, H, W]; NaN is "not measured".
        path_px: displacement (row, column) of each map, float [V, 2], px.

    Returns:
        float32 [V, H, W]. NaN are: pixels from beyond the border, and those
        less than about one pixel and a half from an unmeasured one.
    """
    result = np.empty(data.shape, dtype=np.float32)
    for index, (image, step) in enumerate(zip(data, path_px, strict=True)):
        if not step.any():
            result[index] = image
            continue
        missing = np.isnan(image)
        moved = ndimage.shift(
            filled(image.astype(np.float64)),
            -step,
            order=_SPLINE_ORDER,
            mode="reflect",
        )
        if missing.any():
            missing = ndimage.binary_dilation(missing)
        share = ndimage.shift(
            missing.astype(np.float64), -step, order=1, cval=1.0
        )
        moved[(share > 1e-6) | _beyond_border(image.shape, step)] = np.nan
        result[index] = moved
    return result


def _beyond_border(shape: tuple[int, ...], step: np.ndarray) -> np.ndarray:
    """Pixels that come from outside the frame, bool [H, W]."""
    outside = [
        (np.arange(n) + d < -1e-9) | (np.arange(n) + d > n - 1 + 1e-9)
        for n, d in zip(shape, step, strict=True)
    ]
    return outside[0][:, None] | outside[1]


def _scatter_of_quarters(images: np.ndarray, path: np.ndarray) -> float:
    """Standard error of the path from the frame's quarters [px]."""
    rows, cols = images.shape[1] // 2, images.shape[2] // 2
    paths = [
        mean_path(images[:, down, right], path)[0]
        for down in (slice(rows), slice(rows, None))
        for right in (slice(cols), slice(cols, None))
    ]
    variance = np.var(paths, axis=0, ddof=1)
    return float(np.sqrt(variance.mean() / len(paths)))


def _failure(
    path: np.ndarray,
    uncertainty: float,
    score: np.ndarray,
    shape: tuple[int, int],
) -> str:
    """Why a path must not be applied; "" where it may."""
    if (lost := score < _LEAST_SCORE).any():
        return (
            f"{int(lost.sum())} of {lost.size} maps are not like the others "
            f"(map {int(score.argmin())} first)"
        )
    if not uncertainty <= _MOST_UNCERTAIN_PX:
        return (
            "the four quarters of the frame do not agree on it (uncertain "
            f"by {uncertainty:.2f} px)"
        )
    if (np.abs(path).max(axis=0) > _LARGEST_SHARE * np.array(shape)).any():
        return f"it would move a map by {np.abs(path).max():.1f} px"
    return ""
