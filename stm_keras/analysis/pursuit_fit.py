"""A fit of rings to a stack that grows and moves."""

import numpy as np

from stm_keras.ring_model import (
    NormalEquations,
    RingTemplate,
    pixel_grid,
    position_slopes,
    rays,
    ring_columns,
    solve_normal,
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
