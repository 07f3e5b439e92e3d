"""From rings at several biases to k(V): effective mass and band edge.

With k^2 = (2 m*/hbar^2) (eV - E0), k^2 is a straight line over eV: its slope
tells m*, its zero E0. Maps of one frame see the same impurities, so that
errors of their rings go together; all uncertainties here count that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.linalg import block_diag
from scipy.stats import theilslopes

from stm_keras.analysis.ring import UNMODELLED, Ring
from stm_keras.errors import InputError
from stm_keras.units import WAVE_NUMBER_PER_NM_PER_SQRT_EV

_SAME_BIAS_V = 1e-6
_OUTLIER = 4.0
_UNEVENNESS = 0.05  # relative in q: what is no outlier however precise it is
_MIN_FOR_OUTLIERS = 4


class Rings(NamedTuple):
    """Rings of several maps.

    Attributes:
        bias_v: [n] [V].
        q_per_nm: their radii 2k, [n] [rad/nm].
        covariance: of `q_per_nm`, [n, n] [rad^2/nm^2].
    """

    bias_v: NDArray[np.float64]
    q_per_nm: NDArray[np.float64]
    covariance: NDArray[np.float64]

    @property
    def sigma(self) -> NDArray[np.float64]:
        """Standard deviation of each radius [rad/nm], [n]."""
        return np.sqrt(np.diag(self.covariance))


@dataclass(frozen=True)
class Dispersion:
    """A fitted k(V).

    Attributes:
        effective_mass: m*/m_e, no unit.
        effective_mass_sigma: its standard deviation.
        band_edge_ev: E0 against the Fermi level [eV].
        band_edge_sigma_ev: its standard deviation [eV].
        correlation: of the two errors, no unit.
        n_rings: rings that were used.
        left_out: places of the rings that lie too far off the line.
    """

    effective_mass: float
    effective_mass_sigma: float
    band_edge_ev: float
    band_edge_sigma_ev: float
    correlation: float
    n_rings: int
    left_out: tuple[int, ...]

    def ring_per_nm(self, bias_v: ArrayLike) -> NDArray[np.float64]:
        """2k at biases [V], the same shape [rad/nm]; NaN below E0."""
        energy = np.asarray(bias_v, dtype=np.float64) - self.band_edge_ev
        energy = np.where(energy > 0, energy, np.nan) * self.effective_mass
        return 2 * WAVE_NUMBER_PER_NM_PER_SQRT_EV * np.sqrt(energy)


def rings_of_frames(
    frames: Sequence[Sequence[tuple[float, Ring]]],
) -> Rings:
    """Put rings together, with what ties their errors.

    Args:
        frames: for each frame, bias [V] and ring of its maps. Errors within
            a frame go together, those of different frames do not.
    """
    pairs = [pair for frame in frames for pair in frame]
    blocks = []
    for frame in frames:
        if frame:
            blocks.append(_covariance([ring for _, ring in frame]))
    return Rings(
        np.array([bias for bias, _ in pairs], dtype=np.float64),
        np.array([ring.q_per_nm for _, ring in pairs], dtype=np.float64),
        np.asarray(block_diag(*blocks)) if blocks else np.empty((0, 0)),
    )


def _covariance(rings: Sequence[Ring]) -> NDArray[np.float64]:
    """Of the radii of rings of one frame [rad^2/nm^2], [n, n]."""
    parts = np.stack([ring.deviations for ring in rings])
    q = np.array([ring.q_per_nm for ring in rings])
    steps = np.array([ring.step_per_nm for ring in rings])
    apart = (q[:, np.newaxis] - q) / np.sqrt(np.outer(steps, steps))
    unmodelled = UNMODELLED**2 * np.outer(steps, steps)
    return parts @ parts.T + unmodelled * np.exp(-(apart**2) / 2)


def n_biases(bias_v: ArrayLike) -> int:
    """Number of distinct biases [V] among any number of them."""
    bias = np.sort(np.asarray(bias_v, dtype=np.float64).ravel())
    return int(bias.size and 1 + (np.diff(bias) > _SAME_BIAS_V).sum())


def fit_dispersion(rings: Rings) -> Dispersion:
    """Fit k^2 = (2 m*/hbar^2) (eV - E0) by weighted least squares.

    Rings farther off than four standard deviations and 5 % of the robust line
    (Theil and Sen) are left out, where there are four or more.

    Args:
        rings: at two distinct biases or more.

    Returns:
        The fit, with uncertainties from the covariance of the rings.

    Raises:
        InputError: for fewer biases, or where k does not grow with the bias.
    """
    if n_biases(rings.bias_v) < 2:
        raise InputError(
            "k(V) needs rings at two biases or more. Received: "
            f"{n_biases(rings.bias_v)}."
        )
    used = _on_a_line(rings)
    (mass, offset), covariance = _straight_line(
        rings.bias_v[used],
        rings.q_per_nm[used],
        rings.covariance[np.ix_(used, used)],
    )
    if not mass > 0:
        raise InputError(
            "The rings do not grow with the bias, so no k(V) of electrons "
            "fits them. Check the channel and the biases."
        )
    edge = -offset / mass
    # d E0 = -(d offset + E0 d mass) / mass
    to_results = np.array([[1.0, 0.0], [-edge / mass, -1 / mass]])
    errors = to_results @ covariance @ to_results.T
    sigma = np.sqrt(np.diag(errors))
    return Dispersion(
        effective_mass=float(mass),
        effective_mass_sigma=float(sigma[0]),
        band_edge_ev=float(edge),
        band_edge_sigma_ev=float(sigma[1]),
        correlation=float(errors[0, 1] / (sigma[0] * sigma[1])),
        n_rings=int(used.sum()),
        left_out=tuple(int(i) for i in np.flatnonzero(~used)),
    )


def _straight_line(
    bias_v: np.ndarray, q_per_nm: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """m*/m_e and -(m*/m_e) E0 [eV], [2], and their covariance, [2, 2]."""
    # y = k^2 = q^2 / 4, in units in which the slope is m*/m_e.
    unit = 4 * WAVE_NUMBER_PER_NM_PER_SQRT_EV**2
    steepness = 2 * q_per_nm / unit
    covariance = covariance * np.outer(steepness, steepness)
    terms = np.stack([bias_v, np.ones_like(bias_v)], axis=1)
    weights = 1 / np.diag(covariance)
    gain = np.linalg.pinv((terms.T * weights) @ terms) @ (terms.T * weights)
    return gain @ (q_per_nm**2 / unit), gain @ covariance @ gain.T


def _on_a_line(rings: Rings) -> NDArray[np.bool_]:
    """Rings that lie near the line of most of them, bool [n]."""
    n = rings.bias_v.size
    if n < _MIN_FOR_OUTLIERS:
        return np.ones(n, dtype=np.bool_)
    y = rings.q_per_nm**2
    line = theilslopes(y, rings.bias_v)
    slope, offset = float(line.slope), float(line.intercept)
    allowed = (
        2
        * rings.q_per_nm
        * np.maximum(_OUTLIER * rings.sigma, _UNEVENNESS * rings.q_per_nm)
    )
    used = np.abs(y - (slope * rings.bias_v + offset)) <= allowed
    enough = used.sum() >= max(2, n / 2) and n_biases(rings.bias_v[used]) > 1
    return used if enough else np.ones(n, dtype=np.bool_)
