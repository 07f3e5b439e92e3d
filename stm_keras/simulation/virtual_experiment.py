"""A virtual experiment: the paper's measurement, with known positions.

Multiple scattering of random impurities (`scattering`), their cores and
objects that are no impurities (`short_range`), the instrument
(`instrument`), and the map of bound states that the reference positions are
taken from (`bound_states`). The paper's geometry by default.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from stm_keras.errors import InputError
from stm_keras.simulation.bound_states import BoundStateConfig, bound_state_map
from stm_keras.simulation.instrument import (
    Acquisition,
    EnergyResolution,
    Part,
    preset,
)
from stm_keras.simulation.ranges import Range, check_ranges
from stm_keras.simulation.scattering import (
    CIRCLE,
    MIN_DISTANCE_PX,
    check_sampling,
    ldos,
)
from stm_keras.simulation.scene import (
    Arrangement,
    ContourRanges,
    ScattererRanges,
    Scene,
    draw_positions,
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
from stm_keras.surfaces import (
    PAPER_BIAS_V,
    PAPER_EXTENT_NM,
    PAPER_SIZE_PX,
    Surface,
    surface,
)

DENSITIES: dict[str, float] = {"sparse": 15.0, "medium": 30.0, "dense": 60.0}
"""Impurities to be expected in the frame, by name."""

_MAX_COVERAGE = 0.4
"""Largest share of the area that discs as wide as the smallest distance may
cover; placed one after the other they jam at 0.547 (E. L. Hinrichsen,
J. Feder and T. Jossang, J. Stat. Phys. 44, 793 (1986))."""

_PAPER_AREA_PX = PAPER_SIZE_PX**2


@dataclass(frozen=True)
class ShortRange:
    """What lies in the maps beside the waves.

    Attributes:
        cores: of the impurities; None keeps the formulas up to their centres.
        decoys: blobs without waves; None for none.
    """

    cores: CoreRanges | None = None
    decoys: DecoyRanges | None = None


DIFFICULTIES: dict[str, ShortRange] = {
    "clean": ShortRange(),
    "typical": ShortRange(
        CoreRanges(),
        DecoyRanges(density_per_px=(2 / _PAPER_AREA_PX, 4 / _PAPER_AREA_PX)),
    ),
    "hard": ShortRange(
        CoreRanges(shift=(0.0, 0.8), anisotropy=(1.0, 2.0)),
        DecoyRanges(density_per_px=(8 / _PAPER_AREA_PX, 8 / _PAPER_AREA_PX)),
    ),
}
"""Short range by difficulty; `instrument.PRESETS` has the noise under the
same names. `hard` has cores of any sign and shape, and eight decoys."""


@dataclass(frozen=True, kw_only=True)
class VirtualConfig:
    """What a virtual experiment is drawn from; ranges are (low, high).

    Attributes:
        n_impurities: how many to expect in the frame; the margin is as dense.
        difficulty: a key of `DIFFICULTIES`.
        size_px: side of the square frame [px].
        extent_nm: the same [nm].
        bias_v: bias of each map [V].
        surface: see `stm_keras.surfaces.surface`.
        temperature_k: of tip and sample [K].
        margin_px: width of the border with impurities that scatter into the
            frame [px].
        min_distance_px: no two impurities are closer [px].
        scatterers: strengths of the impurities.
        mean_free_path_px: l, drawn log-uniformly [px].
        short_range: cores and decoys; None takes those of the difficulty.
        contour: of constant energy; None for circles.
        arrangement: of the impurities beyond chance; None for chance alone.
        features: what the surface has beside impurities, in the order in
            which it is added.
        first_parts: of the instrument, before those of the difficulty.

    Raises:
        InputError: for a bias below the band edge, a pixel too coarse for
            2k, impurities that cannot be placed, or values out of range.
    """

    n_impurities: float = DENSITIES["medium"]
    difficulty: str = "typical"
    size_px: int = PAPER_SIZE_PX
    extent_nm: float = PAPER_EXTENT_NM
    bias_v: tuple[float, ...] = PAPER_BIAS_V
    surface: str = "au111"
    temperature_k: float = 5.0
    margin_px: float = 24.0
    min_distance_px: float = 2.0
    scatterers: ScattererRanges = field(default_factory=ScattererRanges)
    mean_free_path_px: Range = (40.0, 200.0)
    short_range: ShortRange | None = None
    contour: ContourRanges | None = None
    arrangement: Arrangement | None = None
    features: tuple[Feature, ...] = ()
    first_parts: tuple[Part, ...] = ()

    def __post_init__(self) -> None:
        if self.difficulty not in DIFFICULTIES:
            raise InputError(
                f"Unknown difficulty: {self.difficulty!r}. Known: "
                f"{', '.join(DIFFICULTIES)}."
            )
        if not self.bias_v or len(set(self.bias_v)) < len(self.bias_v):
            raise InputError(
                "VirtualConfig: `bias_v` must hold distinct biases, at least "
                f"one. Received {len(self.bias_v)}."
            )
        check_ranges(self, mean_free_path_px=(1e-9, 1e9))
        self._check_numbers()
        check_sampling(self.wave_numbers, self.pixel_nm)
        self._check_fit()

    def _check_numbers(self) -> None:
        least = {
            "n_impurities": 0,
            "size_px": 10,  # the reference wants 100 px
            "extent_nm": 1e-6,
            "temperature_k": 0,
            "margin_px": 0,
        }
        for name, low in least.items():
            if not low <= getattr(self, name) < math.inf:
                raise InputError(
                    f"VirtualConfig: `{name}` must be a number from {low:g}. "
                    f"Received: {name}={getattr(self, name)!r}."
                )
        if not self.min_distance_px >= MIN_DISTANCE_PX:
            raise InputError(
                f"Impurities {self.min_distance_px:g} px apart are closer than "
                f"their cores: `min_distance_px` must be {MIN_DISTANCE_PX:g} "
                "or more."
            )

    def _check_fit(self) -> None:
        disc = math.pi / 4 * self.min_distance_px**2
        most = math.floor(_MAX_COVERAGE / disc * self.size_px**2)
        if self.n_impurities > most:
            raise InputError(
                f"{self.n_impurities:g} impurities in {self.size_px} x "
                f"{self.size_px} px cannot be placed "
                f"{self.min_distance_px:g} px apart. Take {most} at most, or "
                "lower the distance."
            )

    @property
    def least_distance_px(self) -> float:
        """No two impurities are closer [px]."""
        if self.arrangement is None:
            return self.min_distance_px
        return min(self.min_distance_px, self.arrangement.least_px)

    @property
    def pixel_nm(self) -> float:
        """Side of a pixel [nm]."""
        return self.extent_nm / self.size_px

    @property
    def material(self) -> Surface:
        """The surface, with its mass and band edge."""
        return surface(self.surface)

    @property
    def bound_state_bias_v(self) -> float:
        """Bias of the map of bound states [V]: that of the band edge."""
        return self.material.band_edge_ev

    @property
    def wave_numbers(self) -> np.ndarray:
        """Wave number k of each map, float64 [V], rad/px; q is 2k."""
        return self.material.wave_number(self.bias_v) * self.pixel_nm

    @property
    def q_per_nm(self) -> np.ndarray:
        """Scattering wave vector q = 2k of each map, float64 [V], rad/nm."""
        return 2 * self.material.wave_number(self.bias_v)

    @property
    def near(self) -> ShortRange:
        """Cores and decoys: those given, or those of the difficulty."""
        return self.short_range or DIFFICULTIES[self.difficulty]

    @property
    def acquisition(self) -> Acquisition:
        """The instrument of the difficulty, at these biases and this T."""
        parts = preset(self.difficulty, self.bias_v).parts
        temperature = (self.temperature_k, self.temperature_k)
        return Acquisition(
            self.first_parts
            + tuple(
                replace(part, temperature_k=temperature)
                if isinstance(part, EnergyResolution)
                else part
                for part in parts
            )
        )


def named_virtual(density: str, difficulty: str) -> VirtualConfig:
    """A config from the two tables.

    Args:
        density: a key of `DENSITIES`.
        difficulty: a key of `DIFFICULTIES`.

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    if density not in DENSITIES:
        raise InputError(
            f"Unknown density: {density!r}. Known: {', '.join(DENSITIES)}."
        )
    return VirtualConfig(n_impurities=DENSITIES[density], difficulty=difficulty)


