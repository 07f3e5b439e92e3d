"""Candidates of a network, judged by a fit of rings to all the maps at once.

Where white noise is all that hides the rings, a fit of the waves reaches the
Cramér-Rao bound, and what it says of their number is near the best that can
be said; a network that must do for any maps is not. Where cores, drift or
lines are in the maps, the fit is wrong and does not know it; then what it
leaves is not white, which is tested before anything is believed.
"""

import math
from typing import NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike
from scipy import fft
from scipy.spatial import KDTree
from threadpoolctl import threadpool_limits

from stm_keras.baselines import find_peaks
from stm_keras.detections import match
from stm_keras.nn.decoding import Candidates
from stm_keras.preprocessing.merged import joined
from stm_keras.ring_model import (
    EQ3,
    SCATTERING,
    NormalEquations,
    RingTemplate,
    pixel_grid,
    position_slopes,
    rays,
    ring_columns,
    solve_normal,
    standardised_maps,
)

MAX_STEP_PX = 0.5
"""The farthest that an impurity moves along an axis in one step."""

UNKNOWN_PX = 10.0
"""Standard deviation of what no map tells."""

DAMPING = 1e-3
"""First Levenberg-Marquardt factor, of the diagonal."""


class RingFit:
    """Rings at given positions, amplitudes and offsets fitted to all maps.

    Args:
        maps: float [V, H, W]; NaN = not measured.
        wave_numbers: k of each map, [V] [rad/px].
        template: the wave.

    Attributes:
        wave_numbers: see above.
        template: see above.
        positions: float64 [n, 2], row and column [px].
        coefficients: offset, then Re C and Im C of each impurity, float64
            [V, 1 + 2n].
        noise: its width in each map, float64 [V].
    """

    def __init__(
        self, maps: np.ndarray, wave_numbers: np.ndarray, template: RingTemplate
    ) -> None:
        self.wave_numbers, self.template = wave_numbers, template
        self._shape = maps.shape
        self._pixels = pixel_grid(maps.shape[1:]).astype(np.float32)
        flat = maps.reshape(len(maps), -1)
        self._seen = np.isfinite(flat)
        self._values = np.nan_to_num(flat, nan=0.0).astype(np.float32)
        self.positions = np.zeros((0, 2))
        self._columns = np.zeros((len(maps), 16, flat.shape[1]), np.float32)
        self._columns[:, 0] = self._seen
        self._gram = self._product(slice(0, 1))
        self._solve()

    @property
    def measured(self) -> np.ndarray:
        """What is fitted, holes left out, bool [V, H, W]."""
        return self._seen.reshape(self._shape)

    @property
    def residual(self) -> np.ndarray:
        """What the fit leaves, float32 [V, H, W]; 0 where not measured."""
        return self._residual.reshape(self._shape)

    @property
    def normal(self) -> NormalEquations:
        """The linear problem at the positions as they are."""
        right = (self._used() @ self._values[:, :, None]).astype(np.float64)
        squares = np.square(self._values, dtype=np.float64).sum(axis=1)
        return NormalEquations(
            self._gram, right[:, :, 0], squares, self._seen.sum(axis=1)
        )

    def _used(self) -> np.ndarray:
        return self._columns[:, : 1 + 2 * len(self.positions)]

    def _product(self, rows: slice | np.ndarray) -> np.ndarray:
        """Products of some columns with all, float64 [V, rows, M]."""
        used = self._used()
        return (used[:, rows] @ used.swapaxes(1, 2)).astype(np.float64)

    def _solve(self) -> None:
        """Amplitudes, residual and noise at the positions as they are."""
        used = self._used()
        rhs = (used @ self._values[:, :, None]).astype(np.float64)
        self.coefficients = solve_normal(self._gram, rhs)[:, :, 0]
        fitted = self.coefficients.astype(np.float32)[:, None] @ used
        self._residual = (self._values - fitted[:, 0]) * self._seen
        self._squares = np.square(self._residual, dtype=np.float64).sum(axis=1)
        freedom = self._seen.sum(axis=1) - used.shape[1]
        self.noise = np.sqrt(self._squares / np.maximum(freedom, 1))
        # A map without noise, or without a pixel, must not divide by zero.
        floor = 1e-6 * np.abs(self._values).max(initial=0.0)
        self.noise = np.maximum(self.noise, floor or 1.0)

    def add(self, positions: np.ndarray) -> None:
        """Put more impurities, [n, 2] [px], into the fit."""
        if not len(positions):
            return
        if self.template.hole_px:
            self._punch(positions)
        old = 1 + 2 * len(self.positions)
        self.positions = np.concatenate([self.positions, positions])
        new = old + 2 * len(positions)
        if new > self._columns.shape[1]:
            size = max(new, 2 * self._columns.shape[1])
            grown = np.zeros(
                (len(self._columns), size, self._columns.shape[2]), np.float32
            )
            grown[:, :old] = self._columns[:, :old]
            self._columns = grown
        gram = np.zeros((len(self._gram), new, new))
        gram[:, :old, :old] = self._gram
        self._gram = gram
        self._replace(np.arange(old // 2, new // 2))
        self._solve()

    def of(self, which: np.ndarray) -> "RingFit":
        """A fit of some of the rings alone, given by index or mask."""
        seen = self._seen.reshape(self._shape)
        maps = np.where(seen, self._values.reshape(self._shape), np.nan)
        alone = RingFit(maps, self.wave_numbers, self.template)
        alone.add(self.positions[which])
        return alone

    def _punch(self, positions: np.ndarray) -> None:
        """Take the pixels around new impurities out of the fit."""
        gap = self._pixels[:, None] - positions.astype(np.float32)
        hole = np.hypot(gap[..., 0], gap[..., 1]).min(axis=1)
        inside = np.flatnonzero(hole < self.template.hole_px)
        used = self._used()[:, :, inside]
        self._gram -= used @ used.swapaxes(1, 2)
        self._seen[:, inside] = False
        self._values[:, inside] = 0
        self._columns[:, :, inside] = 0

    def _replace(self, which: np.ndarray) -> None:
        """Columns of some impurities anew, where these are now."""
        way = rays(self._pixels, self.positions[which])
        columns = ring_columns(way.distance, self.wave_numbers, self.template)
        if not self._seen.all():
            columns *= self._seen[:, None, None]
        rows = ring_rows(which).ravel()
        self._columns[:, rows] = columns.reshape(len(columns), len(rows), -1)
        if len(which) == len(self.positions):
            # The product with itself, of which BLAS does one half alone.
            self._gram = self._product(slice(None))
            return
        self._gram[:, rows] = self._product(rows)
        self._gram[:, :, rows] = self._gram[:, rows].swapaxes(1, 2)

    def refine(
        self,
        which: np.ndarray,
        n_steps: int,
        tolerance: float,
        settled: float = 0.0,
    ) -> None:
        """Move impurities to lower chi^2, amplitudes following.

        Levenberg-Marquardt steps on the problem with amplitudes and offsets
        eliminated, with Kaufman's Jacobian (BIT 15, 49 (1975), DOI
        10.1007/BF01932995).

        Args:
            which: their indices, [m].
            n_steps: at most so many steps.
            tolerance: end when none moves farther than this [px].
            settled: end when chi^2 changes by less than this, however far
                what hardly counts would move.
        """
        if not len(which):
            return
        damping = DAMPING
        height, width = self._shape[1:]
        for _ in range(n_steps):
            step = self._step(which, damping)
            weights = 1 / self.noise**2
            before, start = (weights * self._squares).sum(), self.positions
            self.positions = start.copy()
            self.positions[which] = np.clip(
                start[which] + step, -0.5, (height - 0.5, width - 0.5)
            )
            self._replace(which)
            self._solve()
            fall = before - (weights * self._squares).sum()
            if fall < 0:
                self.positions, damping = start, 10 * damping
                self._replace(which)
                self._solve()
            else:
                damping = damping / 3
            moved = np.abs(step).max(initial=0.0)
            if abs(fall) < settled or (fall >= 0 and moved < tolerance):
                break

    def deviations(self) -> np.ndarray:
        """Standard deviations of the positions, were the model right.

        From the curvature of chi^2, amplitudes and offsets eliminated: the
        Cramér-Rao bound in white noise, at most `UNKNOWN_PX`.

        Returns:
            Of row and column, float64 [n, 2] [px].
        """
        if not len(self.positions):
            return np.zeros((0, 2))
        curvature, _ = self._curvature(np.arange(len(self.positions)))
        sizes, axes = np.linalg.eigh(curvature)
        sizes = np.maximum(sizes, 0) + UNKNOWN_PX**-2
        return np.sqrt((axes**2 / sizes).sum(axis=1)).reshape(-1, 2)

    def _step(self, which: np.ndarray, damping: float) -> np.ndarray:
        """One step of the positions, float64 [m, 2] [px]."""
        curvature, slope = self._curvature(which)
        residual = self._residual / self.noise[:, None].astype(np.float32)
        slant = np.einsum("vap,vp->a", slope, residual)
        curvature += damping * np.diag(np.maximum(np.diag(curvature), 1e-9))
        step = np.linalg.lstsq(curvature, slant)[0]
        return np.clip(step, -MAX_STEP_PX, MAX_STEP_PX).reshape(-1, 2)

    def _curvature(self, which: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Of chi^2 / 2, [2m, 2m] [1/px^2], and the maps' slopes [V, 2m, P]."""
        rows = ring_rows(which)
        slope = position_slopes(
            self._columns[:, rows],
            self.coefficients[:, rows],
            self.wave_numbers,
            rays(self._pixels, self.positions[which]),
            self.template,
        )
        slope = slope.reshape(len(slope), -1, slope.shape[-1])
        slope /= self.noise.astype(np.float32)[:, None, None]
        cross = (self._used() @ slope.swapaxes(1, 2)).astype(np.float64)
        curvature = (slope @ slope.swapaxes(1, 2)).sum(axis=0)
        explained = solve_normal(self._gram, cross)
        tied = np.tensordot(cross, explained, ((0, 1), (0, 1)))
        return curvature - tied, slope


def ring_rows(which: np.ndarray) -> np.ndarray:
    """The two columns of each impurity, int [m, 2]; the first is the offset."""
    return 1 + 2 * which[:, None] + np.arange(2)


SEARCH_REACH_PX = 24
"""Reach of the search template [px]; the refit knows no such limit."""

FINER = 2
"""Steps of the search a pixel: Eq. 3 falls to a half within half a pixel."""

ROUND_SHARE = 0.6
ROUND_DISTANCE_PX = 8
"""Of one search, peaks this high beside the highest, and this far apart, are
all taken."""

CLEAR = 1e-6
"""A template with less than this share of its energy in view is no answer."""


class _Kernels(NamedTuple):
    """Transforms of one sub-pixel shift's templates, conjugated."""

    pair: list[np.ndarray]  # cos, sin: complex [V, padded]
    squares: list[np.ndarray]  # cos^2, cos sin, sin^2


class RingSearch:
    """Gain of a ring at every half pixel, whatever its phases.

    For one map, with b the products of the residual with the two quadratures
    of the template and G their Gram matrix over the measured pixels, both
    after the map's mean is taken off, b^T G^-1 b is how much the sum of
    squares falls when a ring of free amplitude is added there.

    Args:
        shape: H, W [px].
        wave_numbers: k of each map, [V] [rad/px].
        template: the wave; its hole is left out.
    """

    def __init__(
        self,
        shape: tuple[int, int],
        wave_numbers: np.ndarray,
        template: RingTemplate,
    ) -> None:
        self._shape = shape
        self._reach = min(SEARCH_REACH_PX, max(shape))
        # The frame, and as much beyond each side as a template reaches.
        self._padded = tuple(
            cast(int, fft.next_fast_len(n + self._reach + 1, real=True))
            for n in shape
        )
        steps = np.arange(FINER) / FINER
        self._kernels = [
            self._shifted(row, col, wave_numbers, template)
            for row in steps
            for col in steps
        ]

    def _shifted(
        self, row: float, col: float, k: np.ndarray, template: RingTemplate
    ) -> _Kernels:
        axes = []
        for size, shift in zip(self._padded, (row, col), strict=True):
            index = np.arange(size)
            axes.append(
                np.where(index > size // 2, index - size, index) - shift
            )
        r = np.hypot(*np.meshgrid(*axes, indexing="ij")).astype(np.float32)
        keep = (r <= self._reach) & (r >= template.hole_px)
        waves = ring_columns(r.reshape(1, -1), k, template)[:, 0]
        cosine, sine = np.moveaxis(waves.reshape(len(k), 2, *r.shape), 1, 0)
        cosine, sine = cosine * keep, sine * keep
        squares = (cosine**2, cosine * sine, sine**2)
        return _Kernels(
            [_transform(part, self._padded).conj() for part in (cosine, sine)],
            [_transform(part, self._padded).conj() for part in squares],
        )

    def gram(self, measured: np.ndarray) -> list[np.ndarray]:
        """Inverse Gram matrices of the quadratures everywhere.

        Args:
            measured: bool [V, H, W].

        Returns:
            For each sub-pixel shift cos-cos, cos-sin, sin-sin, float32
            [3, V, H, W].
        """
        spectrum = self._spectrum(measured)
        counts = np.maximum(measured.sum(axis=(1, 2), keepdims=True), 1)
        counts = counts.astype(np.float32)
        found = []
        for kernels in self._kernels:
            one, two = (self._back(spectrum * part) for part in kernels.pair)
            a, b, c = (self._back(spectrum * p) for p in kernels.squares)
            whole = a + c
            a = a - one * one / counts
            b = b - one * two / counts
            c = c - two * two / counts
            determinant = a * c - b * b
            clear = determinant > CLEAR * whole**2 + 1e-12
            divisor = np.where(clear, determinant, 1)
            found.append(np.stack([c, -b, a]) * (clear / divisor))
        return found

    def gain(
        self,
        residual: np.ndarray,
        inverse: list[np.ndarray],
        noise: np.ndarray,
    ) -> np.ndarray:
        """Fall of chi^2 that one more ring would bring.

        Args:
            residual: [V, H, W], 0 where not measured; of mean 0.
            inverse: as `gram` returns it.
            noise: sigma of each map, [V], in the unit of `residual`.

        Returns:
            float32 [FINER H, FINER W]; pixel i of the maps is at FINER i.
        """
        spectrum = self._spectrum(residual / noise[:, None, None])
        height, width = self._shape
        gains = np.empty((height, FINER, width, FINER), np.float32)
        for i, kernels in enumerate(self._kernels):
            one, two = (self._back(spectrum * part) for part in kernels.pair)
            a, b, c = inverse[i]
            fall = a * one * one + 2 * b * one * two + c * two * two
            gains[:, i // FINER, :, i % FINER] = fall.sum(axis=0)
        return gains.reshape(FINER * height, FINER * width)

    def _spectrum(self, maps: np.ndarray) -> np.ndarray:
        return _transform(maps.astype(np.float32), self._padded)

    def _back(self, spectrum: np.ndarray) -> np.ndarray:
        height, width = self._shape
        whole = np.asarray(fft.irfft2(spectrum, s=self._padded))
        return whole[:, :height, :width]


def _transform(maps: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Of each map by itself; scipy's keeps single precision."""
    return np.asarray(fft.rfft2(maps, s=shape))


def as_score(fall: np.ndarray, n_maps: int) -> np.ndarray:
    """A fall of chi^2 as the deviate of a normal distribution.

    Noise alone gives chi^2 of 2V degrees of freedom, whose cube root is
    nearly normal: E. B. Wilson and M. M. Hilferty, PNAS 17, 684 (1931), DOI
    10.1073/pnas.17.12.684.

    Args:
        fall: float, any shape.
        n_maps: V.
    """
    spread = 1 / (9 * n_maps)
    root = np.cbrt(np.maximum(fall, 0) / (2 * n_maps))
    return (root - (1 - spread)) / np.sqrt(spread)


def starts(
    score: np.ndarray,
    taken: np.ndarray,
    *,
    least: float,
    min_distance_px: float,
) -> np.ndarray:
    """Where to start new rings.

    Args:
        score: of one ring more, float [FINER H, FINER W].
        taken: positions of the rings there are, [n, 2] [px].
        least: the score that a start must exceed.
        min_distance_px: of a start from those rings [px].

    Returns:
        The highest peak, and those nearly as high far from it, the best
        first, float64 [m, 2] [px].
    """
    places = np.moveaxis(np.indices(score.shape), 0, -1) / FINER
    if len(taken):
        gaps, _ = KDTree(taken).query(places)
        score = np.where(gaps < min_distance_px, score.min(), score)
    peaks = find_peaks(
        score,
        threshold=max(least, ROUND_SHARE * float(score.max())),
        min_distance_px=FINER * ROUND_DISTANCE_PX,
    )
    return peaks.positions / FINER


NEAR_PX = 5.0
"""Impurities this near to a new one are refined along with it."""

SEARCH_STEPS, FINAL_STEPS = 2, 5
STEP_PX = 5e-3
"""Steps that each refinement makes at most, and the step that ends it."""

PIXELS_PER_IMPURITY = 50
"""The search ends at one impurity in so many pixels."""


def grow(
    fit: RingFit,
    *,
    stop: float,
    min_distance_px: float = 1.0,
    settled: float = 0.0,
) -> None:
    """Add rings where one more explains most of what is left.

    Orthogonal matching pursuit from whatever rings there are, see
    `stm_keras.studies.baselines.pursuit`; in the end all positions are refined.

    Args:
        fit: it grows.
        stop: the search ends where no ring would have this score, see
            `as_score`.
        min_distance_px: no ring starts nearer to another than this [px].
        settled: see `RingFit.refine`.
    """
    shape = fit.measured.shape[1:]
    search = RingSearch(shape, fit.wave_numbers, fit.template)
    inverse = search.gram(fit.measured)
    most = most_rings(fit.measured)
    while len(fit.positions) < most:
        gain = search.gain(fit.residual, inverse, fit.noise)
        new = starts(
            as_score(gain, len(fit.wave_numbers)),
            fit.positions,
            least=stop,
            min_distance_px=min_distance_px,
        )
        new = new[: most - len(fit.positions)]
        if not len(new):
            break
        old = len(fit.positions)
        fit.add(new)
        gaps = np.linalg.norm(fit.positions[:, None] - new, axis=-1)
        near = np.flatnonzero(gaps.min(axis=1) <= NEAR_PX)
        near = np.union1d(near, np.arange(old, len(fit.positions)))
        fit.refine(near, SEARCH_STEPS, STEP_PX, settled)
        if fit.template.hole_px:
            inverse = search.gram(fit.measured)
    fit.refine(np.arange(len(fit.positions)), FINAL_STEPS, STEP_PX, settled)


def most_rings(maps: np.ndarray) -> int:
    """How many rings may be fitted to maps [V, H, W]."""
    return max(maps[0].size // PIXELS_PER_IMPURITY, 1)


REACH_PX = 1.5
"""Up to this distance a ring and a detection are of one impurity."""

UNSEEN = 0.005
"""Probability, to the network, of a place that it says nothing of; and to the
fit, of one where it has no ring."""

LEAST_PROBABILITY = 0.02
"""Less probable places are left out."""

INFLATION = 1.5
"""Of the fit's own standard deviations, which know nothing of impurities that
were missed; what makes the true places of two kinds of fields likeliest, see
docs/experiments.md, 10 and 11."""

_LEAST_DEVIATION_PX = 1e-3
_MOST_LOGIT = 9.2


class Rings(NamedTuple):
    """What a fit says.

    Attributes:
        positions: row and column, also outside of the frame, float64 [m, 2]
            [px].
        deviations: standard deviations of these, were the fit's model right,
            float64 [m, 2] [px].
        probabilities: posterior, float64 [m].
    """

    positions: np.ndarray
    deviations: np.ndarray
    probabilities: np.ndarray


class Places(NamedTuple):
    """Places that may hold an impurity.

    Attributes:
        network: probability to the network, float64 [n].
        rings: posterior probability to the fit, float64 [n].
        positions: row and column by both together, float64 [n, 2] [px].
        deviations: their standard deviations, float64 [n, 2] [px].
    """

    network: np.ndarray
    rings: np.ndarray
    positions: np.ndarray
    deviations: np.ndarray


class Weights(NamedTuple):
    """Of a logistic function, see `features`.

    Attributes:
        rings: of the log odds to the fit.
        network: of those to the network.
        excess: of the excess.
        constant: what is added.
    """

    rings: float
    network: float
    excess: float
    constant: float


def candidates(
    found: Candidates,
    rings: Rings,
    measured: np.ndarray,
    inflation: float = INFLATION,
) -> Places:
    """Every ring and every detection, those of one impurity together.

    Where both know a place it is the mean of the network's and the fit's,
    weighed by their variances, those of the fit inflated. Both come from the
    same maps, and how their errors hang together is not known: deviations are
    those of covariance intersection with equal weights (S. J. Julier and J. K.
    Uhlmann, American Control Conference 1997, DOI 10.1109/ACC.1997.609105).

    Args:
        found: what the network detected.
        rings: what the fit says; what lies outside of the frame, or where
            nothing was measured, is left out.
        measured: where any map has a number, bool [H, W].
        inflation: of the fit's standard deviations.
    """
    places, widths, probabilities = (
        part[_seen(rings.positions, measured)] for part in rings
    )
    widths = np.maximum(inflation * widths, _LEAST_DEVIATION_PX)
    pairs, _ = match(places, found.positions, REACH_PX)
    ring, seen = pairs.T
    alone = np.setdiff1d(np.arange(len(found.positions)), seen)
    network = np.full(len(places), UNSEEN)
    network[ring] = found.probabilities[seen]
    mine, its = 1 / found.deviations[seen] ** 2, 1 / widths[ring] ** 2
    together = mine * found.positions[seen] + its * places[ring]
    places[ring] = together / (mine + its)
    widths[ring] = np.sqrt(2 / (mine + its))
    return Places(
        np.concatenate([network, found.probabilities[alone]]),
        np.concatenate([probabilities, np.full(len(alone), UNSEEN)]),
        np.concatenate([places, found.positions[alone]]),
        np.concatenate([widths, found.deviations[alone]]),
    )


def features(every: Places) -> np.ndarray:
    """What a candidate's probability is a logistic function of.

    The excess is by how much more impurities the fit counts in these maps than
    the network, as a logarithm: where its waves are not those of the maps,
    it needs several for one.

    Args:
        every: of one stack.

    Returns:
        Log odds to the fit and to the network, the excess, and 1, float64
        [n, 4].
    """
    excess = np.log((every.rings.sum() + 1) / (every.network.sum() + 1))
    n = len(every.rings)
    return np.stack(
        [
            _logit(every.rings),
            _logit(every.network),
            np.full(n, excess),
            np.ones(n),
        ],
        axis=1,
    )


def judged(every: Places, weights: Weights) -> Candidates:
    """The candidates that are probable enough, the surest first.

    Args:
        every: of one stack.
        weights: of the logistic function.

    Returns:
        No two nearer than 1 px.
    """
    logits = features(every) @ np.array(weights)
    probabilities = 1 / (1 + np.exp(-logits))
    order = np.argsort(-probabilities, kind="stable")
    order = order[probabilities[order] >= LEAST_PROBABILITY]
    order = order[distinct(every.positions[order])]
    places = every.positions[order]
    pixels = np.round(places).astype(np.int64)
    return Candidates(
        places, probabilities[order], every.deviations[order], pixels
    )


def _seen(places: np.ndarray, measured: np.ndarray) -> np.ndarray:
    """Which places lie in a pixel that was measured, bool [m]."""
    pixels = np.round(places).astype(int)
    least, most = pixels.min(axis=1), (measured.shape - pixels).min(axis=1)
    inside = (least >= 0) & (most > 0)
    row, col = np.where(inside[:, None], pixels, 0).T
    return inside & measured[row, col]


def _logit(probabilities: np.ndarray) -> np.ndarray:
    with np.errstate(divide="ignore"):
        logits = np.log(probabilities) - np.log1p(-probabilities)
    return np.clip(logits, -_MOST_LOGIT, _MOST_LOGIT)


SWEEPS = 60
"""Of Gibbs sampling over all rings; the first quarter does not count."""

DENSITY_PER_PX2 = 5e-3
_NUMBER_SHAPE = 2.0
"""Impurities in a pixel before the maps are seen: mean and shape of a gamma
distribution."""

STRENGTH = 1.0, 300.0
"""Between these lies the variance of an amplitude over that of a pixel's
noise, log-uniform. Weaker rings are seen by no one."""

_MAP_SHAPE = 4.0
"""Of the inverse gamma distribution of the maps' own strengths about that of
all: they differ by half."""

_OFFSET_VARIANCE = 1.0
"""Of maps of unit variance."""

PLACES = 4.0
"""A ring may be anywhere in so many times the area that its position's
standard deviations span. Other maxima nearby are tried by none; of 1, 4 and 8
this made the probabilities true on tuning stacks of `stmk bench`, eta 0.5."""

_LEAST_PX, _MOST_PX = 0.02, 0.5
"""Bounds of these standard deviations."""


class _Blocks(NamedTuple):
    """The two columns of every ring, given the others that are there.

    Attributes:
        fit: u^T S^-1 u, what the ring explains, float64 [V, n].
        size: ln det S, float64 [V, n]. S is what its columns' products leave.
    """

    fit: np.ndarray
    size: np.ndarray


def inclusion_probabilities(
    fit: RingFit,
    deviations: np.ndarray | None = None,
    seed: int = 0,
    sweeps: int = SWEEPS,
) -> np.ndarray:
    """The posterior probability that each ring is an impurity's.

    Args:
        fit: of maps of unit variance, with all rings worth a look.
        deviations: `fit.deviations()` where they are known already.
        seed: of the sampling; the same gives the same.
        sweeps: over all rings.

    Returns:
        float64 [n].
    """
    if not len(fit.positions):
        return np.zeros(0)
    if deviations is None:
        deviations = fit.deviations()
    sampler = _Sampler(fit, deviations, np.random.default_rng(seed))
    taken = [sampler.sweep() for _ in range(sweeps)][sweeps // 4 :]
    return np.mean(taken, axis=0)


class _Sampler:
    """State of the sampling.

    The normal equations of all columns are kept swept by those of the rings
    that are there: the rest of the table then holds what remains for the
    others to explain (J. H. Goodnight, Am. Stat. 33, 149 (1979), DOI
    10.1080/00031305.1979.10482685).
    """

    def __init__(
        self,
        fit: RingFit,
        deviations: np.ndarray,
        rng: np.random.Generator,
    ) -> None:
        self._rng = rng
        self._normal: NormalEquations = fit.normal
        widths = np.clip(deviations, _LEAST_PX, _MOST_PX)
        area = float(fit.measured.any(axis=0).sum())
        self._expected = DENSITY_PER_PX2 * area
        self._shares = PLACES * 2 * np.pi * widths.prod(axis=1) / area
        self._there = np.zeros(len(widths), bool)
        self._noise = fit.noise**2
        self._strength = np.full(len(fit.noise), STRENGTH[0] * np.e)
        self._map_factor = np.ones(len(fit.noise))
        self._number = self._expected

    def sweep(self) -> np.ndarray:
        """Decide on each ring once; the probabilities at that, float64 [n]."""
        self._start()
        taken = self._decide()
        self._draw_others()
        return taken

    def _start(self) -> None:
        """The table of what is there, under the present strengths."""
        gram, right, squares, _ = self._normal
        last = gram.shape[1]
        table = np.empty((len(gram), last + 1, last + 1))
        table[:, :last, :last] = gram
        table[:, last, :last] = table[:, :last, last] = right
        table[:, last, last] = squares
        rings = np.arange(1, last)
        table[:, rings, rings] += 1 / self._strength[:, None]
        table[:, 0, 0] += self._noise / _OFFSET_VARIANCE
        self._table = table
        there = ring_rows(np.flatnonzero(self._there)).ravel()
        self._swept(np.append(0, there), 1)

    def _swept(self, rows: np.ndarray, sign: int) -> None:
        """Sweep the table by some rows, or back with the other sign."""
        table = self._table
        lines = table[:, rows].copy()
        inverse = np.linalg.inv(lines[:, :, rows])
        solved = inverse @ lines
        table -= lines.swapaxes(1, 2) @ solved
        table[:, rows] = sign * solved
        table[:, :, rows] = sign * solved.swapaxes(1, 2)
        table[:, rows[:, None], rows] = -inverse

    def _decide(self) -> np.ndarray:
        """Each ring in its turn, in random order."""
        n = len(self._there)
        order, draws = self._rng.permutation(n), self._rng.logistic(size=n)
        odds = self._odds()
        taken, turn = odds.copy(), 0
        while True:
            rest = order[turn:]
            taken[rest] = odds[rest]
            changed = (draws[rest] < odds[rest]) != self._there[rest]
            if not changed.any():
                break
            # Up to the first that changes its mind all odds hold.
            first = int(changed.argmax())
            ring = rest[first]
            sign = -1 if self._there[ring] else 1
            self._swept(ring_rows(np.array([ring])).ravel(), sign)
            self._there[ring] ^= True
            odds, turn = self._odds(), turn + first + 1
        return 1 / (1 + np.exp(-np.clip(taken, -50, 50)))

    def _odds(self) -> np.ndarray:
        """Log odds of every ring, given the others, float64 [n]."""
        explained, size = self._blocks()
        free = -2 * np.log(self._strength)[:, None]
        gain = (explained / self._noise[:, None] - size + free) / 2
        return gain.sum(axis=0) + np.log(self._number * self._shares)

    def _blocks(self) -> _Blocks:
        table = self._table
        row, column = ring_rows(np.arange(len(self._there))).T
        a, b, c = (
            table[:, row, row],
            table[:, row, column],
            table[:, column, column],
        )
        x, y = table[:, row, -1], table[:, column, -1]
        determinant = a * c - b * b
        explained = (c * x * x - 2 * b * x * y + a * y * y) / determinant
        # Of a ring that is there the table has -S^-1 and the amplitudes.
        sign = np.where(self._there, -1, 1)
        return _Blocks(sign * explained, sign * np.log(np.abs(determinant)))

    def _draw_others(self) -> None:
        """The number of rings, the noise and the strengths, given the rings."""
        rng, there = self._rng, np.flatnonzero(self._there)
        shape = _NUMBER_SHAPE
        self._number = rng.gamma(len(there) + shape) / (
            1 + shape / self._expected
        )
        rows = np.append(0, ring_rows(there).ravel())
        amplitudes = self._drawn_amplitudes(rows)
        gram, right, squares, counts = self._normal
        left = squares - 2 * (amplitudes * right[:, rows]).sum(axis=1)
        left += np.einsum(
            "vi,vij,vj->v", amplitudes, gram[:, rows[:, None], rows], amplitudes
        )
        # A map without noise must not divide by zero.
        left = np.maximum(left, 1e-12 * np.maximum(squares, 1e-300))
        self._noise = left / 2 / rng.gamma(np.maximum(counts, 1) / 2)
        power = (amplitudes[:, 1:] ** 2).sum(axis=1) / self._noise
        tried = np.geomspace(*STRENGTH, 40)
        fits = -(power / self._map_factor).sum() / 2 / tried
        fits -= len(there) * len(power) * np.log(tried)
        weights = np.exp(fits - fits.max())
        common = rng.choice(tried, p=weights / weights.sum())
        self._map_factor = (_MAP_SHAPE - 1 + power / common / 2) / rng.gamma(
            _MAP_SHAPE + len(there), size=len(power)
        )
        self._strength = common * self._map_factor

    def _drawn_amplitudes(self, rows: np.ndarray) -> np.ndarray:
        """Offsets and amplitudes of what is there, float64 [V, m]."""
        inverse = -self._table[:, rows[:, None], rows]
        variance = inverse * self._noise[:, None, None]
        variance += 1e-15 * np.eye(len(rows))
        normal = self._rng.standard_normal((len(variance), len(rows), 1))
        wander = np.linalg.cholesky(variance) @ normal
        return self._table[:, rows, -1] + wander[:, :, 0]


WEIGHTS = {
    EQ3: Weights(0.34, 0.44, 0.13, -0.60),
    SCATTERING: Weights(0.35, 0.57, -0.19, -1.67),
}
"""The waves that are tried, of which that counts which leaves least, and what
is made of its rings; from docs/experiments.md, 10 and 11."""

WHITE = 4.0
"""What is left is taken for white where neighbours correlate by no more than so
many of the standard deviations that chance gives, 1 / sqrt(pixels of all maps):
Eq. 3 in white noise does nearly always, and cores show through noise."""

MOST_CORRELATED = 0.08
"""And by no more than this, where there are few pixels."""

HOPELESS = 0.12
"""Where more is left before positions are refined, refining would take seconds
and not make it white: of 177 fits that were, none began above 0.08."""

SURE = 0.05
"""Less sure detections are not where the fit begins."""

STOP = 3.0
"""The search for more rings ends at this score, see `as_score`; at 2 the most
that may be tried are, for three times the time and no more impurities."""

NEEDED = 0.2
"""Rings at least so probable to the fit are refined once more without the
others, which would only give them room to err."""

MARGIN_PX = 4
"""Rings may lie so far outside of the frame, or those of the border would be
taken for others inside."""

MAX_MAPS = 16
"""Of more maps, means of neighbours in k are fitted, for the time's sake."""

MOST_NUMBERS = 100_000_000
"""In the columns of a fit; a larger one would want too much memory."""

FIRST_STEPS, LAST_STEPS = 2, 6
PROMISING = 3.0
"""Positions are refined further where the first steps bring what is left within
so many times what would be white."""

SETTLED = 1.0
"""Refining ends where chi^2 of all maps changes by less: positions are then
within a fraction of their standard deviations, and rings that are none wander
on for ever."""

_LAGS = (0, 1), (1, 0), (1, 1), (1, -1), (0, 2), (2, 0)


class Refit(NamedTuple):
    """What a fit of rings made of detections.

    Attributes:
        detections: the surest first; those of the network where the fit is
            not believed.
        correlation: of neighbouring pixels in what the fit leaves, the
            largest of several lags, no unit; NaN where nothing was fitted.
        believed: whether what is left is white.
    """

    detections: Candidates
    correlation: float
    believed: bool

    @property
    def verdict(self) -> str:
        """What to say of it, in a line."""
        if math.isnan(self.correlation):
            return "no rings were fitted to the maps"
        left = f"neighbours correlate by {self.correlation:.2g} in the residual"
        if self.believed:
            return (
                "rings were fitted to all maps, and count for positions and "
                f"probabilities: {left}"
            )
        return f"rings were fitted to all maps, and count for nothing: {left}"


def refit_rings(
    maps: ArrayLike, q_rad_px: ArrayLike, found: Candidates
) -> Refit:
    """Fit rings to maps, and believe the fit where it may be.

    It begins with the detections, looks for more, and says of each how
    probable it is (`inclusion_probabilities`); that and what the network said
    are put together (`candidates`, `judged`).

    Args:
        maps: [V, H, W], float; NaN = not measured.
        q_rad_px: q = 2k of each map, [V] [rad/px]; 0 or NaN where unknown:
            such maps are left out.
        found: what the network detected in them.

    Raises:
        InputError: for maps or wave numbers that do not fit together.
    """
    # Small matrices: threads wait for each other longer than they compute.
    with threadpool_limits(limits=1, user_api="blas"):
        fit = fit_detections(maps, q_rad_px, found)
        if fit is None:
            return Refit(found, math.nan, False)
        correlation = residual_correlation(fit)
        if correlation > most_correlated(fit):
            return Refit(found, correlation, False)
        rings = judge(fit)
    measured: np.ndarray = np.any(np.isfinite(maps), axis=0)
    every = candidates(found, rings, measured)
    better = judged(every, WEIGHTS[fit.template])
    return Refit(better, correlation, True)


def fit_detections(
    maps: ArrayLike, q_rad_px: ArrayLike, found: Candidates
) -> RingFit | None:
    """Fit rings around detections, with the waves that leave least.

    Args:
        maps: see `refit_rings`.
        q_rad_px: see `refit_rings`.
        found: see `refit_rings`.

    Returns:
        Positions count from the corner of a frame larger by `MARGIN_PX` at
        each side. None where no map's q is known, or there is too
        much to fit.
    """
    stack, k = _known(np.asarray(maps), np.asarray(q_rad_px, np.float64))
    if not len(k):
        return None
    border = [(0, 0), (MARGIN_PX, MARGIN_PX), (MARGIN_PX, MARGIN_PX)]
    stack = np.pad(stack, border, constant_values=np.nan)
    most = most_rings(stack)
    if stack.size * (2 * most + 1) > MOST_NUMBERS:
        return None
    sure = np.flatnonzero(found.probabilities >= SURE)[:most]
    best = min(
        (_fitted(stack, k, wave, found.positions[sure]) for wave in WEIGHTS),
        key=lambda fit: float(np.log(fit.noise).mean()),
    )
    every = np.arange(len(sure))
    if residual_correlation(best) <= HOPELESS:
        best.refine(every, FIRST_STEPS, STEP_PX, SETTLED)
        if residual_correlation(best) <= PROMISING * most_correlated(best):
            best.refine(every, LAST_STEPS, STEP_PX, SETTLED)
    return best


def judge(fit: RingFit) -> Rings:
    """Look for more rings, and say how probable each is.

    Args:
        fit: as `fit_detections` gives it; it grows.
    """
    grow(fit, stop=STOP, settled=SETTLED)
    positions, deviations = fit.positions.copy(), fit.deviations()
    probabilities = inclusion_probabilities(fit, deviations)
    needed = probabilities >= NEEDED
    alone = fit.of(needed)
    every = np.arange(len(alone.positions))
    alone.refine(every, FINAL_STEPS, STEP_PX, SETTLED)
    positions[needed], deviations[needed] = alone.positions, alone.deviations()
    return Rings(positions - MARGIN_PX, deviations, probabilities)


def most_correlated(fit: RingFit) -> float:
    """Up to this correlation of neighbours what a fit leaves is white."""
    pixels = max(np.count_nonzero(fit.measured), 1)
    return min(MOST_CORRELATED, WHITE / math.sqrt(pixels))


def residual_correlation(fit: RingFit) -> float:
    """Largest correlation of neighbouring pixels in what a fit leaves."""
    left = fit.residual / fit.noise[:, None, None]
    return max(_correlation(left, fit.measured, lag) for lag in _LAGS)


def _fitted(
    stack: np.ndarray, k: np.ndarray, wave: RingTemplate, places: np.ndarray
) -> RingFit:
    fit = RingFit(stack, k, wave)
    fit.add(places + MARGIN_PX)
    return fit


def _known(
    maps: np.ndarray, q_rad_px: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Maps of known q, of equal spread, and their k; one empty map if none."""
    known = np.nan_to_num(q_rad_px) > 0
    if known.any():
        stack, k = standardised_maps(maps[known], q_rad_px[known] / 2)
        if len(k):
            return joined(stack, k, MAX_MAPS)
    return np.zeros((1, 0, 0)), np.zeros(0)


def _correlation(
    left: np.ndarray, seen: np.ndarray, lag: tuple[int, int]
) -> float:
    """Mean product of pixels so far apart, both measured."""
    down, right = lag
    height, width = left.shape[1:]
    one = np.s_[:, down:, max(right, 0) : width + min(right, 0)]
    other = np.s_[:, : height - down, max(-right, 0) : width - max(right, 0)]
    pairs = np.count_nonzero(seen[one] & seen[other])
    product = float((left[one] * left[other]).sum(dtype=np.float64))
    return abs(product) / max(pairs, 1)


def distinct(places: np.ndarray) -> np.ndarray:
    """Which places have no earlier one nearer than 1 px.

    Args:
        places: row and column, the surest first, float [n, 2] [px].

    Returns:
        bool [n].
    """
    kept = np.ones(len(places), dtype=bool)
    if len(places):
        near = np.nextafter(1.0, 0)
        pairs = KDTree(places).query_pairs(near, output_type="ndarray")
        kept[pairs.max(axis=1)] = False
    return kept
