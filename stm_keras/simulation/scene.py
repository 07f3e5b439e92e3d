"""A scene: simulated maps and all that is known of what made them.

`Scene` is the one record of maps with their truth; here too is what scenes
are drawn from: places that keep a distance (`draw_positions`) and how
strongly impurities scatter (`ScattererRanges`).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike
from scipy.spatial.distance import cdist, pdist, squareform

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import Range, check_ranges, draw, spread
from stm_keras.simulation.scattering import (
    CIRCLE,
    Contour,
    Scatterers,
    bound_phase_shift,
    t_amplitude,
)


def _empty(*shape: int) -> Callable[[], np.ndarray]:
    return lambda: np.empty(shape)


@dataclass(frozen=True, eq=False, kw_only=True)
class Scene:
    """Maps and the truth about them.

    What a simulation and a prepared data set have in common.
    Positions are (row, column), the centre of the top left pixel being (0,
    0). An empty array or NaN stands for what is not known.

    Attributes:
        maps: float32 [V, H, W], modulation of the LDOS in units of the clean
            one unless the source says otherwise; NaN where not measured.
        q: scattering wave vector q = 2k of each map, float64 [V], rad/px.
        positions: impurities in the frame, float64 [n, 2], px.
        outside: impurities outside of the field of view whose waves reach
            it, float64 [m, 2], px.
        decoys: objects that are no impurities, float64 [m, 2], px.
        scatterers: all impurities with their phase shifts and absorption.
        mean_free_path_px: l of the waves, px.
        contour: of constant energy.
        waves: the scattered waves alone, float32 [V, H, W].
        bias_v: bias of each map, float64 [V], V.
        pixel_nm: side of a pixel, nm.
        bound_state: map of the bound states, float32 [H, W], in units of the
            brightest spot there can be.
        reference_positions: what expectation-maximisation found in it,
            float32 [m, 2], px.
        drift_px: displacement of each map, float64 [V, 2], px; zero mean.
        bare_spread: standard deviation of the maps with cores and decoys,
            before the surface's features and the instrument, in the maps'
            unit: what noise is measured by.
        masks: by name, where something covers the waves, bool [H, W].
    """

    maps: np.ndarray
    q: np.ndarray
    positions: np.ndarray
    outside: np.ndarray = field(default_factory=_empty(0, 2))
    decoys: np.ndarray = field(default_factory=_empty(0, 2))
    scatterers: Scatterers | None = None
    mean_free_path_px: float = math.inf
    contour: Contour = CIRCLE
    waves: np.ndarray = field(default_factory=_empty(0, 0, 0))
    bias_v: np.ndarray = field(default_factory=_empty(0))
    pixel_nm: float = math.nan
    bound_state: np.ndarray = field(default_factory=_empty(0, 0))
    reference_positions: np.ndarray = field(default_factory=_empty(0, 2))
    drift_px: np.ndarray = field(default_factory=_empty(0, 2))
    bare_spread: float = math.nan
    masks: dict[str, np.ndarray] = field(default_factory=dict)

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) of the frame, px."""
        return self.maps.shape[-2], self.maps.shape[-1]

    @property
    def wave_numbers(self) -> np.ndarray:
        """Wave number k = q / 2 of each map, float64 [V], rad/px."""
        return self.q / 2

    @property
    def wave_spread(self) -> float:
        """Standard deviation of the waves, the unit of amplitudes.

        Where there are none it is 0.1 of the clean LDOS, that of a few
        impurities in the paper's frame.
        """
        waves = self.waves if self.waves.size else self.maps
        return spread(waves) or _EMPTY_SPREAD

    @property
    def unit_px(self) -> float:
        """1/k at the mean k, the unit of lengths on a surface, px."""
        return 1 / float(self.wave_numbers.mean())

    @property
    def q_per_nm(self) -> np.ndarray:
        """Scattering wave vector of each map, float64 [V], rad/nm.

        Raises:
            InputError: where the size of a pixel is not known.
        """
        if math.isnan(self.pixel_nm):
            raise InputError("This scene has no `pixel_nm`: q is in rad/px.")
        return self.q / self.pixel_nm

    @property
    def everywhere(self) -> np.ndarray:
        """Impurities in the frame and outside of it, float64 [n, 2], px.

        In the order of `scatterers` where there are any.
        """
        if self.scatterers is not None:
            return self.scatterers.positions
        return np.concatenate([self.positions, self.outside])

    @property
    def strengths(self) -> np.ndarray:
        """|t| of each impurity in the frame, averaged over the maps, [n].

        Raises:
            InputError: where the scatterers are not known.
        """
        if self.scatterers is None:
            raise InputError("This scene does not know its scatterers.")
        t = t_amplitude(self.scatterers.delta, self.scatterers.absorption)
        inside = in_frame(self.scatterers.positions, self.shape)
        return np.abs(t).mean(axis=0)[inside]

    def with_(self, **changes: Any) -> Self:
        """The same scene with some attributes replaced."""
        return replace(self, **changes)