def simulate_virtual(config: VirtualConfig, rng: np.random.Generator) -> Scene:
    """Draw one virtual experiment and simulate it.

    Each part has randomness of its own, so that the same `rng` gives the
    same impurities and waves at every difficulty.

    Args:
        config: what to draw from.
        rng: source of randomness.

    Returns:
        A scene whose `maps` are what the instrument records, LDOS - 1 in
        units of the clean LDOS, and `waves` the waves alone, without cores
        and instrument.

    Raises:
        InputError: where the impurities cannot be placed as asked.
    """
    of_scene, of_cores, of_decoys, of_instrument, of_bound, of_surface = (
        rng.spawn(6)
    )
    seeds = of_surface.integers(2**31, size=len(config.features))
    scene = _scattered(config, of_scene, seeds, of_surface)
    scene = add_short_range(
        scene, of_cores, of_decoys, config.near.cores, config.near.decoys
    )
    scene = add_features(scene, config.features, seeds)
    # Noise does not grow with a terrace: its unit is the bare surface's.
    recording = config.acquisition.record(
        scene.maps, of_instrument, scale=scene.bare_spread
    )
    bound = bound_state_map(
        scene.everywhere,
        scene.shape,
        config.pixel_nm,
        of_bound,
        BoundStateConfig(effective_mass=config.material.effective_mass),
        decay_per_nm=_bound_decay(scene),
    )
    return scene.with_(
        maps=recording.maps, drift_px=recording.drift_px, bound_state=bound
    )


