"""Scattering fields over ranges wider than any one surface, for training.

A network that has seen all of them need not have seen the user's surface:
density, strength, absorption, band, pixel and mean free path are all drawn
anew for each field. Fields are clean; noise, cores and decoys come after.
"""

import math
import multiprocessing
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import islice

import numpy as np

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import Range, check_ranges, draw
from stm_keras.simulation.scattering import (
    CIRCLE,
    MIN_DISTANCE_PX,
    Scatterers,
    ldos,
)
from stm_keras.simulation.scene import (
    Arrangement,
    Clusters,
    ContourRanges,
    ScattererRanges,
    Scene,
    draw_positions,
    in_frame,
    scattering_scene,
)
from stm_keras.simulation.short_range import (
    CoreRanges,
    DecoyRanges,
    add_short_range,
)
from stm_keras.simulation.surface_features import (
    Feature,
    add_features,
    sites_of,
)
from stm_keras.system import (
    deaf_to_stops,
    end_with_parent,
    single_threaded,
)

_MAX_COVERAGE = 0.4
"""Largest share of the area that discs as wide as the smallest distance may
cover; placed one after the other they jam at 0.547 (E. L. Hinrichsen,
J. Feder and T. Jossang, J. Stat. Phys. 44, 793 (1986))."""


@dataclass(frozen=True, kw_only=True)
class ScatteringConfig:
    """What a randomised field is drawn from; ranges are (low, high).

    The dispersion of a field is k(u)^2 = k_low^2 + (k_high^2 - k_low^2)
    (u + c u (1 - u)) for u from 0 to 1: a parabolic band for c = 0, with the
    pixel's size in it.

    Attributes:
        size_px: side of the square field, px.
        n_voltages: number of maps, evenly spaced in energy.
        margin_px: width of the border with impurities that scatter into the
            field, px.
        density_per_px2: impurities per px^2, drawn log-uniformly.
        min_distance_px: no two impurities are closer, px.
        min_in_frame: least number of impurities in the field itself.
        clustered_share: chance that a field's impurities gather in clusters
            (`scene.Clusters`), as adsorbed molecules do.
        cluster_size: mean number of impurities in a cluster.
        cluster_spread_px: standard deviation of their places in it, px.
        delta_rad: |phase shift| at the middle energy, rad; the sign is
            random. pi/2 is the strongest scatterer.
        slope_rad: change of the phase shift from the middle energy to the
            ends, linear part, rad.
        curvature_rad: likewise, quadratic part, rad.
        absorption: a, no unit, of impurities that absorb but are not black.
        elastic_share: chance that an impurity absorbs nothing.
        black_share: chance that it is a black dot, t = -1/2.
        ring_rad_px: bounds of q = 2k at all energies, rad/px; pi at most.
        ring_ratio: largest k over smallest k in a field, no unit.
        band_curvature: c above, no unit.
        mean_free_path_px: l, drawn log-uniformly, px.
        cores: of the impurities; None keeps the formulas to their centres.
        decoys: blobs that are no impurities; None for none.
        bound_share: see `ScattererRanges`.
        n_species: likewise.
        contour: of constant energy; None for circles.
        arrangement: of the impurities beyond chance; None for chance alone.
        features: what the surface has beside impurities, in the order in
            which it is added.
        empty_share: chance that a field has no impurity at all.
    """

    size_px: int = 48
    n_voltages: int = 16
    margin_px: float = 24.0
    density_per_px2: Range = (5e-4, 1e-2)
    min_distance_px: float = 2.0
    min_in_frame: int = 1
    clustered_share: float = 0.0
    cluster_size: Range = (3.0, 10.0)
    cluster_spread_px: Range = (2.0, 5.0)
    delta_rad: Range = (0.15, math.pi / 2)
    slope_rad: Range = (-0.5, 0.5)
    curvature_rad: Range = (-0.15, 0.15)
    absorption: Range = (0.0, 1.5)
    elastic_share: float = 0.3
    black_share: float = 0.15
    ring_rad_px: Range = (0.6, 2.2)
    ring_ratio: Range = (1.05, 1.8)
    band_curvature: Range = (-0.3, 0.3)
    mean_free_path_px: Range = (20.0, 500.0)
    cores: CoreRanges | None = field(default_factory=CoreRanges)
    decoys: DecoyRanges | None = field(default_factory=DecoyRanges)
    bound_share: float = 0.0
    n_species: tuple[int, int] = (0, 0)
    contour: ContourRanges | None = None
    arrangement: Arrangement | None = None
    features: tuple[Feature, ...] = ()
    empty_share: float = 0.0

    def __post_init__(self) -> None:
        tiny = 1e-9
        check_ranges(
            self,
            density_per_px2=(tiny, 1.0),
            cluster_size=(1.0, 1e6),
            cluster_spread_px=(tiny, 1e6),
            delta_rad=(0.0, math.pi / 2),
            slope_rad=(-10.0, 10.0),
            curvature_rad=(-10.0, 10.0),
            absorption=(0.0, 100.0),
            ring_rad_px=(tiny, math.pi),
            ring_ratio=(1.0, 100.0),
            band_curvature=(-1.0, 1.0),  # beyond, k(u) turns back
            mean_free_path_px=(tiny, 1e9),
        )
        self._check_numbers()
        self._check_fit()

    @property
    def least_distance_px(self) -> float:
        """No two impurities are closer [px]."""
        if self.arrangement is None:
            return self.min_distance_px
        return min(self.min_distance_px, self.arrangement.least_px)

    def _check_numbers(self) -> None:
        least = {
            "size_px": 1,
            "n_voltages": 1,
            "margin_px": 0,
            "min_in_frame": 0,
            "min_distance_px": MIN_DISTANCE_PX,
            "elastic_share": 0,
            "black_share": 0,
            "empty_share": 0,
        }
        for name, low in least.items():
            if not getattr(self, name) >= low:
                raise InputError(
                    f"ScatteringConfig: `{name}` must be at least {low}. "
                    f"Received: {name}={getattr(self, name)}."
                )
        if not 0 <= self.clustered_share <= 1:
            raise InputError(
                "ScatteringConfig: `clustered_share` must lie between 0 and "
                f"1. Received: {self.clustered_share}."
            )
        if self.elastic_share + self.black_share > 1:
            raise InputError(
                "ScatteringConfig: `elastic_share` and `black_share` must add "
                f"up to 1 at most. Received: {self.elastic_share} and "
                f"{self.black_share}."
            )

    def _check_fit(self) -> None:
        low, high = self.ring_rad_px
        if low * self.ring_ratio[1] > high:
            raise InputError(
                f"ScatteringConfig: `ring_ratio` of {self.ring_ratio[1]:g} "
                f"does not fit into `ring_rad_px` = {self.ring_rad_px}. Lower "
                f"it to {math.floor(high / low * 1000) / 1000:g} or less."
            )
        disc = math.pi / 4 * self.min_distance_px**2
        if self.density_per_px2[1] * disc > _MAX_COVERAGE:
            raise InputError(
                f"ScatteringConfig: a density of {self.density_per_px2[1]:g} "
                f"per px^2 cannot be placed {self.min_distance_px:g} px "
                f"apart. Take {_MAX_COVERAGE / disc:.3g} at most, or lower "
                "`min_distance_px`."
            )
        expected = self.density_per_px2[0] * self.size_px**2
        if expected < self.min_in_frame / 4:
            raise InputError(
                f"ScatteringConfig: {self.density_per_px2[0]:g} impurities "
                f"per px^2 are only {expected:.2g} in the frame, too few for "
                f"`min_in_frame` = {self.min_in_frame}. Raise the lower end "
                "of `density_per_px2`, or lower `min_in_frame`."
            )