def scattering_scene(
    scatterers: Scatterers,
    maps: np.ndarray,
    wave_numbers: np.ndarray,
    **known: Any,
) -> Scene:
    """A scene of waves alone.

    Args:
        scatterers: all impurities, those outside of the frame too.
        maps: LDOS - 1, float32 [V, H, W].
        wave_numbers: k, float64 [V], rad/px.
        **known: other attributes of `Scene`.
    """
    inside = in_frame(scatterers.positions, (maps.shape[1], maps.shape[2]))
    return Scene(
        maps=maps,
        q=2 * np.asarray(wave_numbers, np.float64),
        positions=scatterers.positions[inside],
        outside=scatterers.positions[~inside],
        scatterers=scatterers,
        waves=maps,
        **known,
    )


_EMPTY_SPREAD = 0.1

MAX_BARREN_ROUNDS = 20
"""Rounds in a row that place nothing, after which the frame counts as full."""

_ROUND = (64, 1024)  # fewest and most places tried in a round


class Clusters(NamedTuple):
    """Impurities in clusters, with others between them.

    A Thomas process: members lie around uniform centres, normally spread (M.
    Thomas, Biometrika 36, 18 (1949), doi:10.1093/biomet/36.1-2.18).

    Attributes:
        size: mean number of members, 1 or more.
        spread_px: standard deviation of a member's row and column, px.
        lone_share: share of the impurities that belong to no cluster; above
            zero, so that full clusters leave room for the others elsewhere.
    """

    size: float
    spread_px: float
    lone_share: float = 0.2


def draw_positions(
    rng: np.random.Generator,
    *,
    shape: tuple[int, int],
    n: int | None = None,
    density: float | None = None,
    margin_px: float = 0.0,
    min_distance_px: float = 0.0,
    on_grid: bool = False,
    clusters: Clusters | None = None,
) -> np.ndarray:
    """Draw impurities in a frame and the margin around it.

    They are placed one after the other; one that comes too close to those
    before it is drawn again (random sequential adsorption). The frame spans
    its pixels whole: rows from -0.5 to H - 0.5, and so for columns.

    Args:
        rng: source of randomness.
        shape: (height, width) of the frame, px.
        n: how many, those in the margin included. Give this or `density`.
        density: impurities per px^2; n is the density times the area of
            frame and margin, rounded.
        margin_px: width of the margin on each side, px.
        min_distance_px: no two are closer than this, px.
        on_grid: whole rows and columns only, each place at most once.
        clusters: how they gather; without it they are uniform.

    Returns:
        (row, col) of each, float64 [n, 2], px, in the order of placing;
        those in the margin lie outside the frame.

    Raises:
        InputError: where they cannot be placed, with a density that can.
    """
    height, width = (side + 2 * margin_px for side in shape)
    if (n is None) == (density is None):
        raise InputError("Give either `n` or `density`, and not both.")
    if n is None:
        n = round((density or 0.0) * height * width)
    if n < 0 or margin_px < 0 or min_distance_px < 0:
        raise InputError(
            "The number of impurities, `margin_px` and `min_distance_px` "
            f"must be 0 or more. Received: {n}, {margin_px:g}, "
            f"{min_distance_px:g}."
        )
    if on_grid:
        # Any smaller distance would let two take the same place.
        min_distance_px = max(min_distance_px, 1.0)
    centres = np.empty((0, 2))
    if clusters is not None:
        number = max(1, round(n / clusters.size))
        centres = _candidates(rng, number, shape, margin_px, on_grid)
    placed, barren = np.empty((0, 2)), 0
    while len(placed) < n and barren < MAX_BARREN_ROUNDS:
        tried = int(np.clip(2 * (n - len(placed)), *_ROUND))
        drawn = _candidates(rng, tried, shape, margin_px, on_grid)
        if clusters is not None:
            drawn = _gathered(rng, drawn, centres, clusters)
            drawn = np.rint(drawn) if on_grid else drawn
            drawn = drawn[_within(drawn, shape, margin_px)]
        kept = drawn[_apart(placed, drawn, min_distance_px)]
        barren = 0 if len(kept) else barren + 1
        placed = np.concatenate([placed, kept])[:n]
    if len(placed) == n:
        return placed
    # A little below what went in, so that another seed manages it too.
    enough = math.floor(0.9 * len(placed))
    raise InputError(
        f"{n} impurities ({n / (height * width):.3g} per px^2) cannot be "
        f"placed {min_distance_px:g} px apart. Ask for at most {enough} "
        f"({enough / (height * width):.3g} per px^2), or lower the distance."
    )


