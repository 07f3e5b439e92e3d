"""Reference positions of impurities, from the map of their bound states.

The paper takes positions from this map by expectation-maximisation (its
ref. [8]: C. M. Bishop, Pattern Recognition and Machine Learning (2006)). The
number of spots is that of the least Bayesian information criterion

    BIC = sum_p [(I_p - model_p)^2 / var_p + ln var_p] + 4 n ln N,

4 being the numbers that a spot adds (row, column, amplitude, width) and N the
number of measured pixels. `var_p` is the robust noise level of the residual,
made greater where the noise is correlated over the size of a spot, plus the
share of a spot's height by which real spots differ from Gaussian ones.
"""

import math
from typing import NamedTuple

import numpy as np
import scipy.ndimage
from numpy.typing import ArrayLike
from scipy.spatial import KDTree

from stm_keras.errors import InputError

_FLOOR_SIGMAS = 20.0
"""The floor that intensity is counted from lies so much noise below the
background. Then noise is not clipped, which would shift and widen spots, and
all pixels count nearly alike, as they should where the noise is alike."""


class Spots(NamedTuple):
    """Round Gaussian spots.

    Attributes:
        positions: float64 [n, 2] (row, column) [px].
        amplitudes: float64 [n], height above the background, image's unit.
        widths: float64 [n], standard deviation [px].
    """

    positions: np.ndarray
    amplitudes: np.ndarray
    widths: np.ndarray

    def take(self, which: np.ndarray) -> "Spots":
        """Choose spots by index or mask."""
        return Spots(*(field[which] for field in self))

    def joined(self, other: "Spots") -> "Spots":
        """Spots of both, these first."""
        return Spots(
            *(np.concatenate(pair) for pair in zip(self, other, strict=True))
        )


def no_spots() -> Spots:
    """An empty set of spots."""
    return Spots(np.empty((0, 2)), np.empty(0), np.empty(0))


