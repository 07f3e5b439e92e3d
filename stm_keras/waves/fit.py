"""Fit the waves around impurities in all maps of a frame.

`fit_waves` gives of every impurity and bias the complex amplitude of what it
scatters, of every bias the scattering vector q, and the positions, with
deviations that hold in coloured noise.
"""

import math
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from stm_keras.errors import InputError
from stm_keras.maps import ConductanceMaps
from stm_keras.qpi.ring import measure_ring
from stm_keras.waves.iteration import Fit, Result, each, finish, iterate
from stm_keras.waves.masks import narrowest_nm
from stm_keras.waves.model import Medium, distances, scatter
from stm_keras.waves.normal import MapState, marginalise, normal
from stm_keras.waves.nuisance import Outside
from stm_keras.waves.prepared import Prepared, prepare, remasked
from stm_keras.waves.settled import settled_radii

_FIRST_MAPS = 4
"""So many maps are fitted before the others."""

_START_NOISE, _START_OUTSIDE = 0.2, 0.03

_DAMPING = (0.2, 0.3)
"""Damping 1 / (2 l) where it is fitted: expected value and deviation before
any map, in 1 / (10 periods of the waves)."""

_DETERMINED = 2.0
"""Amplitudes below so many of their deviations have no phase."""

_SCAN_STEP, _SCAN_MAPS = 0.0125, 3

_FEWEST_PIXELS = 100
"""Fewer measured pixels outside of the cores make no map."""

DEFAULT_DEVIATION_NM = 0.05
"""Of positions that come without a deviation."""


@dataclass(frozen=True, kw_only=True)
class WaveOptions:
    """How waves are fitted.

    Attributes:
        multiple: whether waves scatter between the impurities.
        refine_positions: whether positions move, within their deviations.
        q_each: whether every map has its own q; else one factor for all.
        q_uncertainty: of the q given, as a ratio; a factor is looked for this
            far to both sides. 0 keeps q as it is given.
        core_nm: radius of what is left out about positions [nm]; None takes
            it from the maps, object by object.
        mean_free_path_nm: l [nm], `inf` for no damping; None fits it.
    """

    multiple: bool = True
    refine_positions: bool = True
    q_each: bool = True
    q_uncertainty: float = 0.03
    core_nm: float | None = None
    mean_free_path_nm: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.q_uncertainty <= 0.2:
            raise InputError(
                "`q_uncertainty` is a ratio from 0 to 0.2. Received: "
                f"{self.q_uncertainty:g}."
            )
        for name in ("core_nm", "mean_free_path_nm"):
            value = getattr(self, name)
            if value is not None and not value > 0:
                raise InputError(
                    f"`{name}` must be above 0 nm. Received: {value:g}."
                )


