"""Standing waves around point scatterers, multiple scattering included.

Free two-dimensional electrons and s-wave point scatterers, solved exactly
(G. A. Fiete and E. J. Heller, Rev. Mod. Phys. 75, 933 (2003),
doi:10.1103/RevModPhys.75.933). In units of the clean surface's LDOS:

    LDOS(r) = 1 + Re sum_ij h_i(r) T_ij h_j(r)
    h_i(r)  = H0^(1)(k |r - r_i|) exp(-|r - r_i| / 2l)
    T       = (1 - t G)^(-1) t,  G_ij = h_i(r_j),  G_ii = 0
    t_j     = (exp(2 i delta_j - 2 a_j) - 1) / 2

Lengths are in pixels and wave numbers in rad/px. What dI/dV maps show, the
modulation, is LDOS - 1.

Three parts: the outgoing wave H0^(1) by a table (`hankel0`, `RadialGrid`),
what scatters (`Scatterers`, `t_amplitude`), and the sum over all waves of all
impurities (`t_matrix`, `superpose`, `ldos`). Nearly all the time of a
simulation is spent in `superpose`, so its arrays are cut to what fits the
processor's cache, and T is folded into a triangle.

H0^(1)(x) = a(x) exp(ix) with an amplitude a that does not oscillate: for
small x it is linear in ln x, for large x it is sqrt(2 / (pi i x)) (NIST
DLMF 10.2.5, 10.8.2). A table of a, uniform in ln x and interpolated
linearly, therefore serves every x. A field needs H0^(1)(k r) for many wave
numbers k at the same distances r: `RadialGrid` lays one grid over r for all
k, so that cell and place of the interpolation are found once for each
distance; what is left for each k is the wave on the grid, two gathers and
one multiplication.
"""

import math
from dataclasses import dataclass, field
from functools import cache

import numpy as np
from numpy.typing import ArrayLike
from scipy import special
from scipy.spatial.distance import pdist
from threadpoolctl import ThreadpoolController

from stm_keras.errors import InputError

MAX_ARGUMENT = 1e4
"""Above it float32 no longer resolves the phase of exp(ix)."""

TABLE_ERROR = 8e-6
"""Largest interpolation error that a `RadialGrid` is laid out for."""

_MIN_LOG = math.log(1e-6)  # below, a is linear in ln x: extrapolated
_LOG_STEP = 0.004  # interpolation error of a: below 2e-6
_BLOCK = 16384  # arguments worked on at once


@cache
def _amplitudes() -> tuple[np.ndarray, np.ndarray]:
    """Values of a = exp(-ix) H0(x) on the grid of ln x, and their steps."""
    count = math.ceil((math.log(MAX_ARGUMENT) - _MIN_LOG) / _LOG_STEP) + 2
    x = np.exp(_MIN_LOG + _LOG_STEP * np.arange(count))
    values = special.hankel1e(0, x)
    return values.astype(np.complex64), np.diff(values).astype(np.complex64)


def interpolate(
    values: np.ndarray,
    steps: np.ndarray,
    index: np.ndarray,
    place: np.ndarray,
    out: tuple[np.ndarray, np.ndarray] | None = None,
) -> np.ndarray:
    """values[index] + place * steps[index], in few passes over memory.

    Args:
        values: a wave on a grid, complex64 [M].
        steps: from each of its points to the next, complex64 [M - 1].
        index: cells, intp [...]; each lies in 0 .. M - 2.
        place: within the cell, float32 [...].
        out: two work arrays, complex64 [...]; the first gets the result.

    Returns:
        The wave, complex64 [...].
    """
    if out is None:
        wave, base = (np.empty(index.shape, np.complex64) for _ in range(2))
    else:
        wave, base = out
    # `mode="clip"` is NumPy's fast way; the indices lie inside anyway.
    steps.take(index, mode="clip", out=wave)
    wave *= place
    wave += values.take(index, mode="clip", out=base)
    return wave