_MAX_REDRAWS = 1000


def simulate_field(config: ScatteringConfig, rng: np.random.Generator) -> Scene:
    """Draw one field and simulate it.

    Args:
        config: what to draw from.
        rng: source of randomness.

    Returns:
        A scene whose `maps` are clean, by rising energy.

    Raises:
        InputError: where the impurities cannot be placed as asked.
    """
    u = np.linspace(0, 1, config.n_voltages)
    # A source of its own: without a surface the field is what it was.
    of_surface = rng.spawn(1)[0]
    seeds = of_surface.integers(2**31, size=len(config.features))
    k = _draw_wave_numbers(config, u, rng)
    positions = _draw_positions(config, rng)
    positions = _arranged(config, positions, k, seeds, of_surface)
    scatterers = _draw_scatterers(config, positions, u, k, rng)
    length = _draw_log(config.mean_free_path_px, rng)
    contour = config.contour.draw(of_surface) if config.contour else CIRCLE
    maps = ldos(
        scatterers,
        wave_number=k,
        shape=(config.size_px, config.size_px),
        mean_free_path=length,
        min_distance_px=config.least_distance_px,
        contour=contour,
    )
    maps -= 1
    scene = scattering_scene(
        scatterers, maps, k, mean_free_path_px=length, contour=contour
    )
    scene = add_short_range(scene, rng, rng, config.cores, config.decoys)
    return add_features(scene, config.features, seeds)