@dataclass(frozen=True, eq=False)
class WaveFit:
    """What waves tell of n impurities in V maps; NaN is "not determined".

    Attributes:
        bias_v: of each map, float64 [V] [V].
        amplitudes: c = s t of each impurity and map, complex128 [n, V], in
            the map's unit: what a map gains is Re sum c H0(k r)^2 and all
            orders beyond.
        covariance: of their real and imaginary part, float64 [n, V, 2, 2].
        phase_rad: arg c - pi / 2, in (-pi, pi], float64 [n, V]. Of a
            scatterer without absorption it is the phase shift delta (where
            sin delta < 0, delta + pi).
        std_phase_rad: its deviation, float64 [n, V].
        determined: whether there is a wave, and so a phase, bool [n, V].
        scale: s, what a map gains for t = 1, float64 [V], in the map's unit;
            from the scattering between impurities.
        std_scale: its deviation, float64 [V].
        q_per_nm: scattering vector q = 2k of each map, float64 [V] [rad/nm].
        q_covariance: float64 [V, V] [rad^2/nm^2].
        mean_free_path_nm: l; inf for none.
        std_damping_per_nm: deviation of 1 / (2 l) [1/nm]; 0 where given.
        positions_px: refined, float64 [n, 2] [px of the file].
        deviations_px: of these, float64 [n, 2] [px of the file].
        core_nm: radius of what was left out about each, float64 [n] [nm].
        evidence: log marginal likelihood of each map, float64 [V].
        noise: deviation of the noise at the waves' q, float64 [V], in the
            map's unit: of white noise that would be as strong there.
        maps: as fitted, at the fit's own pixel, float32 [V, H, W].
        waves: fitted waves of the impurities, cores and all [V, H, W].
        residual: maps less waves, background and sources outside; NaN in
            cores [V, H, W].
        pixel_nm: of these three [nm].
        joined: pixels of the file along the sides of one of these.
        notes: what a reader must know.
    """

    bias_v: NDArray[np.float64]
    amplitudes: NDArray[np.complex128]
    covariance: NDArray[np.float64]
    phase_rad: NDArray[np.float64]
    std_phase_rad: NDArray[np.float64]
    determined: NDArray[np.bool_]
    scale: NDArray[np.float64]
    std_scale: NDArray[np.float64]
    q_per_nm: NDArray[np.float64]
    q_covariance: NDArray[np.float64]
    mean_free_path_nm: float
    std_damping_per_nm: float
    positions_px: NDArray[np.float64]
    deviations_px: NDArray[np.float64]
    core_nm: NDArray[np.float64]
    evidence: NDArray[np.float64]
    noise: NDArray[np.float64]
    maps: NDArray[np.float32]
    waves: NDArray[np.float32]
    residual: NDArray[np.float32]
    pixel_nm: float
    joined: tuple[int, int]
    notes: tuple[str, ...]

    @property
    def std_q_per_nm(self) -> NDArray[np.float64]:
        """Deviation of q, float64 [V] [rad/nm]."""
        return np.sqrt(np.diag(self.q_covariance))

    @property
    def t(self) -> NDArray[np.complex128]:
        """T = c / s of each impurity and map, complex128 [n, V]; no unit."""
        return self.amplitudes / self.scale

    @property
    def std_amplitude(self) -> NDArray[np.float64]:
        """Deviation of |c| along c, float64 [n, V], in the map's unit."""
        along = np.stack([self.amplitudes.real, self.amplitudes.imag], -1)
        along /= np.maximum(np.abs(self.amplitudes), 1e-300)[..., None]
        variance = np.einsum("nva,nvab,nvb->nv", along, self.covariance, along)
        return np.sqrt(variance)


def fit_waves(
    maps: ConductanceMaps,
    positions_px: ArrayLike,
    deviations_px: ArrayLike | None = None,
    q_per_nm: ArrayLike | None = None,
    options: WaveOptions | None = None,
) -> WaveFit:
    """Fit the waves of impurities at known places.

    Args:
        maps: of one frame, levelled; at any pixel that shows the waves.
        positions_px: row and column of the impurities, [n, 2] [px of `maps`].
        deviations_px: of these, [n, 2] [px]; None for 0.05 nm.
        q_per_nm: q = 2k of each map, [V] [rad/nm]; NaN or 0 where unknown, as
            below the band edge: such a map is not determined. None measures
            the ring of each map in its Fourier transform.
        options: see `WaveOptions`.

    Raises:
        InputError: where positions lie outside, at one place, or nowhere,
            where no q is known and no ring seen, and where cores leave too
            little of the maps.
    """
    options = options or WaveOptions()
    positions = np.asarray(positions_px, np.float64)
    if not positions.size:
        positions = positions.reshape(-1, 2)
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise InputError(
            "Positions must be row and column, [n, 2]. Received the shape "
            f"{list(positions.shape)}."
        )
    deviations = _deviations(maps, positions, deviations_px)
    q, notes = known_q(maps, q_per_nm)
    used = np.flatnonzero(q > 0)
    part = maps.with_data(
        maps.data[used], "of known q", bias_v=maps.bias_v[used]
    )
    core = options.core_nm or narrowest_nm(q[used])
    ready = prepare(part, positions, deviations, q[used], core)
    enough = np.isfinite(ready.maps[:, ready.free]).sum(axis=1)
    if (enough < _FEWEST_PIXELS).any():
        q[used[enough < _FEWEST_PIXELS]] = np.nan
        notes += (
            f"{(enough < _FEWEST_PIXELS).sum()} maps are not measured "
            "outside of the cores",
        )
        return fit_waves(maps, positions, deviations, q, options)
    ready, fit = fitted(part, ready, options)
    return _wave_fit(maps, used, ready, fit, finish(fit), options, notes)