def _candidates(
    rng: np.random.Generator,
    n: int,
    shape: tuple[int, int],
    margin_px: float,
    on_grid: bool,
) -> np.ndarray:
    """Places in frame and margin without regard to distances, [n, 2]."""
    if on_grid:
        margin = math.floor(margin_px)
        high = np.array(shape) + margin
        return rng.integers(-margin, high, (n, 2)).astype(np.float64)
    high = np.array(shape) - 0.5 + margin_px
    return rng.uniform(-0.5 - margin_px, high, (n, 2))


def _gathered(
    rng: np.random.Generator,
    places: np.ndarray,
    centres: np.ndarray,
    clusters: Clusters,
) -> np.ndarray:
    """The places, most of them moved to around one of the centres."""
    around = centres[rng.integers(len(centres), size=len(places))]
    around = around + clusters.spread_px * rng.standard_normal(places.shape)
    alone = rng.random(len(places)) < clusters.lone_share
    return np.where(alone[:, None], places, around)


def _within(
    positions: np.ndarray, shape: tuple[int, int], margin_px: float
) -> np.ndarray:
    """Which positions lie in the frame or its margin; bool [n]."""
    low, high = -0.5 - margin_px, np.array(shape) - 0.5 + margin_px
    inside = (positions >= low) & (positions < high)
    return np.asarray(inside.all(axis=1))


def _apart(
    placed: np.ndarray, drawn: np.ndarray, min_distance_px: float
) -> np.ndarray:
    """Which of `drawn` keep the distance, taken in order; bool [n]."""
    near_placed = cdist(drawn, placed) < min_distance_px
    keep = ~np.asarray(near_placed.any(axis=1))
    near = np.triu(squareform(pdist(drawn)) < min_distance_px, 1)
    for late in np.flatnonzero(near.any(axis=0)):
        # Only those before it that were kept themselves stand in its way.
        keep[late] &= not (near[:late, late] & keep[:late]).any()
    return keep