def _wave(phase: np.ndarray, log_x: np.ndarray) -> np.ndarray:
    """a(x) exp(i phase), complex64 [n], from float32 arrays [n]."""
    values, steps = _amplitudes()
    place = log_x - np.float32(_MIN_LOG)
    place *= np.float32(1 / _LOG_STEP)
    cell = np.floor(place)
    np.maximum(cell, 0, out=cell)
    place -= cell  # below the table it is negative: that extrapolates
    wave = np.empty(phase.shape, np.complex64)
    np.cos(phase, out=wave.real)
    np.sin(phase, out=wave.imag)
    wave *= interpolate(values, steps, cell.astype(np.intp), place)
    return wave


def hankel0(x: ArrayLike) -> np.ndarray:
    """Hankel function of the first kind and order zero, H0^(1)(x).

    Args:
        x: arguments in (0, 10000], any shape; used in float32, no unit.

    Returns:
        H0^(1)(x), complex64, the shape of `x`; the error against
        `scipy.special.hankel1` is below 1e-5 (tested from 1e-6 to 10000).

    Raises:
        InputError: for an argument outside (0, 10000].
    """
    x = np.asarray(x, dtype=np.float32)
    if x.size and not (x.min() > 0 and x.max() <= MAX_ARGUMENT):
        raise InputError(
            f"`x` of `hankel0` must lie in (0, {MAX_ARGUMENT:g}]. Received: "
            f"from {x.min():g} to {x.max():g}. Are k and r both in pixels?"
        )
    flat = x.reshape(-1)
    wave = np.empty(flat.shape, np.complex64)
    for start in range(0, flat.size, _BLOCK):  # a block stays in the cache
        block = slice(start, start + _BLOCK)
        wave[block] = _wave(flat[block], np.log(flat[block]))
    return wave.reshape(x.shape)


def check_reach(max_k: float, max_r: float) -> None:
    """Refuse distances at which float32 does not resolve the phase.

    Args:
        max_k: the largest wave number [rad/px].
        max_r: the largest distance [px].

    Raises:
        InputError: where max_k * max_r is beyond `MAX_ARGUMENT`.
    """
    if not max_k * max_r <= MAX_ARGUMENT:
        raise InputError(
            f"Waves of k = {max_k:.3g} rad/px are computed as far as "
            f"{MAX_ARGUMENT / max_k:.4g} px from an impurity, and "
            f"{max_r:.4g} px are asked for. Take a smaller frame and margin."
        )