def _deviations(
    maps: ConductanceMaps, positions: np.ndarray, given: ArrayLike | None
) -> np.ndarray:
    if given is None:
        each_nm = np.full(positions.shape, DEFAULT_DEVIATION_NM)
        return each_nm / np.asarray(maps.pixel_nm)
    deviations = np.asarray(given, np.float64)
    if deviations.shape != positions.shape or not (deviations >= 0).all():
        raise InputError(
            "`deviations_px` must be numbers of 0 or more of the shape of the "
            f"positions, {list(positions.shape)}. Received the shape "
            f"{list(deviations.shape)}."
        )
    return deviations


def known_q(
    maps: ConductanceMaps, given: ArrayLike | None
) -> tuple[np.ndarray, tuple[str, ...]]:
    """The q = 2k of each map, NaN where unknown, and notes.

    Raises:
        InputError: where none is known.
    """
    n_maps = len(maps.bias_v)
    notes: tuple[str, ...] = ()
    if given is None:
        rings = [measure_ring(image, maps.pixel_nm) for image in maps.data]
        q = np.array([ring.q_per_nm if ring else np.nan for ring in rings])
        notes = (
            f"q measured in the Fourier transform of "
            f"{np.isfinite(q).sum()} of {n_maps} maps",
        )
    else:
        q = np.array(np.asarray(given, np.float64))
        if q.shape != (n_maps,):
            raise InputError(
                f"`q_per_nm` must hold one q for each of {n_maps} maps. "
                f"Received the shape {list(q.shape)}."
            )
    q = np.where(np.isfinite(q) & (q > 0), q, np.nan)
    coarse = q * max(maps.pixel_nm) > np.pi
    if coarse.any():
        notes += (
            f"{coarse.sum()} maps have pixels too coarse for their "
            "waves: not determined",
        )
        q[coarse] = np.nan
    if not np.isfinite(q).any():
        raise InputError(
            f"{maps.source}: q is known of no map and no ring stands out in "
            "the Fourier transform, so no waves can be fitted. Give a "
            "surface, or q."
        )
    missing = int((~np.isfinite(q)).sum())
    if missing:
        notes += (
            f"{missing} of {n_maps} maps have no known q: not determined",
        )
    return q, notes


def started(ready: Prepared, options: WaveOptions) -> Fit:
    """A fit at its beginning: amplitudes of zero at the given q."""
    gamma, free = 0.0, options.mean_free_path_nm is None
    scale = ready.q_px.max() / (2 * np.pi) / 10
    if free:
        gamma = _DAMPING[0] * scale
    elif math.isfinite(options.mean_free_path_nm or math.inf):
        gamma = ready.pixel_nm / (2 * (options.mean_free_path_nm or math.inf))
    values = ready.maps[:, ready.free]
    states = [
        MapState(
            np.nan_to_num(y),
            np.isfinite(y).astype(np.float32),
            np.zeros(len(ready.positions), complex),
            Medium(q / 2, gamma),
            _START_NOISE,
            _START_OUTSIDE,
        )
        for y, q in zip(values, ready.q_px, strict=True)
    ]
    held = ready.deviations * options.refine_positions
    return Fit(
        ready.scene,
        states,
        ready.positions.copy(),
        ready.positions.copy(),
        held,
        gamma_free=free,
        gamma_start=(gamma, _DAMPING[1] * scale),
        q_each=options.q_each and options.q_uncertainty > 0,
        q_factor=not options.q_each and options.q_uncertainty > 0,
        q_spread=max(options.q_uncertainty, 1e-3),
    )


