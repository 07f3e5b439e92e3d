"""Waves scattered by impurities, and their exact derivatives.

Point scatterers in a two-dimensional electron gas (G. A. Fiete and E. J.
Heller, Rev. Mod. Phys. 75, 933 (2003), doi:10.1103/RevModPhys.75.933). With
c_j = s t_j, the amplitude of an impurity in the map's own unit, and
kappa = 1 / s the strength of the scattering between impurities, the
modulation of a map is

    m(r) = Re h^T C u,  u = (1 - kappa G C)^-1 h,  C = diag(c)
    h_j(r) = H0^(1)(k |r - r_j|) exp(-gamma |r - r_j|),  gamma = 1 / (2 l)
    G_ij = h_i(r_j),  G_ii = 0

kappa = 0 is single scattering, linear in c; kappa = 1 in units of the clean
LDOS is the T-matrix of `stm_keras.simulation.scattering`. With g = C u:

    dm/dc_j     = u_j^2                (its real part, and i times it)
    dm/dr_j     = 2 g_j (dh_j/dr_j + kappa sum_i dG_ij/dr_j g_i)
    dm/dk       = 2 g^T dh/dk + kappa g^T dG/dk g;  gamma likewise
    dm/dkappa   = g^T G g

Lengths are in px, wave numbers in rad/px.
"""

from typing import NamedTuple

import numpy as np

from stm_keras.waves.hankel import (
    ROWS,
    STEP,
    Places,
    Table,
    hankel,
    look_up,
    tables,
)

_NEAREST_PX = 0.05
"""Pixels nearer to an impurity count as that far: H0 diverges as ln r."""


class Medium(NamedTuple):
    """What electrons move in at one bias.

    Attributes:
        k: wave number [rad/px].
        gamma: damping 1 / (2 l) of a wave, l the mean free path [1/px].
        kappa: strength of the scattering between impurities, the inverse of
            the map's scale [1/unit of the map].
    """

    k: float
    gamma: float = 0.0
    kappa: float = 0.0


class Scattered(NamedTuple):
    """The waves of one map.

    Attributes:
        modulation: m at each pixel, float32 [P], in the map's unit.
        u: local wave at each impurity's place in the sum, complex64 [n, P].
        g: c u, complex64 [n, P].
        h: circular waves, complex64 [n, P].
        slope: dh/dr, complex64 [n, P] [1/px].
        G: between impurities, complex128 [n, n].
        G_slope: dG/dr, complex128 [n, n] [1/px].
    """

    modulation: np.ndarray
    u: np.ndarray
    g: np.ndarray
    h: np.ndarray
    slope: np.ndarray
    G: np.ndarray
    G_slope: np.ndarray