def _bound_decay(scene: Scene) -> np.ndarray | None:
    """Decay of the bound states that phase shifts belong to, [n], 1/nm."""
    if scene.scatterers is None or not scene.scatterers.kappa.size:
        return None
    return scene.scatterers.kappa / scene.pixel_nm


def _scattered(
    config: VirtualConfig,
    rng: np.random.Generator,
    seeds: np.ndarray,
    of_surface: np.random.Generator,
) -> Scene:
    """All impurities, those in the margin too, and their waves."""
    shape = (config.size_px, config.size_px)
    positions = draw_positions(
        rng,
        shape=shape,
        density=config.n_impurities / config.size_px**2,
        margin_px=config.margin_px,
        min_distance_px=config.min_distance_px,
    )
    k = config.wave_numbers
    if config.arrangement is not None:
        unit = 1 / float(k.mean())
        sites = sites_of(config.features, seeds, shape, unit)
        positions = config.arrangement.place(
            positions, sites, unit, shape, of_surface
        )
    contour = config.contour.draw(of_surface) if config.contour else CIRCLE
    low, high = config.mean_free_path_px
    scatterers = config.scatterers.draw(positions, config.bias_v, rng, k)
    length = math.exp(rng.uniform(math.log(low), math.log(high)))
    maps = ldos(
        scatterers,
        wave_number=k,
        shape=shape,
        mean_free_path=length,
        min_distance_px=config.least_distance_px,
        contour=contour,
    )
    maps -= 1
    return scattering_scene(
        scatterers,
        maps,
        k,
        mean_free_path_px=length,
        contour=contour,
        bias_v=np.asarray(config.bias_v, np.float64),
        pixel_nm=config.pixel_nm,
    )