def scan_q(fit: Fit, uncertainty: float) -> None:
    """Multiply all q with the factor that leaves least, the fit changes.

    Gauss-Newton finds a wave number only within about 1 / (k R) of it, R the
    distance at which waves are seen.
    """
    if uncertainty <= _SCAN_STEP:
        return
    steps = int(uncertainty / _SCAN_STEP)
    factors = 1 + _SCAN_STEP * np.arange(-steps, steps + 1)
    chosen = spaced(len(fit.states), _SCAN_MAPS)
    r = distances(fit.positions, fit.scene.pixels)
    lone = fit.scene._replace(outside=Outside.none())

    def left(factor: float) -> float:
        total = 0.0
        for v in chosen:
            state = fit.states[v]
            medium = state.medium._replace(k=factor * state.medium.k)
            state = state._replace(medium=medium)
            made = normal(
                lone,
                state,
                marginalise(lone, state, fit.positions, r),
                fit.positions,
                r,
                with_positions=False,
                with_medium=False,
            )
            H = made.H + 1e-3 * np.eye(2 * fit.n)
            total += made.chi2 - made.b @ np.linalg.solve(H, made.b)
        return float(total)

    best = float(factors[int(np.argmin(each(left, factors.tolist())))])
    fit.states = [
        s._replace(medium=s.medium._replace(k=best * s.medium.k))
        for s in fit.states
    ]


def spaced(n: int, most: int) -> list[int]:
    """At most so many places of 0 .. n - 1, evenly spaced, ends among them."""
    return sorted({int(v) for v in np.linspace(0, n - 1, most).round()})


def fitted(
    maps: ConductanceMaps, ready: Prepared, options: WaveOptions
) -> tuple[Prepared, Fit]:
    """Fit a few maps, widen the masks, then start all maps from them.

    Args:
        maps: of known q.
        ready: the same, prepared.
        options: see `WaveOptions`.

    Returns:
        What was fitted in the end, and the fit, but for the last steps.
    """
    fit = started(ready, options)
    scan_q(fit, options.q_uncertainty)
    chosen = spaced(len(fit.states), _FIRST_MAPS)
    few = fit.of_maps(chosen)
    iterate(few, 1)
    few.kappa_free = options.multiple and fit.n > 1
    iterate(few, 1)
    if options.core_nm is None:
        radii = settled_radii(few, ready)
        wider = remasked(maps, ready, radii)
        few = moved_to(wider, ready, few, chosen)
        ready, fit = (
            wider,
            replace(started(wider, options), k_start=fit.k_start),
        )
    iterate(few, 1)
    _start_from(fit, few, chosen)
    return ready, fit


def moved_to(
    ready: Prepared, before: Prepared, few: Fit, chosen: list[int]
) -> Fit:
    """A fit of some maps, brought to other masks."""
    values = ready.maps[:, ready.free]
    states = []
    for state, v in zip(few.states, chosen, strict=True):
        ratio = before.unit[v] / ready.unit[v]
        states.append(
            state._replace(
                y=np.nan_to_num(values[v]),
                weight=np.isfinite(values[v]).astype(np.float32),
                c=state.c * ratio,
                medium=state.medium._replace(kappa=state.medium.kappa / ratio),
                noise=state.noise * ratio**2,
                outside=state.outside * ratio**2,
            )
        )
    return replace(few, scene=ready.scene, states=states)


