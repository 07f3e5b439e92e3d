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

from stm_keras import surfaces
from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.qpi.ring import UNMODELLED, Ring, measure_ring
from stm_keras.qpi.spots import ring_or_spots
from stm_keras.surfaces import SURFACES, Surface
from stm_keras.units import WAVE_NUMBER_PER_NM_PER_SQRT_EV

_SAME_BIAS_V = 1e-6
_OUTLIER = 4.0
_UNEVENNESS = 0.05  # relative in q: what is no outlier however precise it is
_MIN_FOR_OUTLIERS = 4


class Rings(NamedTuple):
    """Rings of several maps.

    Attributes:
        bias_v: [n] [V].
        q_per_nm: their radii q = 2k, [n] [rad/nm].
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

    def q_per_nm(self, bias_v: ArrayLike) -> NDArray[np.float64]:
        """The q = 2k at biases [V], the same shape [rad/nm]; NaN below E0."""
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
    from scipy.stats import theilslopes  # half a second to import

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


MATCH_TOLERANCE = 0.05
"""Relative error of lengths that a scanner may well have: rings of a surface
may lie so far off, and two standard deviations farther."""


@dataclass(frozen=True)
class Deviation:
    """How far measured rings lie from those of a surface.

    Attributes:
        name: key of `SURFACES`, or as the user gave its numbers.
        surface: the surface.
        relative: mean of (measured - expected) / expected, no unit.
        relative_sigma: its standard deviation.
        typical: root of the weighted median of its square, no unit.
        n_below_edge: rings found where the surface has no states.
    """

    name: str
    surface: Surface
    relative: float
    relative_sigma: float
    typical: float
    n_below_edge: int

    @property
    def fits(self) -> bool:
        """Whether the rings may well be those of this surface."""
        allowed = MATCH_TOLERANCE + 2 * self.relative_sigma
        return self.n_below_edge == 0 and self.typical <= allowed


def deviations_from_surfaces(rings: Rings) -> list[Deviation]:
    """Compare rings with every known surface, the nearest first.

    Args:
        rings: one or more.
    """
    found = [deviation_from(name, s, rings) for name, s in SURFACES.items()]
    return sorted(found, key=lambda d: (d.n_below_edge, d.typical))


def deviation_from(name: str, surface: Surface, rings: Rings) -> Deviation:
    """Compare rings with one surface.

    Args:
        name: of the surface, see `Deviation`.
        surface: the surface.
        rings: one or more.
    """
    above = rings.bias_v > surface.band_edge_ev
    below = int((~above).sum())
    if not above.any():
        return Deviation(name, surface, np.nan, np.nan, np.inf, below)
    expected = 2 * surface.wave_number(rings.bias_v[above])
    off = rings.q_per_nm[above] / expected - 1
    covariance = rings.covariance[np.ix_(above, above)]
    covariance = covariance / np.outer(expected, expected)
    weights = 1 / np.diag(covariance)
    weights /= weights.sum()
    return Deviation(
        name,
        surface,
        relative=float(weights @ off),
        relative_sigma=float(np.sqrt(weights @ covariance @ weights)),
        # Half of the rings may be anything: a median is not moved by it.
        typical=float(np.sqrt(_weighted_median(off**2, weights))),
        n_below_edge=below,
    )


def _weighted_median(values: np.ndarray, weights: np.ndarray) -> float:
    order = np.argsort(values)
    share = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(share, share[-1] / 2)])


SCALE_SIGMA = 0.04
"""How far the rings of a file lie from those of its surface, as a ratio: the
lengths of a scanner and a published k(V) are good to a few per cent each."""

_FARTHEST = 0.12
"""As a ratio: what lies farther off is no ring of the surface. Nor is a network
given a q that is more wrong, in its training."""

_SIGNIFICANT = 2.0
"""Standard deviations: a smaller difference says nothing."""

_AGREEMENT = 0.25
"""Rings of one stack lie so near to their median, as a ratio: those of
Au(111) from -0.2 to +0.2 V do; what lies beyond is something else."""


def q_of_stack(
    maps: ConductanceMaps, surface: str | None
) -> tuple[np.ndarray, str]:
    """The scattering wave vector q = 2k of every map.

    Args:
        maps: levelled maps.
        surface: see `surfaces.surface`, whose k(V) then counts; None measures
            the FFT rings of the maps.

    Returns:
        q = 2k [rad/nm], float64 [V], and how it was had, for `provenance`.

    Raises:
        InputError: for an unknown surface, a bias below its band edge, or
            where no surface is given and no map has a visible ring.
    """
    if surface is not None:
        chosen = surfaces.surface(surface)
        try:
            ring = 2 * chosen.wave_number(maps.bias_v)
        except InputError as error:
            raise InputError(f"{maps.source}: {error}") from error
        return ring, f"q(V) of {chosen.name}"
    seen = visible_rings(maps)
    if not seen:
        raise InputError(
            f"{maps.source}: no ring of standing waves stands out in the "
            "Fourier transform, so the pixel cannot be chosen. Name the "
            f"surface: --surface {'|'.join(surfaces.SURFACES)}, or of another "
            "its m*/m_e and E0 [eV]: --surface 0.38,-0.44."
        )
    # A wrong ring in one map must not drag the rest with it.
    q = float(np.median(seen))
    note = (
        f"q = {q:.3g} rad/nm, measured in the FFT ring of {len(seen)} of "
        f"{maps.shape[0]} maps"
    )
    return np.full(maps.shape[0], q), note


def given_q(
    maps: ConductanceMaps, surface: str | None
) -> tuple[np.ndarray, str]:
    """The scattering wave vectors q = 2k that a network is given.

    Args:
        maps: levelled maps.
        surface: see `surfaces.surface`, whose rings are corrected by
            `q_scale`; None takes what is visible in each map, where it agrees
            with the others.

    Returns:
        q of each map [rad/nm], float64 [V], 0 where it is unknown; and how it
        was had, for `provenance`.
    """
    if surface is not None:
        expected, note = q_of_stack(maps, surface)
        seen = _ratios(maps, expected)
        scale = _scale_of(seen)
        if scale != 1:
            note += (
                f", {100 * (scale - 1):+.1f} % as the FFT rings of the maps say"
            )
        note = f"given to the network: {note}"
        doubt = _contradiction(maps, expected, surface, seen)
        return scale * expected, f"{doubt}; {note}" if doubt else note
    rings = _rings_of(maps)
    q = np.array([ring.q_per_nm if ring else np.nan for ring in rings])
    agrees = np.zeros(len(q), bool)
    if np.isfinite(q).any():
        agrees = np.abs(q / np.nanmedian(q) - 1) < _AGREEMENT
    note = f"given to the network: q of {agrees.sum()} of {len(q)} maps"
    return np.where(agrees, q, 0.0), note


def q_scale(maps: ConductanceMaps, expected_per_nm: np.ndarray) -> float:
    """By what factor the rings of maps are greater than expected.

    The median of the maps' ratios, drawn to 1 as far as its error and
    `SCALE_SIGMA` ask for it (both ln-normal). Maps of one frame see the same
    impurities, so that many have the error of one.

    Args:
        maps: levelled maps.
        expected_per_nm: q = 2k of each [rad/nm], float64 [V].

    Returns:
        The factor, no unit; 1 where the visible rings do not tell.
    """
    return _scale_of(_ratios(maps, expected_per_nm))


_Ratio = tuple[float, float]
"""Of a visible ring: ln of its q over that expected, and the error of it."""


def _ratios(maps: ConductanceMaps, expected_per_nm: np.ndarray) -> list[_Ratio]:
    """Of all maps with a visible ring."""
    pairs = [
        (measure_ring(image, maps.pixel_nm), expected)
        for image, expected in zip(maps.data, expected_per_nm, strict=True)
    ]
    return [
        (float(np.log(ring.q_per_nm / expected)), ring.q_sigma / ring.q_per_nm)
        for ring, expected in pairs
        if ring is not None
    ]


def _contradiction(
    maps: ConductanceMaps,
    expected_per_nm: np.ndarray,
    name: str,
    seen: Sequence[_Ratio],
) -> str | None:
    """A warning where most maps show rings of another known surface.

    A ring that lies `_FARTHEST` off and more is none of the surface's. It may
    be no ring of waves at all, but cores and lattices have one too: only that
    of a known surface contradicts.
    """
    if 2 * len(seen) < len(expected_per_nm) or not seen:
        return None
    ratio, error = np.median(seen, axis=0)
    agree = sum(abs(r - ratio) < _FARTHEST for r, _ in seen)
    off = abs(ratio) > _FARTHEST + _SIGNIFICANT * error
    if not off or 2 * agree <= len(seen):
        return None
    expected = float(np.median(expected_per_nm))
    measured = expected * float(np.exp(ratio))
    fitting = [
        other
        for other, known in surfaces.SURFACES.items()
        if (maps.bias_v > known.band_edge_ev).all()
        and _apart(measured, 2 * known.wave_number(maps.bias_v)) < _FARTHEST
    ]
    if not fitting:
        return None
    low, high = (1e3 * v for v in (maps.bias_v.min(), maps.bias_v.max()))
    biases = f"{low:g} mV" if low == high else f"{low:g} to {high:g} mV"
    return (
        f"warning: the maps contradict --surface {name}: the FFT rings of "
        f"{agree} of {len(expected_per_nm)} maps lie at q = {measured:.3g} "
        f"rad/nm, and {name} has {expected:.3g} at {biases}; --surface "
        f"{' or '.join(fitting)} would fit"
    )


def _apart(q_per_nm: float, others: np.ndarray) -> float:
    """|ln| of the ratio of a q and the median of others."""
    return abs(float(np.log(q_per_nm / np.median(others))))


def _scale_of(seen: Sequence[_Ratio]) -> float:
    """See `q_scale`."""
    near = [each for each in seen if abs(each[0]) < _FARTHEST]
    if not near or 2 * len(near) < len(seen):
        return 1.0
    ratio, error = np.median(near, axis=0)
    if abs(ratio) < _SIGNIFICANT * error:
        return 1.0
    weight = SCALE_SIGMA**2 / (SCALE_SIGMA**2 + error**2)
    return float(np.exp(weight * ratio))


def visible_rings(maps: ConductanceMaps) -> list[float]:
    """The q of the maps with a visible FFT ring [rad/nm]."""
    rings = _rings_of(maps)
    return [ring.q_per_nm for ring in rings if ring is not None]


def _rings_of(maps: ConductanceMaps) -> list[Ring | None]:
    """The FFT ring of each map; a lattice, or pickup, is none."""
    each = (
        maps.with_data(maps.data[i : i + 1], "one map", bias_v=bias)
        for i, bias in enumerate(maps.bias_v[:, None])
    )
    return [ring_or_spots(one)[0] for one in each]