def in_frame(positions: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    """Which positions lie on a pixel of the frame, not in the margin.

    Args:
        positions: (row, col) [n, 2], px.
        shape: (height, width) of the frame, px.

    Returns:
        bool [n].
    """
    return _within(positions, shape, 0.0)


def smooth_phase_shifts(
    rng: np.random.Generator,
    n: int,
    energies: ArrayLike,
    *,
    delta_rad: tuple[float, float] = (-math.pi / 2, math.pi / 2),
    slope: tuple[float, float] = (-0.5, 0.5),
    curvature: tuple[float, float] = (-0.2, 0.2),
) -> np.ndarray:
    """Phase shifts that belong to the impurity and vary gently with energy.

    delta(E) = delta0 + slope u + curvature u^2, where u = (E - middle) /
    (half the width of the energies) runs over [-1, 1]. Each impurity has
    its own three numbers, drawn uniformly from the ranges.

    Args:
        rng: source of randomness.
        n: number of impurities.
        energies: of the maps [V], any unit, any order.
        delta_rad: range of delta0, rad.
        slope: range of the slope, rad per half width.
        curvature: range of the curvature, rad per half width squared.

    Returns:
        delta, float64 [V, n], rad.
    """
    energies = np.asarray(energies, np.float64)
    low, high = energies.min(), energies.max()
    half = (high - low) / 2 or 1.0  # one energy: u = 0
    u = ((energies - (low + high) / 2) / half)[:, None]
    delta0, rise, bend = (
        rng.uniform(*limits, n) for limits in (delta_rad, slope, curvature)
    )
    return delta0 + rise * u + bend * u**2


@dataclass(frozen=True, kw_only=True)
class ScattererRanges:
    """Ranges of phase shift and absorption, from weak to strong.

    Attributes:
        delta_rad: |phase shift| at the middle energy [rad]; the sign is
            random. pi/2 is the strongest scatterer.
        slope_rad: change of the phase shift from the middle energy to the
            ends, linear part [rad].
        curvature_rad: likewise, quadratic part [rad].
        absorption: a, no unit, of impurities that absorb but are not black.
        elastic_share: chance that an impurity absorbs nothing.
        black_share: chance that it is a black dot, t = -1/2.
        bound_share: chance that its phase shift is that of a bound state
            (`scattering.bound_phase_shift`), not one of the ranges.
        bound_decay: decay of that state over the mean k, kappa / k, drawn
            log-uniformly; 0.3 to 2 are binding energies of a tenth to four
            times the electrons' energy.
        n_species: fewest and most kinds of impurities in a scene, all of a
            kind being alike; (0, 0) makes each a kind of its own.
    """

    delta_rad: Range = (0.15, math.pi / 2)
    slope_rad: Range = (-0.3, 0.3)
    curvature_rad: Range = (-0.1, 0.1)
    absorption: Range = (0.0, 1.5)
    elastic_share: float = 0.3
    black_share: float = 0.15
    bound_share: float = 0.0
    bound_decay: Range = (0.3, 2.0)
    n_species: tuple[int, int] = (0, 0)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            bound_decay=(1e-3, 1e3),
            n_species=(0, 1000),
            delta_rad=(0.0, math.pi / 2),
            slope_rad=(-10.0, 10.0),
            curvature_rad=(-10.0, 10.0),
            absorption=(0.0, 100.0),
        )
        shares = self.elastic_share, self.black_share
        if min(shares) < 0 or sum(shares) > 1:
            raise InputError(
                "ScattererRanges: `elastic_share` and `black_share` must be 0 "
                "or more and add up to 1 at most. Received: "
                f"{shares[0]:g} and {shares[1]:g}."
            )

    def draw(
        self,
        positions: np.ndarray,
        energies: ArrayLike,
        rng: np.random.Generator,
        wave_numbers: np.ndarray | None = None,
    ) -> Scatterers:
        """Give impurities their strength.

        Args:
            positions: (row, col) of the impurities [n, 2], px.
            energies: of the maps [V], any unit, any order.
            rng: source of randomness.
            wave_numbers: k of the maps [V], rad/px; needed where impurities
                may have bound states.

        Raises:
            InputError: where wave numbers are needed and not given.
        """
        n_kinds = 0
        if self.n_species[1]:  # not drawn where it cannot be
            n_kinds = int(rng.integers(*self.n_species, endpoint=True))
        if not n_kinds:
            return self._each(positions, energies, rng, wave_numbers)
        kinds = self._each(np.zeros((n_kinds, 2)), energies, rng, wave_numbers)
        species = rng.integers(n_kinds, size=len(positions))
        return Scatterers(
            positions,
            kinds.delta[:, species],
            kinds.absorption[species],
            species,
            kinds.kappa[species] if kinds.kappa.size else kinds.kappa,
        )

    def _each(
        self,
        positions: np.ndarray,
        energies: ArrayLike,
        rng: np.random.Generator,
        wave_numbers: np.ndarray | None,
    ) -> Scatterers:
        """Impurities that are all different."""
        n = len(positions)
        delta = smooth_phase_shifts(
            rng,
            n,
            energies,
            delta_rad=self.delta_rad,
            slope=self.slope_rad,
            curvature=self.curvature_rad,
        )
        delta *= rng.choice((-1.0, 1.0), n)
        absorption = draw(self.absorption, rng, n)
        kind = rng.random(n)
        absorption[kind < self.elastic_share] = 0.0
        absorption[kind >= 1 - self.black_share] = np.inf
        if not self.bound_share:
            return Scatterers(positions, delta, absorption)
        if wave_numbers is None:
            raise InputError("Bound states need the maps' wave numbers.")
        k = np.asarray(wave_numbers, np.float64)
        low, high = np.log(self.bound_decay)
        kappa = k.mean() * np.exp(rng.uniform(low, high, n))
        kappa[rng.random(n) >= self.bound_share] = np.nan
        bound = np.isfinite(kappa)
        delta[:, bound] = bound_phase_shift(k[:, None], kappa[bound])
        return Scatterers(positions, delta, absorption, kappa=kappa)