def _start_from(fit: Fit, few: Fit, chosen: list[int]) -> None:
    """Start all maps from some that are fitted, between them in k."""
    fit.kappa_free = few.kappa_free
    fit.positions = few.positions
    place = np.array([s.medium.k for s in fit.states])
    known = np.array([s.medium.k for s in few.states])
    order = np.argsort(place[chosen])
    at = place[chosen][order]

    def across(values: list) -> np.ndarray:
        array = np.array(values)[order]
        flat = array.reshape(len(order), -1)
        columns = [np.interp(place, at, column) for column in flat.T]
        return np.array(columns).T.reshape(len(place), *array.shape[1:])

    c = across([s.c.real for s in few.states]) + 1j * across(
        [s.c.imag for s in few.states]
    )
    k = place * across(list(known / place[chosen]))
    kappa = across([s.medium.kappa for s in few.states])
    noise = across([s.noise for s in few.states])
    outside = across([s.outside for s in few.states])
    gamma = few.states[0].medium.gamma
    fit.states = [
        few.states[chosen.index(v)]
        if v in chosen
        else s._replace(
            c=c[v],
            medium=Medium(float(k[v]), gamma, float(kappa[v])),
            noise=float(noise[v]),
            outside=float(outside[v]),
        )
        for v, s in enumerate(fit.states)
    ]


class _Parts(NamedTuple):
    """Unknowns and covariances of the fitted maps, in the maps' units."""

    c: np.ndarray
    covariance: np.ndarray
    scale: np.ndarray
    std_scale: np.ndarray


def _parts(ready: Prepared, fit: Fit, result: Result) -> _Parts:
    n, n_maps = fit.n, len(fit.states)
    c = np.array([s.c for s in fit.states]).T * ready.unit
    own = np.array(result.spread.own)
    covariance = np.empty((n, n_maps, 2, 2))
    for a in range(2):
        for b in range(2):
            one, other = a * n + np.arange(n), b * n + np.arange(n)
            covariance[:, :, a, b] = own[:, one, other].T
    covariance *= (ready.unit**2)[:, None, None]
    scale = std_scale = np.full(n_maps, np.nan)
    if fit.kappa_free:
        place = 2 * n + result.own.index("kappa")
        kappa = np.array([s.medium.kappa for s in fit.states])
        deviation = np.sqrt(own[:, place, place])
        known = kappa > 3 * deviation
        inverse = np.where(known, 1 / np.where(known, kappa, 1), np.nan)
        scale = inverse * ready.unit
        std_scale = scale * deviation * inverse
    return _Parts(c, covariance, scale, std_scale)


def _q_covariance(ready: Prepared, fit: Fit, result: Result) -> np.ndarray:
    """Of q between all maps [rad^2/nm^2]."""
    n_maps, unit = len(fit.states), 2 / ready.pixel_nm
    spread = result.spread
    if fit.q_each:
        place = 2 * fit.n + result.own.index("k")
        out = np.array(
            [
                [
                    spread.own[i][place, place]
                    if i == j
                    else spread.between(i, place, j, place)
                    for j in range(n_maps)
                ]
                for i in range(n_maps)
            ]
        )
        return out * unit**2
    k = unit * np.array([s.medium.k for s in fit.states])
    if not fit.q_factor:
        return np.zeros((n_maps, n_maps))
    place = 2 * fit.n if fit.moving else 0
    return np.outer(k, k) * spread.shared[place, place]