def _arranged(
    config: ScatteringConfig,
    positions: np.ndarray,
    k: np.ndarray,
    seeds: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """The impurities as the surface and each other have them lie."""
    if rng.random() < config.empty_share:
        return positions[:0]
    if config.arrangement is None:
        return positions
    shape = (config.size_px, config.size_px)
    unit = 1 / float(k.mean())
    sites = sites_of(config.features, seeds, shape, unit)
    return config.arrangement.place(positions, sites, unit, shape, rng)


def _draw_scatterers(
    config: ScatteringConfig,
    positions: np.ndarray,
    u: np.ndarray,
    k: np.ndarray,
    rng: np.random.Generator,
) -> Scatterers:
    strengths = ScattererRanges(
        delta_rad=config.delta_rad,
        slope_rad=config.slope_rad,
        curvature_rad=config.curvature_rad,
        absorption=config.absorption,
        elastic_share=config.elastic_share,
        black_share=config.black_share,
        bound_share=config.bound_share,
        n_species=config.n_species,
    )
    return strengths.draw(positions, u, rng, k)


def _draw_log(bounds: Range, rng: np.random.Generator) -> float:
    return math.exp(rng.uniform(*np.log(bounds)))


def _draw_wave_numbers(
    config: ScatteringConfig, u: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Wave numbers k at the energies u in [0, 1], rising, [V], rad/px."""
    low, high = config.ring_rad_px
    ratio = float(draw(config.ring_ratio, rng))
    k_low = draw((low, max(low, high / ratio)), rng) / 2
    c = draw(config.band_curvature, rng)
    squares = 1 + (ratio**2 - 1) * (u + c * u * (1 - u))
    # Rounding must not carry 2k beyond the bounds, which may be Nyquist's.
    return np.minimum(k_low * np.sqrt(squares), high / 2)


def _draw_positions(
    config: ScatteringConfig, rng: np.random.Generator
) -> np.ndarray:
    """Impurities in frame and margin, enough of them in the frame."""
    shape = (config.size_px, config.size_px)
    for _ in range(_MAX_REDRAWS):
        positions = draw_positions(
            rng,
            shape=shape,
            density=_draw_log(config.density_per_px2, rng),
            margin_px=config.margin_px,
            min_distance_px=config.min_distance_px,
            clusters=_draw_clusters(config, rng),
        )
        if in_frame(positions, shape).sum() >= config.min_in_frame:
            return positions
    raise InputError(
        f"ScatteringConfig: {_MAX_REDRAWS} draws gave no field with "
        f"{config.min_in_frame} impurities in the frame. Raise "
        "`density_per_px2`, or lower `min_in_frame`."
    )


def _draw_clusters(
    config: ScatteringConfig, rng: np.random.Generator
) -> Clusters | None:
    # Nothing is drawn where none gather: the fields of a config without
    # clusters stay what they were.
    if config.clustered_share == 0 or rng.random() > config.clustered_share:
        return None
    return Clusters(
        size=float(draw(config.cluster_size, rng)),
        spread_px=float(draw(config.cluster_spread_px, rng)),
    )


_CHUNK = 8  # fields a process is asked for at once


def field_rng(seed: int, index: int) -> np.random.Generator:
    """Randomness of field `index` of the set with this seed.

    It depends on nothing else, so a field is the same whichever process
    simulates it, and in whatever company.
    """
    return np.random.default_rng(
        np.random.SeedSequence(seed, spawn_key=(index,))
    )


def simulate_many(
    config: ScatteringConfig,
    seed: int,
    indices: Iterable[int],
    processes: int = 1,
) -> Iterator[Scene]:
    """Simulate fields of a set, in the order of their indices.

    With several processes a script must keep its own work under
    `if __name__ == "__main__":`, as each process imports it (`spawn`:
    TensorFlow does not survive a fork).

    Args:
        config: what to draw from.
        seed: of the set, 0 or more.
        indices: which fields of the set, each 0 or more.
        processes: how many work at once; 1 works in this process.

    Returns:
        The fields, one after another; they do not depend on `processes`.

    Raises:
        InputError: for a negative seed or no process; while iterating,
            where impurities cannot be placed.
    """
    if processes < 1 or seed < 0:
        raise InputError(
            "`processes` must be 1 or more and `seed` 0 or more. Received: "
            f"processes={processes}, seed={seed}."
        )
    if processes == 1:
        return (_one(config, seed, index) for index in indices)
    return _spread(config, seed, iter(indices), processes)


def _one(config: ScatteringConfig, seed: int, index: int) -> Scene:
    return simulate_field(config, field_rng(seed, index))


def _chunk(
    config: ScatteringConfig, seed: int, indices: list[int]
) -> list[Scene]:
    return [_one(config, seed, index) for index in indices]


def _spread(
    config: ScatteringConfig,
    seed: int,
    indices: Iterator[int],
    processes: int,
) -> Iterator[Scene]:
    """Keep the processes busy a few chunks ahead of the consumer."""
    waiting: deque[Future[list[Scene]]] = deque()
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        processes, mp_context=context, initializer=end_with_parent
    ) as pool:
        try:
            while True:
                # Bounded, so that a slow consumer does not fill the memory.
                while len(waiting) < 3 * processes:
                    chunk = list(islice(indices, _CHUNK))
                    if not chunk:
                        break
                    # A process may start here.
                    with single_threaded(), deaf_to_stops():
                        waiting.append(pool.submit(_chunk, config, seed, chunk))
                if not waiting:
                    return
                yield from waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