def _product(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Matrix product a @ b, on one thread.

    OpenBLAS shares a product of more than 2^18 multiplications out to
    threads; where other processes hold the cores, these wait for each other
    ten times longer than such a small product takes. Blocks stay below.
    """
    rows = max(1, 2**18 // (b.shape[0] * b.shape[1] + 1))
    if rows >= len(a):
        return a @ b
    blocks = [a[i : i + rows] @ b for i in range(0, len(a), rows)]
    return np.concatenate(blocks)


def _factors(
    spots: Spots, shape: tuple[int, int], margin: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row factors [n, H + 2 m] and column factors [n, W + 2 m] of spots."""
    factors = []
    for axis in range(2):
        offset = np.arange(-margin, shape[axis] + margin)
        z = (offset - spots.positions[:, axis, None]) / spots.widths[:, None]
        factors.append(np.exp(-(z**2) / 2))
    return factors[0], factors[1]


def render(spots: Spots, shape: tuple[int, int]) -> np.ndarray:
    """Sum of the spots, without background.

    Args:
        spots: the spots.
        shape: (H, W) of the image.

    Returns:
        float64 [H, W].
    """
    row, col = _factors(spots, shape, 0)
    return _product((spots.amplitudes[:, None] * row).T, col)


class Mixture:
    """EM steps for one image, background and noise.

    Pixels that are not measured (NaN, and a margin around the frame, into
    which spots at the edge reach) are hidden variables as well: the E-step
    puts the model there. Without this, spots at an edge would move inwards.

    Args:
        image: float64 [H, W]; NaN where nothing was measured.
        background: float64 [H, W], without NaN.
        noise: standard deviation of the noise, the image's unit.
        width_px: the least and the greatest width of a spot [px].
    """

    def __init__(
        self,
        image: np.ndarray,
        background: np.ndarray,
        noise: float,
        width_px: tuple[float, float],
    ) -> None:
        self.shape = (image.shape[0], image.shape[1])
        self.width_px = width_px
        self.margin = math.ceil(3 * width_px[1])
        above = image - background
        # A noiseless image still needs a positive density everywhere.
        least = 0.02 * max(float(np.nanmax(np.abs(above))), 1e-30)
        self.level = max(_FLOOR_SIGMAS * noise, least)
        data = np.clip(above + self.level, 0, None)
        self.data = np.pad(data, self.margin, constant_values=np.nan)
        self.measured = np.isfinite(self.data)

    def _ratio(
        self, amplitudes: np.ndarray, row: np.ndarray, col: np.ndarray
    ) -> np.ndarray:
        """Data over model, [H + 2 m, W + 2 m]; 1 where not measured.

        Times a component's density, this is the intensity that the E-step
        assigns to it.
        """
        model = self.level + _product((amplitudes[:, None] * row).T, col)
        ratio = np.ones_like(model)
        np.divide(self.data, model, out=ratio, where=self.measured)
        return ratio

    def step(self, spots: Spots) -> Spots:
        """One E-step and one M-step; the background stays.

        Args:
            spots: n spots.

        Returns:
            n spots of a likelihood no smaller.
        """
        row, col = _factors(spots, self.shape, self.margin)
        ratio = self._ratio(spots.amplitudes, row, col)
        by_row = row * _product(col, ratio.T)  # intensity by row, for each spot
        by_col = col * _product(row, ratio)
        mass = np.maximum(by_row.sum(axis=1), 1e-12)
        places, variance = [], np.zeros(len(mass))
        for axis, profile in enumerate((by_row, by_col)):
            at = np.arange(-self.margin, self.shape[axis] + self.margin)
            mean = profile @ at / mass
            variance += profile @ at**2 / mass - mean**2
            places.append(mean)
        widths = np.sqrt(np.maximum(variance / 2, 0)).clip(*self.width_px)
        # The mass of the sampled Gaussian; 2 pi sigma^2 but for sharp spots.
        unit = row.sum(axis=1) * col.sum(axis=1) * (widths / spots.widths) ** 2
        amplitudes = spots.amplitudes * mass / np.maximum(unit, 1e-12)
        return Spots(np.stack(places, axis=1), amplitudes, widths)

    def fit(self, spots: Spots, steps: int, tolerance_px: float) -> Spots:
        """Repeat `step`, at most so many times, until nothing moves.

        Args:
            spots: where to start.
            steps: greatest number of steps.
            tolerance_px: end when no spot moves further in a step [px].

        Returns:
            As many spots.
        """
        for _ in range(steps if len(spots.widths) else 0):
            before = spots
            spots = self.step(spots)
            moved = np.abs(spots.positions - before.positions).max()
            if moved < tolerance_px:
                break
        return spots

    def axes(self, spots: Spots) -> tuple[np.ndarray, np.ndarray]:
        """Principal axes of the intensity that belongs to each spot.

        Args:
            spots: n spots.

        Returns:
            Standard deviations [n, 2] [px], the smaller first, and the
            direction [n, 2] (row, column) of the greater.
        """
        row, col = _factors(spots, self.shape, self.margin)
        ratio = self._ratio(spots.amplitudes, row, col)
        at = [np.arange(-self.margin, n + self.margin) for n in self.shape]
        dr = at[0] - spots.positions[:, :1]
        dc = at[1] - spots.positions[:, 1:]
        weighted = _product(row, ratio)
        mass = np.maximum((weighted * col).sum(axis=1), 1e-12)
        rr = (_product(row * dr**2, ratio) * col).sum(axis=1) / mass
        cc = (weighted * col * dc**2).sum(axis=1) / mass
        rc = (_product(row * dr, ratio) * col * dc).sum(axis=1) / mass
        matrix = np.stack([rr, rc, rc, cc], axis=1).reshape(-1, 2, 2)
        values, vectors = np.linalg.eigh(matrix)
        return np.sqrt(np.maximum(values, 0)), vectors[:, :, 1]


def halved(
    spots: Spots,
    which: np.ndarray,
    axes: np.ndarray,
    direction: np.ndarray,
    usual: float,
) -> Spots:
    """Replace some spots by two each, along their long axes.

    Args:
        spots: n spots.
        which: int [m], the indices of those to replace.
        axes: float64 [n, 2] standard deviations, smaller first [px].
        direction: float64 [n, 2] unit vectors of the long axes.
        usual: width of an ordinary spot [px].

    Returns:
        n + m spots, the new ones last.
    """
    rest = spots.take(np.setdiff1d(np.arange(len(spots.widths)), which))
    excess = np.maximum(axes[which, 1] ** 2 - usual**2, 0.5 * usual**2)
    step = np.sqrt(excess)[:, None] * direction[which]
    width = np.minimum(axes[which, 0], usual)
    for sign in (-1, 1):
        half = Spots(
            spots.positions[which] + sign * step,
            spots.amplitudes[which] * 0.7,
            width,
        )
        rest = rest.joined(half)
    return rest


def close_pairs(spots: Spots) -> np.ndarray:
    """Disjoint pairs [m, 2] nearer than the sum of their widths."""
    if len(spots.widths) < 2:
        return np.empty((0, 2), int)
    tree = KDTree(spots.positions)
    apart, index = map(np.asarray, tree.query(spots.positions, k=2))
    nearest, taken, pairs = index[:, 1], set(), []
    for i in np.argsort(apart[:, 1]):
        j = int(nearest[i])
        near = apart[i, 1] < spots.widths[i] + spots.widths[j]
        if near and i not in taken and j not in taken:
            pairs.append((int(i), j))
            taken |= {int(i), j}
    return np.array(pairs, int).reshape(-1, 2)


def merged(spots: Spots, pairs: np.ndarray) -> Spots:
    """Replace pairs of spots by one each, of the same mass and centre.

    Args:
        spots: n spots.
        pairs: int [m, 2] indices, none twice.

    Returns:
        n - m spots, the new ones last.
    """
    rest = spots.take(np.setdiff1d(np.arange(len(spots.widths)), pairs.ravel()))
    mass = spots.amplitudes * spots.widths**2
    share = mass[pairs] / mass[pairs].sum(axis=1, keepdims=True)
    centre = (share[:, :, None] * spots.positions[pairs]).sum(axis=1)
    width = (share * spots.widths[pairs]).sum(axis=1)
    amplitude = mass[pairs].sum(axis=1) / width**2
    return rest.joined(Spots(centre, amplitude, width))


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


_LEAST_PIXELS = 100


class Reference(NamedTuple):
    """Spots found in a map of bound states, from left to right by rows.

    Attributes:
        positions: float64 [n, 2] (row, column) [px], inside the frame.
        amplitudes: float64 [n] height of each spot, the image's unit.
        widths: float64 [n] standard deviation of each spot [px].
        background: float64 [H, W], the image's unit.
        bic: the criterion that chose n; the less the better, no unit.
    """

    positions: np.ndarray
    amplitudes: np.ndarray
    widths: np.ndarray
    background: np.ndarray
    bic: float


def find_bound_states(
    image: ArrayLike,
    *,
    width_px: tuple[float, float] = (0.6, 3.0),
    background_px: float = 10.0,
) -> Reference:
    """Find the spots in a map of bound states, and how many there are.

    Local maxima of the residual start as spots; expectation-maximisation
    fits them together (`spot_mixture`); long spots are split, close ones
    merged, and those that BIC does without are left out; all of this again
    until BIC no longer falls (`spot_search`).

    Args:
        image: float [H, W], any unit, bright spots; NaN = not measured.
        width_px: the least and the greatest standard deviation of a spot
            [px].
        background_px: length over which the background is smooth [px];
            longer than the greatest width.

    Returns:
        The spots inside the frame; none is a valid answer.

    Raises:
        InputError: for another number of axes, fewer than 100 measured
            pixels, or lengths that are not in order.

    Example:
        >>> row, col = np.mgrid[:40, :40]
        >>> spot = np.exp(-((row - 12.3) ** 2 + (col - 25.0) ** 2) / 4.5)
        >>> noise = np.random.default_rng(0).normal(0, 0.02, (40, 40))
        >>> find_bound_states(spot + noise).positions.round(1)
        array([[12.3, 25. ]])

    References:
        C. M. Bishop, Pattern Recognition and Machine Learning (2006), ch. 9.
    """
    image = _checked(image, width_px, background_px)
    state = Search(image, width_px, background_px).run()
    places = state.spots.positions
    last = np.array(image.shape) - 0.5
    inside = np.all((places >= -0.5) & (places < last), axis=1)
    spots = state.spots.take(np.flatnonzero(inside))
    spots = spots.take(
        np.lexsort((spots.positions[:, 1], spots.positions[:, 0]))
    )
    return Reference(*spots, state.background, state.bic)


def _checked(
    image: ArrayLike, width_px: tuple[float, float], background_px: float
) -> np.ndarray:
    """Check the arguments; the image as float64, infinite values as NaN."""
    array = np.array(image, np.float64)
    array[~np.isfinite(array)] = np.nan
    if array.ndim != 2:
        raise InputError(
            "A map of bound states must have the shape [H, W]. "
            f"Received: {array.shape}."
        )
    measured = int(np.isfinite(array).sum())
    if measured < _LEAST_PIXELS:
        raise InputError(
            f"The map of bound states holds {measured} measured pixels of "
            f"{array.size}; at least {_LEAST_PIXELS} are needed."
        )
    low, high = width_px
    if not 0.3 <= low <= high < background_px < math.inf:
        raise InputError(
            "`width_px` (low, high) and `background_px` must be in order, "
            "0.3 <= low <= high < background_px. Received: "
            f"width_px=({low:g}, {high:g}), background_px={background_px:g}."
        )
    return array