def distances(positions: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """From each of n positions to each of P pixels, float32 [n, P] [px]."""
    rows = (positions[:, :1] - pixels[:, 0]).astype(np.float32)
    cols = (positions[:, 1:] - pixels[:, 1]).astype(np.float32)
    rows *= rows
    cols *= cols
    rows += cols
    np.sqrt(rows, out=rows)
    return np.maximum(rows, np.float32(_NEAREST_PX), out=rows)


def circular(r: np.ndarray, medium: Medium) -> tuple[np.ndarray, np.ndarray]:
    """Waves h and dh/dr at distances r [px], complex64, the shape of `r`."""
    k = np.float32(medium.k)
    most = float(r.max(initial=0.0)) * float(k)
    wave, slope = (np.empty(r.shape, np.complex64) for _ in range(2))
    # One table of the medium is shorter than the distances are many.
    of_wave, of_slope = _damped(most, medium)
    spare = np.empty((ROWS, *r.shape[1:]), np.complex64)
    for first in range(0, len(r), ROWS):
        own = slice(first, first + ROWS)
        at = Places.of(r[own] * k, STEP)
        look_up(of_wave, at, wave[own], spare)
        look_up(of_slope, at, slope[own], spare)
    return wave, slope


def _damped(most: float, medium: Medium) -> tuple[Table, Table]:
    """Tables of h and dh/dr over x = k r."""
    zero, one = tables(most)
    k, gamma = medium.k, medium.gamma
    x = STEP * np.arange(len(zero.values))
    damping = np.exp(-gamma / k * x).astype(np.float32)
    h = zero.values * damping
    slope = np.float32(-k) * one.values * damping - np.float32(gamma) * h
    return _steps(h), _steps(slope)


def _steps(values: np.ndarray) -> Table:
    return Table(values[:-1], np.diff(values))


def damped_waves(step: float, most: float, medium: Medium) -> Table:
    """Waves at distances 0, `step`, 2 `step` and on, beyond `most` [px]."""
    r = step * np.arange(int(most / step) + 3)
    h, _ = hankel((medium.k * r).astype(np.float32), slope=False)
    return _steps(h * np.exp(-medium.gamma * r).astype(np.float32))


def between(
    positions: np.ndarray, medium: Medium
) -> tuple[np.ndarray, np.ndarray]:
    """G and dG/dr of n impurities, complex128 [n, n], 0 on the diagonal."""
    n = len(positions)
    G, slope = circular(distances(positions, positions), medium)
    off = 1 - np.eye(n)
    return G * off, slope * off


def scatter(
    c: np.ndarray, positions: np.ndarray, r: np.ndarray, medium: Medium
) -> Scattered:
    """Waves of impurities at pixels.

    Args:
        c: complex amplitudes in the map's unit [n].
        positions: of the impurities, row and column [n, 2] [px].
        r: `distances` of these to the pixels, float32 [n, P] [px].
        medium: see `Medium`.
    """
    h, slope = circular(r, medium)
    n = len(c)
    if medium.kappa:
        G, G_slope = between(positions, medium)
        orders = np.linalg.inv(np.eye(n) - medium.kappa * G * c)
        u = orders.astype(np.complex64) @ h
    else:
        G = G_slope = np.zeros((n, n), np.complex128)
        u = h
    g = np.asarray(c, np.complex64)[:, None] * u
    return Scattered(_form(h, g), u, g, h, slope, G, G_slope)


def amplitude_columns(waves: Scattered) -> np.ndarray:
    """dm/d Re c_j, then dm/d Im c_j, float32 [2n, P]."""
    square = waves.u * waves.u
    return np.concatenate([square.real, -square.imag])


def position_columns(
    waves: Scattered,
    positions: np.ndarray,
    pixels: np.ndarray,
    r: np.ndarray,
    kappa: float,
) -> np.ndarray:
    """dm/d row_j, then dm/d col_j, float32 [2n, P] [1/px]."""
    n = len(positions)
    apart = positions[:, None] - positions  # [n, n, 2], from i to j
    length = np.maximum(np.linalg.norm(apart, axis=-1), _NEAREST_PX)
    columns = np.empty((2 * n, r.shape[1]), np.float32)
    # 2 g dh/dr / r, of which each axis takes its part.
    radial = waves.g * waves.slope
    along = 2 * radial.real / r
    for axis in range(2):
        out = columns[axis * n : (axis + 1) * n]
        own, at = (p[:, axis].astype(np.float32) for p in (positions, pixels))
        np.subtract(own[:, None], at, out=out)
        out *= along
        if kappa:
            dG = 2 * kappa * waves.G_slope * apart[..., axis] / length
            out += _products(waves.g, dG.astype(np.complex64) @ waves.g)
    return columns


def medium_columns(
    waves: Scattered, positions: np.ndarray, r: np.ndarray, medium: Medium
) -> np.ndarray:
    """dm/dk, dm/dgamma and dm/dkappa, float32 [3, P]."""
    apart = distances(positions, positions).astype(np.float64)
    gamma = np.float32(medium.gamma)
    far = waves.g * r
    # dh/dk = r (dh/dr + gamma h) / k, dh/dgamma = -r h; G likewise.
    by_gamma = -2 * _form(far, waves.h)
    by_k = 2 * _form(far, waves.slope) - gamma * by_gamma
    out = [by_k / np.float32(medium.k), by_gamma]
    if medium.kappa:
        G_k = apart * (waves.G_slope + medium.gamma * waves.G) / medium.k
        for place, dG in enumerate((G_k, -apart * waves.G)):
            dG = (medium.kappa * dG).astype(np.complex64)
            out[place] += _form(waves.g, dG @ waves.g)
        # kappa G g is what u has beyond h.
        higher = _form(waves.g, waves.u) - _form(waves.g, waves.h)
        out.append(higher / np.float32(medium.kappa))
    else:
        G, _ = between(positions, medium)
        out.append(_form(waves.g, G.astype(np.complex64) @ waves.g))
    return np.stack(out).astype(np.float32)


def _products(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Re(a b), float32, of the shape of both."""
    return (a * b).real


def _form(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Re sum_j a_j b_j at each pixel, float32 [P]."""
    return (a * b).sum(axis=0).real.astype(np.float32)
