"""How many spots there are in an image: a search for the least BIC."""

import math
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from scipy.spatial import KDTree

from stm_keras.analysis.spot_mixture import Mixture, Spots, no_spots, render
from stm_keras.analysis.spot_moves import close_pairs, halved, merged

_FREE_PER_SPOT = 4
_SHAPE_ERROR = 0.07
"""Share of a spot's height by which it may differ from a Gaussian: the tails
of K0^2 do by so much at three widths."""

_CANDIDATE_SIGMAS = 4.0
"""A local maximum of the filtered residual above this is tried as a spot."""

_ROUNDS = 12
_STEPS, _TOLERANCE_PX = 40, 3e-3
_LAST_STEPS, _LAST_TOLERANCE_PX = 300, 1e-4


class State(NamedTuple):
    """Spots, with all that is judged by them."""

    spots: Spots
    background: np.ndarray
    residual: np.ndarray  # [H, W], NaN where not measured
    variance: np.ndarray  # [H, W], of the residual
    noise: float
    bic: float


def _mean_around(values: np.ndarray, sigma_px: float) -> np.ndarray:
    """Gaussian mean of the measured pixels around every pixel."""
    known = np.isfinite(values)
    total = scipy.ndimage.gaussian_filter(np.where(known, values, 0), sigma_px)
    weight = scipy.ndimage.gaussian_filter(known.astype(float), sigma_px)
    mean = float(np.nanmean(values))
    # Far from every measured pixel the mean of all is as good as any.
    return np.where(weight > 1e-6, total / np.maximum(weight, 1e-6), mean)


def _smooth(values: np.ndarray, sigma_px: float) -> np.ndarray:
    """Smooth background of values; NaN where not measured.

    A mean flattens hills and bends slopes at the edges; adding twice the mean
    of what it left follows them (J. W. Tukey's twicing).
    """
    background = _mean_around(values, sigma_px)
    for _ in range(2):
        background += _mean_around(values - background, sigma_px)
    return background


def _scatter(values: np.ndarray) -> float:
    """Standard deviation, from the median absolute deviation."""
    values = values[np.isfinite(values)]
    return 1.4826 * float(np.median(np.abs(values - np.median(values))))


def _filtered(residual: np.ndarray, width: float) -> np.ndarray:
    """Residual seen through a spot of some width; NaN where not measured.

    White noise keeps its standard deviation, correlated noise gains.
    """
    reach = math.ceil(4 * width)
    profile = np.exp(-(np.arange(-reach, reach + 1) ** 2) / (2 * width**2))
    known = np.isfinite(residual)
    total, power = np.where(known, residual, 0), known.astype(float)
    for axis in range(2):
        total = scipy.ndimage.correlate1d(total, profile, axis, mode="constant")
        power = scipy.ndimage.correlate1d(
            power, profile**2, axis, mode="constant"
        )
    return np.where(known, total / np.sqrt(np.maximum(power, 1e-12)), np.nan)