class RadialGrid:
    """A grid over the distance r that serves several wave numbers.

    It is uniform in sqrt(r): close near r = 0, where the wave diverges as
    ln r, and as close as the oscillation asks for far out.

    Attributes:
        r: distances of the grid's points, float64 [M], px.
    """

    def __init__(self, max_k: float, min_r: float, max_r: float) -> None:
        """Lay the grid.

        Args:
            max_k: the largest wave number [rad/px].
            min_r: the smallest distance, above 0 [px].
            max_r: the largest distance [px].

        Raises:
            InputError: where max_k * max_r is beyond `MAX_ARGUMENT`.
        """
        check_reach(max_k, max_r)
        self._start = math.sqrt(min_r)
        end = math.sqrt(max(max_r, min_r))
        # |d^2 H / d sqrt(r)^2| is at most 4 / (pi r) from the logarithm and
        # 4 k^2 r sqrt(2 / (pi k r)) from the oscillation; an interpolated
        # line misses by at most an eighth of it times the spacing squared.
        bend = max(
            4 / (math.pi * min_r),
            4 * math.sqrt(2 / math.pi) * max_k**1.5 * end,
        )
        self._spacing = math.sqrt(8 * TABLE_ERROR / bend)
        count = math.ceil((end - self._start) / self._spacing) + 2
        self.r = (self._start + self._spacing * np.arange(count)) ** 2
        self._log_r = np.log(self.r)

    def locate(self, r_squared: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cell and place in the cell, the same for every wave number.

        Args:
            r_squared: squared distances, float32 [...], px^2; overwritten.
                Distances beyond the grid's ends count as the ends.

        Returns:
            index: of the cell, intp [...].
            place: within the cell, in [0, 1], float32 [...].
        """
        place = np.sqrt(np.sqrt(r_squared, out=r_squared), out=r_squared)
        place -= np.float32(self._start)
        place *= np.float32(1 / self._spacing)
        end = np.nextafter(np.float32(len(self.r) - 1), np.float32(0))
        np.clip(place, 0, end, out=place)
        cell = np.floor(place)
        place -= cell
        return cell.astype(np.intp), place

    def wave(
        self, k: float, mean_free_path: float = math.inf
    ) -> tuple[np.ndarray, np.ndarray]:
        """H0^(1)(k r) exp(-r / 2l) on the grid, ready for `interpolate`.

        Args:
            k: wave number, above 0 and at most the grid's [rad/px].
            mean_free_path: l, above 0 [px]; `inf` for no damping.

        Returns:
            values: complex64 [M].
            steps: from each point to the next, complex64 [M - 1].
        """
        log_x = (self._log_r + math.log(k)).astype(np.float32)
        values = _wave((k * self.r).astype(np.float32), log_x)
        if math.isfinite(mean_free_path):
            decay = -0.5 / mean_free_path
            values *= np.exp((decay * self.r).astype(np.float32))
        return values, np.diff(values)


@dataclass(frozen=True)
class Scatterers:
    """Impurities, those outside the frame that scatter into it included.

    Attributes:
        positions: (row, col) of each [n, 2], px; the centre of the top left
            pixel is (0, 0), and positions may lie outside the frame.
        delta: phase shift of each at each energy [V, n], rad.
        absorption: a >= 0 of each [n], or at each energy [V, n], no unit;
            `inf` makes the black dot, t = -1/2.
        species: number of the kind of each, int [n]; empty where every
            impurity is a kind of its own.
        kappa: decay of the bound state that belongs to the phase shift,
            float64 [n], rad/px; NaN or empty where there is none.

    Raises:
        InputError: for shapes that do not fit, or numbers that cannot be.
    """

    positions: np.ndarray
    delta: np.ndarray
    absorption: np.ndarray
    species: np.ndarray = field(default_factory=lambda: np.empty(0, int))
    kappa: np.ndarray = field(default_factory=lambda: np.empty(0))

    def __post_init__(self) -> None:
        n = len(self.positions)
        if self.positions.shape != (n, 2) or self.delta.shape[1:] != (n,):
            raise InputError(
                "`positions` must be [n, 2] and `delta` [V, n]. Received "
                f"shapes {self.positions.shape} and {self.delta.shape}."
            )
        if self.absorption.shape not in {(n,), self.delta.shape}:
            raise InputError(
                f"`absorption` must be [n] or [V, n] = {self.delta.shape}. "
                f"Received shape {self.absorption.shape}."
            )
        if not all(np.isfinite(a).all() for a in (self.positions, self.delta)):
            raise InputError("`positions` and `delta` must be finite numbers.")
        if not (self.absorption >= 0).all():
            raise InputError(
                f"`absorption` must be 0 or more. Received: "
                f"{self.absorption.min():g}."
            )


@dataclass(frozen=True)
class Contour:
    """A constant-energy contour that is no circle.

    An ellipse is exact: with two masses, lengths in units of each axis's own
    wave length make the electrons free again. Hexagonal warping is taken to
    first order: a wave in the direction theta has k times 1 + w cos 6 theta,
    the support function of the warped contour.

    Attributes:
        axis_ratio: of the long axis of k to the short one, 1 or more; the
            mean of both, as a product, stays k.
        axis_angle_rad: of the long axis of k against a row, rad.
        warping: w, no unit.
        warping_angle_rad: of a corner of the hexagon against a row, rad.
    """

    axis_ratio: float = 1.0
    axis_angle_rad: float = 0.0
    warping: float = 0.0
    warping_angle_rad: float = 0.0

    @property
    def widest(self) -> float:
        """The largest k over the mean one, no unit."""
        return math.sqrt(self.axis_ratio) * (1 + abs(self.warping))

    def squares(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Squared distances that k times make the phase of a wave, px^2.

        Args:
            row: differences of rows [px].
            col: likewise of columns; both are broadcast.
        """
        c, s = math.cos(self.axis_angle_rad), math.sin(self.axis_angle_rad)
        along, across = c * col + s * row, c * row - s * col
        squares = self.axis_ratio * along**2 + across**2 / self.axis_ratio
        if self.warping:
            angle = np.arctan2(row, col) - self.warping_angle_rad
            squares = squares * (1 + self.warping * np.cos(6 * angle)) ** 2
        return squares


CIRCLE = Contour()
"""That of free electrons."""


def t_amplitude(delta: ArrayLike, absorption: ArrayLike = 0.0) -> np.ndarray:
    """Scattering amplitude t = (exp(2 i delta - 2 a) - 1) / 2.

    Without absorption it conserves particles: |1 + 2t| = 1, Re t = -|t|^2.

    Args:
        delta: phase shift, rad.
        absorption: a >= 0, no unit; `inf` gives the black dot, t = -1/2.

    Returns:
        t, complex128, the common shape of both.
    """
    delta, absorption = np.asarray(delta), np.asarray(absorption)
    return (np.exp(-2 * absorption) * np.exp(2j * delta) - 1) / 2


def bound_phase_shift(wave_number: ArrayLike, kappa: ArrayLike) -> np.ndarray:
    """Phase shift of a point scatterer by its bound state.

    In two dimensions the two belong together: cot(delta) = (1/pi) ln(E/E_b),
    E and E_b counted from the band's edge, so that E / E_b = (k / kappa)^2.
    It is pi/2 where E = E_b, falls towards 0 as 1 / ln E far above, and rises
    to pi far below.

    Args:
        wave_number: k, any unit.
        kappa: sqrt(2 m* E_b) / hbar, the unit of k; broadcast with it.

    Returns:
        delta in (0, pi), rad, float64.
    """
    ratio = np.asarray(wave_number, np.float64) / np.asarray(kappa)
    return np.arctan2(math.pi, 2 * np.log(ratio))


def check_distances(positions: np.ndarray, min_distance_px: float) -> None:
    """Refuse impurities that lie closer than their cores allow.

    Args:
        positions: (row, col) [n, 2], px.
        min_distance_px: the smallest distance allowed, above 0 [px].

    Raises:
        InputError: where two are closer; the message says which.
    """
    distances = pdist(positions)
    if distances.size and distances.min() < min_distance_px:
        first, second = np.triu_indices(len(positions), 1)
        at = int(distances.argmin())
        raise InputError(
            f"Impurities {first[at]} and {second[at]} are "
            f"{distances[at]:.3g} px apart, closer than the core of "
            f"{min_distance_px:g} px. Move one, or lower `min_distance_px`."
        )


GUARD_RADIUS_PX = 0.05
"""H0^(1) diverges as ln r on a scatterer: nearer pixels count as this far."""

_PAIRS = 32768  # (impurity, pixel) pairs worked on at once: fits the cache
_ROWS = 32  # of a triangle multiplied at once; more multiply more zeros


@cache
def _libraries() -> ThreadpoolController:
    """Those loaded; to look for them takes as long as a small field."""
    return ThreadpoolController()


def superpose(
    T: np.ndarray,
    k: np.ndarray,
    length: np.ndarray,
    positions: np.ndarray,
    shape: tuple[int, int],
    contour: Contour = CIRCLE,
) -> np.ndarray:
    """LDOS = 1 + Re sum_ij h_i T_ij h_j of all waves of all impurities.

    Args:
        T: all orders of scattering between impurities, complex64 [V, n, n].
        k: wave numbers [V], rad/px.
        length: mean free path l [V], px; `inf` for no damping.
        positions: (row, col) of the impurities [n, 2], px; n of 1 or more.
        shape: (height, width) of the frame, px.
        contour: of constant energy.

    Returns:
        LDOS, float32 [V, H, W], in units of the clean one.
    """
    grid, blocks = _blocks(positions, shape, contour, float(k.max()))
    work = np.empty((2, max(i.size for i, _ in blocks)), np.complex64)
    out = np.empty((len(k), shape[0] * shape[1]), np.float32)
    for v, half in enumerate(_folded(T)):
        values, steps = grid.wave(k[v], length[v])
        done = 0
        for index, place in blocks:
            h, Th = work[:, : index.size].reshape(2, *index.shape)
            interpolate(values, steps, index, place, out=(h, Th))
            _multiply(half, h, Th)
            end = done + index.shape[1]
            _sum_products(h, Th, out[v, done:end])
            done = end
    out += 1
    return out.reshape(len(k), *shape)


def _blocks(
    positions: np.ndarray,
    shape: tuple[int, int],
    contour: Contour,
    max_k: float,
) -> tuple[RadialGrid, list[tuple[np.ndarray, np.ndarray]]]:
    """A grid over r, and where on it each impurity sees some rows' pixels."""
    n = len(positions)
    down = np.arange(shape[0]) - positions[:, :1]
    right = np.arange(shape[1]) - positions[:, 1:]
    rows, cols = down**2, right**2
    farthest = math.sqrt((rows.max(axis=1) + cols.max(axis=1)).max())
    grid = RadialGrid(max_k, GUARD_RADIUS_PX, farthest * contour.widest)
    rows, cols = rows.astype(np.float32), cols.astype(np.float32)
    count = math.ceil(shape[0] / max(1, _PAIRS // (n * shape[1])))
    step = math.ceil(shape[0] / count)  # all as high, but for the last one
    blocks = []
    for top in range(0, shape[0], step):
        some = slice(top, top + step)
        if contour == CIRCLE:
            squares = rows[:, some, None] + cols[:, None, :]
        else:
            squares = contour.squares(
                down[:, some, None], right[:, None, :]
            ).astype(np.float32)
        blocks.append(grid.locate(squares.reshape(n, -1)))
    return grid, blocks


def _folded(T: np.ndarray) -> np.ndarray:
    """T with all below its diagonal added to what mirrors it, [V, n, n].

    sum_ij h_i T_ij h_j stays, and half of the products suffice.
    """
    folded = np.triu(T + T.swapaxes(1, 2), 1)
    at = np.arange(T.shape[1])
    folded[:, at, at] = T[:, at, at]
    return folded


def _sum_products(h: np.ndarray, Th: np.ndarray, out: np.ndarray) -> None:
    """Re sum_i h_i (Th)_i for h, Th [n, m] into out [m]."""
    # Re(a b) = Re a Re b - Im a Im b: products of the parts only.
    total = np.einsum("ij,ij->j", h.view(np.float32), Th.view(np.float32))
    np.subtract(total[::2], total[1::2], out=out)


def _multiply(T: np.ndarray, h: np.ndarray, out: np.ndarray) -> None:
    """T @ h for an upper triangle T [n, n] and h [n, m]."""
    for top in range(0, len(T), _ROWS):
        some = slice(top, top + _ROWS)
        np.matmul(T[some, top:], h[top:], out=out[some])


MIN_DISTANCE_PX = 0.5
"""Default of the smallest distance between two impurities."""


def check_sampling(
    wave_number: ArrayLike, pixel_nm: float | None = None
) -> None:
    """Refuse wave numbers that are not real or too large for the pixel.

    Args:
        wave_number: k, rad/px, any shape. Rings have the wave number 2k,
            and pixels show no more than pi rad/px (Nyquist).
        pixel_nm: width of a pixel [nm], for the message only.

    Raises:
        InputError: where 2k > pi, with a pixel that would do, or where k is
            not a positive number.
    """
    k = np.asarray(wave_number, np.float64)
    if not (np.isfinite(k) & (k > 0)).all():
        raise InputError(
            "Wave numbers must be positive numbers [rad/px]: every energy "
            f"must lie above the band edge. Received: {k.min():g}."
        )
    ratio = math.pi / (2 * k.max())
    if ratio < 1:
        # Rounded down, so that the pixel named really does.
        enough = (
            f"{math.floor(ratio * 1000) / 1000:g} times as wide"
            if pixel_nm is None
            else f"{math.floor(ratio * pixel_nm * 1e4) / 1e4:g} nm wide"
        )
        raise InputError(
            f"The pixel is too coarse: the rings reach 2k = {2 * k.max():.4g} "
            "rad/px, and above pi rad/px they alias. Take pixels "
            f"{enough}, or leave out the highest energies."
        )


def t_matrix(
    scatterers: Scatterers,
    k: np.ndarray,
    mean_free_path: np.ndarray,
    contour: Contour = CIRCLE,
) -> np.ndarray:
    """T = (1 - t G)^(-1) t, all orders of scattering between impurities.

    Args:
        scatterers: n impurities at V energies.
        k: wave numbers [V], rad/px.
        mean_free_path: l [V], px; `inf` for no damping.
        contour: of constant energy.

    Returns:
        T, complex128 [V, n, n].
    """
    t = t_amplitude(scatterers.delta, scatterers.absorption)
    positions = np.asarray(scatterers.positions, np.float64)
    n = len(positions)
    first, second = np.triu_indices(n, 1)
    waves = np.zeros((len(k), 1 + len(first)), np.complex64)
    if n > 1:
        apart = (positions[first] - positions[second]).T
        r = np.sqrt(contour.squares(*apart))
        check_reach(float(k.max()), float(r.max()))
        decay = (-0.5 / mean_free_path[:, None]).astype(np.float32)
        waves[:, 1:] = hankel0(k[:, None] * r)
        waves[:, 1:] *= np.exp(decay * r.astype(np.float32))
    # The waves' first column is the diagonal's.
    pair = np.zeros((n, n), np.intp)
    pair[first, second] = pair[second, first] = 1 + np.arange(len(first))
    G = waves.take(pair, axis=1).astype(np.complex128)
    one = np.eye(n)
    return np.linalg.solve(one - t[:, :, None] * G, t[:, :, None] * one)


def ldos(
    scatterers: Scatterers,
    *,
    wave_number: ArrayLike,
    shape: tuple[int, int],
    mean_free_path: ArrayLike = math.inf,
    min_distance_px: float = MIN_DISTANCE_PX,
    contour: Contour = CIRCLE,
) -> np.ndarray:
    """Local density of states around scatterers, in units of the clean one.

    Args:
        scatterers: n impurities at V energies; none gives a flat map.
        wave_number: k of each energy [V], rad/px.
        shape: (height, width) of the frame, px.
        mean_free_path: l, one for all energies or [V], px; `inf` for no
            damping.
        min_distance_px: impurities may not be closer than this.
        contour: of constant energy; `wave_number` is its mean.

    Returns:
        LDOS, float32 [V, H, W]; 1 is the clean surface. Pixels within
        0.05 px of a scatterer, where the wave diverges as ln r, count as
        that far (`superposition.GUARD_RADIUS_PX`).

    Raises:
        InputError: where 2k > pi rad/px, impurities are closer than
            `min_distance_px` or thousands of pixels away, or shapes do not
            fit.
    """
    k = np.asarray(wave_number, np.float64)
    length = np.asarray(mean_free_path, np.float64)
    if k.shape != scatterers.delta.shape[:1] or length.shape not in {
        (),
        k.shape,
    }:
        raise InputError(
            f"`wave_number` must be [V] and `mean_free_path` one number or "
            f"[V], V = {len(scatterers.delta)}. Received shapes {k.shape} "
            f"and {length.shape}."
        )
    if not (length > 0).all():
        raise InputError(
            f"`mean_free_path` must be above 0 px. Received: {length.min():g}."
        )
    check_sampling(k * contour.widest)
    check_distances(scatterers.positions, min_distance_px)
    if not len(scatterers.positions):
        return np.ones((len(k), *shape), np.float32)
    length = np.broadcast_to(length, k.shape)
    # Small matrices: threads wait for each other longer than they compute.
    with _libraries().limit(limits=1, user_api="blas"):
        T = t_matrix(scatterers, k, length, contour).astype(np.complex64)
        return superpose(T, k, length, scatterers.positions, shape, contour)