@dataclass(frozen=True, kw_only=True)
class ContourRanges:
    """Ranges of constant-energy contours that are no circles.

    Attributes:
        axis_ratio: of an ellipse's axes, no unit; direction uniform.
        warping: hexagonal, no unit; direction uniform.
        share: chance that a scene's contour is not a circle.
    """

    axis_ratio: Range = (1.0, 1.0)
    warping: Range = (0.0, 0.0)
    share: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, axis_ratio=(1.0, 10.0), warping=(0.0, 0.5))

    def draw(self, rng: np.random.Generator) -> Contour:
        """One contour."""
        if rng.random() >= self.share:
            return CIRCLE
        return Contour(
            float(draw(self.axis_ratio, rng)),
            float(rng.uniform(0, math.pi)),
            float(draw(self.warping, rng)),
            float(rng.uniform(0, math.pi / 3)),
        )


@dataclass(frozen=True, kw_only=True)
class Arrangement:
    """How impurities lie together, beyond chance; lengths in 1/k.

    At k = 1.6 rad/nm, that of the noble metals' surfaces near the Fermi
    level, 0.8 to 1.6 are 0.5 to 1 nm.

    Attributes:
        pair_share: share of the impurities that have a close partner.
        pair_distance: between the two [1/k].
        chain_share: chance that a scene has a chain or wall of impurities,
            straight or bent.
        chain_length: number of impurities in it.
        chain_spacing: from one to the next [1/k].
        site_share: share of the impurities that sit at sites of the surface
            (`surface_features.Feature.sites`), where it has any.
        least_px: no two impurities are closer than this [px].
    """

    pair_share: float = 0.0
    pair_distance: Range = (0.8, 1.6)
    chain_share: float = 0.0
    chain_length: tuple[int, int] = (4, 16)
    chain_spacing: Range = (0.8, 2.0)
    site_share: float = 0.0
    least_px: float = 0.5

    def __post_init__(self) -> None:
        check_ranges(
            self,
            pair_distance=(0.1, 100.0),
            chain_length=(2, 1000),
            chain_spacing=(0.1, 100.0),
        )

    def place(
        self,
        positions: np.ndarray,
        sites: np.ndarray,
        unit_px: float,
        shape: tuple[int, int],
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Rearrange impurities that were placed by chance.

        Their number stays, but for those that come too close to another.

        Args:
            positions: in frame and margin, float64 [n, 2], px.
            sites: of the surface, float64 [m, 2], px.
            unit_px: 1/k, px.
            shape: (height, width) of the frame, px.
            rng: source of randomness.

        Returns:
            float64 [n', 2], n' at most n.
        """
        n = len(positions)
        special = [np.empty((0, 2))]
        if len(sites) and self.site_share:
            count = min(rng.binomial(n, self.site_share), len(sites))
            chosen = rng.choice(len(sites), count, replace=False)
            jitter = 0.3 * unit_px * rng.standard_normal((count, 2))
            special.append(sites[chosen] + jitter)
        if self.chain_share and rng.random() < self.chain_share:
            special.append(self._chain(unit_px, shape, rng))
        together = np.concatenate([*special, positions])[:n]
        if self.pair_share:
            paired = rng.random(n) < self.pair_share / 2
            step = unit_px * draw(self.pair_distance, rng, n)
            angle = rng.uniform(0, 2 * math.pi, n)
            partner = np.stack([np.sin(angle), np.cos(angle)], axis=1)
            partner = (together + step[:, None] * partner)[paired]
            # In place of the last ones: those that chance alone put there.
            rest = n - len(partner)
            together = np.concatenate([together[:rest], partner])
        return together[_apart(np.empty((0, 2)), together, self.least_px)]

    def _chain(
        self,
        unit_px: float,
        shape: tuple[int, int],
        rng: np.random.Generator,
    ) -> np.ndarray:
        count = rng.integers(*self.chain_length, endpoint=True)
        spacing = unit_px * float(draw(self.chain_spacing, rng))
        bend = rng.uniform(-0.3, 0.3) / max(count / 8, 1)
        angle = rng.uniform(0, 2 * math.pi) + bend * np.arange(count)
        steps = spacing * np.stack([np.sin(angle), np.cos(angle)], axis=1)
        chain = np.cumsum(steps, axis=0)
        middle = rng.uniform(0.2, 0.8, 2) * np.asarray(shape)
        return chain - chain.mean(axis=0) + middle