def _wave_fit(
    maps: ConductanceMaps,
    used: np.ndarray,
    ready: Prepared,
    fit: Fit,
    result: Result,
    options: WaveOptions,
    notes: tuple[str, ...],
) -> WaveFit:
    """All of it, with NaN for maps that were left out."""
    n, n_maps = fit.n, len(maps.bias_v)
    parts = _parts(ready, fit, result)

    def spread_out(values: np.ndarray, axis: int) -> np.ndarray:
        shape = [*values.shape]
        shape[axis] = n_maps
        out = np.full(shape, np.nan, values.dtype)
        np.moveaxis(out, axis, 0)[used] = np.moveaxis(values, axis, 0)
        return out

    c = spread_out(parts.c, 1)
    covariance = spread_out(parts.covariance, 1)
    phase, deviation, determined = phases(c, covariance)
    q_covariance = np.full((n_maps, n_maps), np.nan)
    q_covariance[np.ix_(used, used)] = _q_covariance(ready, fit, result)
    q = spread_out(2 * np.array([s.medium.k for s in fit.states]), 0)
    moved = np.zeros((n, 2))
    if fit.moving:
        variance = np.diag(result.spread.shared)[: 2 * n]
        moved = np.sqrt(variance).reshape(2, n).T
    gamma = fit.states[0].medium.gamma / ready.pixel_nm
    std_gamma = 0.0
    if fit.gamma_free:
        std_gamma = float(np.sqrt(result.spread.shared[-1, -1]))
        std_gamma /= ready.pixel_nm
    waves, left = _pictures(ready, fit, result)
    noise = np.sqrt([s.noise for s in fit.states]) * ready.unit
    unit = ready.unit[:, None, None].astype(np.float32)
    return WaveFit(
        bias_v=maps.bias_v,
        amplitudes=c,
        covariance=covariance,
        phase_rad=phase,
        std_phase_rad=deviation,
        determined=determined,
        scale=spread_out(parts.scale, 0),
        std_scale=spread_out(parts.std_scale, 0),
        q_per_nm=q / ready.pixel_nm,
        q_covariance=q_covariance,
        mean_free_path_nm=1 / (2 * gamma) if gamma > 0 else math.inf,
        std_damping_per_nm=std_gamma,
        positions_px=ready.in_file(fit.positions),
        deviations_px=moved * ready.joined,
        core_nm=ready.radii * ready.pixel_nm,
        evidence=spread_out(result.log_evidence, 0),
        noise=spread_out(noise, 0),
        maps=spread_out(ready.maps * unit, 0),
        waves=spread_out(waves * unit, 0),
        residual=spread_out(left * unit, 0),
        pixel_nm=ready.pixel_nm,
        joined=ready.joined,
        notes=notes + _remarks(parts, determined, used, options),
    )


def phases(
    c: np.ndarray, covariance: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Arg c - pi / 2, its deviation, and whether it is determined.

    Args:
        c: amplitudes [n, V], NaN where there are none.
        covariance: of real and imaginary part [n, V, 2, 2].
    """
    size = np.maximum(np.abs(c), 1e-300)
    across = np.stack([-c.imag, c.real], -1) / size[..., None]
    along = np.stack([c.real, c.imag], -1) / size[..., None]
    widths = [
        np.sqrt(np.einsum("nva,nvab,nvb->nv", e, covariance, e))
        for e in (across, along)
    ]
    determined = size > _DETERMINED * np.maximum(*widths)
    determined &= np.isfinite(c)
    phase = np.angle(-1j * c)
    deviation = np.where(determined, widths[0] / size, np.nan)
    return np.where(determined, phase, np.nan), deviation, determined


def _remarks(
    parts: _Parts,
    determined: np.ndarray,
    used: np.ndarray,
    options: WaveOptions,
) -> tuple[str, ...]:
    notes: tuple[str, ...] = ()
    if options.multiple and not np.isfinite(parts.scale).all():
        notes += (
            "the scattering between impurities does not tell the scale "
            "of every map: amplitudes are in the map's unit, phases do "
            "not need it",
        )
    lost = int((~determined[:, used].any(axis=1)).sum())
    if lost:
        notes += (
            f"{lost} positions show no wave in any map: their phases "
            "are not determined",
        )
    return notes


def _pictures(
    ready: Prepared, fit: Fit, result: Result
) -> tuple[np.ndarray, np.ndarray]:
    """Waves of the impurities everywhere, and what all of the model leaves."""
    shape = ready.free.shape
    pixels = np.argwhere(np.ones(shape, bool)).astype(np.float64)
    r = distances(fit.positions, pixels)

    def wave(state: MapState) -> np.ndarray:
        made = scatter(state.c, fit.positions, r, state.medium)
        return made.modulation.reshape(shape)

    waves = np.array(each(wave, fit.states), np.float32)
    left = np.full((len(fit.states), *shape), np.nan, np.float32)
    for v, values in enumerate(result.left):
        values = np.where(fit.states[v].weight > 0, values, np.nan)
        left[v, ready.free] = values
    return waves, left