class Search:
    """Growing, splitting, merging and pruning of spots in one image."""

    def __init__(
        self,
        image: np.ndarray,
        width_px: tuple[float, float],
        background_px: float,
    ) -> None:
        self.image = image
        self.shape = (image.shape[0], image.shape[1])
        self.width_px = width_px
        self.background_px = background_px
        self.penalty = _FREE_PER_SPOT * math.log(np.isfinite(image).sum())

    def typical_width(self, spots: Spots) -> float:
        """Median width; the middle of what is allowed without spots."""
        if len(spots.widths):
            return float(np.median(spots.widths))
        return math.sqrt(self.width_px[0] * self.width_px[1])

    def state(self, spots: Spots, background: np.ndarray) -> State:
        """Residual, noise and BIC of given spots.

        Args:
            spots: what the image is made of.
            background: what lies under them, float64 [H, W].
        """
        model = render(spots, self.shape)
        residual = self.image - background - model
        white = _scatter(residual)
        seen = _scatter(_filtered(residual, self.typical_width(spots)))
        noise = max(white, seen, 1e-6 * float(np.nanmax(np.abs(self.image))))
        noise = noise or 1.0  # an image of zeros
        variance = noise**2 + (_SHAPE_ERROR * model) ** 2
        bic = float(np.nansum(residual**2 / variance + np.log(variance)))
        bic += self.penalty * len(spots.widths)
        return State(spots, background, residual, variance, noise, bic)

    def fitted(
        self,
        state: State,
        spots: Spots,
        steps: int = _STEPS,
        tolerance_px: float = _TOLERANCE_PX,
    ) -> State:
        """EM from given spots, in turn with the background."""
        background = state.background
        for _ in range(2):
            mixture = Mixture(
                self.image, background, state.noise, self.width_px
            )
            spots = mixture.fit(spots, steps // 2, tolerance_px)
            background = _smooth(
                self.image - render(spots, self.shape), self.background_px
            )
        return self.state(spots, background)

    def candidates(self, state: State) -> Spots:
        """Local maxima of the residual that may be spots."""
        width = self.typical_width(state.spots)
        score = np.nan_to_num(_filtered(state.residual, width), nan=-np.inf)
        score /= state.noise
        peak = score == scipy.ndimage.maximum_filter(score, size=3)
        at = np.argwhere(peak & (score > _CANDIDATE_SIGMAS)).astype(float)
        if len(at) and len(state.spots.widths):
            apart, _ = KDTree(state.spots.positions).query(at)
            at = at[apart > width]
        height = score[tuple(at.astype(int).T)] * state.noise
        amplitude = height / (math.sqrt(math.pi) * width)
        return Spots(at, amplitude, np.full(len(at), width))

    def prune(self, state: State) -> Spots:
        """Leave out spots that the BIC is better without."""
        gain = np.zeros(len(state.spots.widths))
        for i in range(len(gain)):
            alone = render(state.spots.take(np.array([i])), self.shape)
            without = (state.residual + alone) ** 2 - state.residual**2
            gain[i] = np.nansum(without / state.variance)
        return state.spots.take(gain > self.penalty)

    def local_misfit(self, state: State, at: np.ndarray) -> np.ndarray:
        """Sum of squares [n], by the variance, around some places."""
        size = 2 * math.ceil(2.5 * self.typical_width(state.spots)) + 1
        chi = np.nan_to_num(state.residual**2 / state.variance)
        total = scipy.ndimage.uniform_filter(chi, size, mode="constant")
        index = np.rint(at).astype(int).clip(0, np.array(self.shape) - 1)
        return total[tuple(index.T)] * size**2

    def split(self, state: State) -> State:
        """Try two spots for each long one; keep those that BIC favours."""
        mixture = Mixture(
            self.image, state.background, state.noise, self.width_px
        )
        axes, direction = mixture.axes(state.spots)
        usual = self.typical_width(state.spots)
        long = np.flatnonzero(
            (axes[:, 1] > 1.15 * axes[:, 0]) | (axes[:, 1] > 1.2 * usual)
        )
        if not len(long):
            return state
        tried = self.fitted(
            state, halved(state.spots, long, axes, direction, usual)
        )
        places = state.spots.positions[long]
        gain = self.local_misfit(state, places) - self.local_misfit(
            tried, places
        )
        good = long[gain > self.penalty]
        if not len(good):
            return state
        halves = halved(state.spots, good, axes, direction, usual)
        return self.fitted(state, halves)

    def merge(self, state: State, steps: int = _STEPS) -> State:
        """Try one spot for each close pair; keep those that BIC favours."""
        pairs = close_pairs(state.spots)
        if not len(pairs):
            return state
        tried = self.fitted(state, merged(state.spots, pairs), steps)
        places = state.spots.positions[pairs].mean(axis=1)
        loss = self.local_misfit(tried, places) - self.local_misfit(
            state, places
        )
        good = pairs[loss < self.penalty]
        if not len(good):
            return state
        return self.fitted(state, merged(state.spots, good), steps)

    def run(self) -> State:
        """Search until the BIC no longer falls."""
        best = self.state(no_spots(), _smooth(self.image, self.background_px))
        for _ in range(_ROUNDS):
            new = self.candidates(best)
            trial = self.fitted(best, best.spots.joined(new))
            trial = self.split(trial)
            trial = self.merge(trial)
            trial = self.fitted(trial, self.prune(trial))
            if not trial.bic < best.bic - 1:
                break
            best = trial
        return self.finish(best)

    def finish(self, state: State) -> State:
        """Fit to the end, and merge what only then shows to be one spot."""
        while True:
            state = self.fitted(
                state, state.spots, _LAST_STEPS, _LAST_TOLERANCE_PX
            )
            fewer = self.merge(state, _LAST_STEPS)
            if not fewer.bic < state.bic - 1:
                return state
            state = fewer
