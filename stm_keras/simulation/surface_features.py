"""What a real surface adds to the waves of its impurities.

Each `Feature` is a frozen set of ranges, called with a `Scene` and a source
of randomness; it returns the scene with its maps, masks and decoys changed.
They are independent and composable: a surface is a tuple of them. Lengths are
in 1/k at the mean k of the maps (0.6 nm on the noble metals near the Fermi
level), amplitudes in standard deviations of the scattered waves, so that a
training may draw them over ranges wider than any one surface.

What they leave out: a step or a herringbone does not scatter the waves of the
impurities, nor the other way round.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage, special
from scipy.interpolate import CubicSpline

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import Range, check_ranges, draw
from stm_keras.simulation.scattering import Scatterers, ldos
from stm_keras.simulation.scene import Scene, in_frame
from stm_keras.simulation.short_range import (
    BlobRanges,
    add_blob,
    smooth_course,
)

COVERED_BY = 3.0
"""A mask tells where a feature is more than this many standard deviations of
the waves."""


@dataclass(frozen=True, kw_only=True)
class Feature(ABC):
    """One thing that a surface may have beside impurities.

    Attributes:
        share: chance that a scene has it.
    """

    share: float = 1.0

    def __call__(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """Add the feature.

        Args:
            scene: waves, cores and what was added before; not changed.
            rng: source of randomness; the same gives the same feature.

        Returns:
            A scene; the one given where chance leaves the feature out.
        """
        if rng.random() >= self.share:
            return scene
        return self.add(scene, rng)

    @abstractmethod
    def add(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """Add the feature, whatever its share; see `__call__`."""

    def sites(
        self,
        shape: tuple[int, int],
        unit_px: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Where impurities like to sit on it.

        Args:
            shape: (height, width) of the frame, px.
            unit_px: 1/k, px.
            rng: as given to `__call__` afterwards, from the same state.

        Returns:
            (row, column), float64 [m, 2], px; none but of the herringbone.
        """
        del shape, unit_px, rng
        return np.empty((0, 2))


def add_features(
    scene: Scene, features: Sequence[Feature], seeds: Sequence[int] | np.ndarray
) -> Scene:
    """Add features one after another, each with a seed of its own."""
    for feature, seed in zip(features, seeds, strict=True):
        scene = feature(scene, np.random.default_rng(seed))
    return scene


def sites_of(
    features: Sequence[Feature],
    seeds: Sequence[int] | np.ndarray,
    shape: tuple[int, int],
    unit_px: float,
) -> np.ndarray:
    """Sites of all features, as the same seeds will draw them, [m, 2]."""
    every = [np.empty((0, 2))]
    for feature, seed in zip(features, seeds, strict=True):
        rng = np.random.default_rng(seed)
        if rng.random() < feature.share:
            every.append(feature.sites(shape, unit_px, rng))
    return np.concatenate(every)


def _masked(scene: Scene, name: str, mask: np.ndarray) -> dict:
    """The scene's masks with one more; those of one name are joined."""
    before = scene.masks.get(name)
    return {**scene.masks, name: mask if before is None else mask | before}


# --- steps and terraces --------------------------------------------------


def step_wave(
    x: np.ndarray, reflection: float = 1.0, phase_rad: float = math.pi
) -> np.ndarray:
    """Modulation of the LDOS beside a straight step, in units of the clean.

    The sum over all directions in which electrons of one energy meet the
    step, each reflected with the same amplitude r exp(i phase):

        r 2/pi int_0^{pi/2} cos(2 k d cos(theta) + phase) dtheta
        = r (cos(phase) J0(2 k d) - sin(phase) H0(2 k d)),

    H0 being Struve's function. A hard wall has r = 1, phase = pi, and no
    electrons at d = 0. Far away the wave falls as 1 / sqrt(d) (M. F. Crommie
    et al., Nature 363, 524 (1993), doi:10.1038/363524a0).

    Args:
        x: q d = 2 k d, d being the distance from the step; 0 or more.
        reflection: r, no unit.
        phase_rad: of the reflection, rad.

    Returns:
        float64, the shape of `x`.
    """
    wave = math.cos(phase_rad) * special.j0(x)
    return reflection * (wave - math.sin(phase_rad) * special.struve(0, x))


@dataclass(frozen=True, kw_only=True)
class Steps(Feature):
    """Atomic steps: a rim along a line, waves off it, terraces beside it.

    Attributes:
        number: fewest and most steps; they are nearly parallel and descend
            in one direction.
        reflection: amplitude of the waves on either side, no unit.
        phase_rad: their phase about pi, that of a hard wall, rad.
        rim_amplitude: height of the rim [standard deviations of the waves];
            bright or dark.
        rim_width: standard deviation of its profile [1/k].
        meander: of the line about a straight one, standard deviation [1/k].
        height: of a terrace over the next [standard deviations of the
            waves]: 0 in dI/dV maps, 60 and more in topographs.
        decoration_px: adsorbates without waves on the step, for each px of
            its length.
        dispersion: how far rim and reflection change with k
            (`short_range.smooth_course`).
    """

    number: tuple[int, int] = (1, 1)
    reflection: Range = (0.2, 0.9)
    phase_rad: Range = (-0.7, 0.7)
    rim_amplitude: Range = (1.0, 10.0)
    rim_width: Range = (0.25, 0.9)
    meander: Range = (0.0, 0.8)
    height: Range = (0.0, 0.5)
    decoration_px: Range = (0.0, 0.05)
    dispersion: Range = (0.0, 0.5)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            number=(1, 100),
            reflection=(0.0, 1.0),
            phase_rad=(-math.pi, math.pi),
            rim_amplitude=(0.0, 1000.0),
            rim_width=(0.01, 20.0),
            meander=(0.0, 20.0),
            height=(0.0, 1e4),
            decoration_px=(0.0, 1.0),
            dispersion=(0.0, 10.0),
        )

    def add(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """See `Feature`."""
        count = int(rng.integers(*self.number, endpoint=True))
        angle = rng.uniform(0, 2 * math.pi)
        normal = np.array([math.sin(angle), math.cos(angle)])
        middle = (np.asarray(scene.shape) - 1) / 2
        half = min(scene.shape) / 2
        # Steps of one staircase keep some distance, and cross the frame.
        places = np.linspace(-0.8, 0.8, 2 * count + 1)[1::2]
        places += rng.uniform(-0.7, 0.7, count) * 0.8 / count
        height = float(draw(self.height, rng)) * scene.wave_spread
        for place in places:
            centre = middle + half * place * normal
            turned = angle + rng.normal(0, 0.05)
            scene = self._one(scene, centre, turned, height, rng)
        return scene

    def _one(
        self,
        scene: Scene,
        centre: np.ndarray,
        angle: float,
        height: float,
        rng: np.random.Generator,
    ) -> Scene:
        """One step: `height` is added where the normal points away from."""
        unit, scale = scene.unit_px, scene.wave_spread
        distance = self._distance(scene, centre, angle, rng)
        maps = scene.maps + self._waves(scene, distance, rng)
        width = unit * float(draw(self.rim_width, rng))
        rim = float(draw(self.rim_amplitude, rng)) * rng.choice((-1.0, 1.0))
        course = smooth_course(scene.wave_numbers, self.dispersion, rng)
        profile = np.exp(-((distance / width) ** 2) / 2)
        maps += (scale * rim * course)[:, None, None] * profile
        terrace = special.erfc(distance / (math.sqrt(2) * width)) / 2
        maps += height * terrace
        covered = np.abs(rim) * profile + height / scale * profile
        mask = _masked(scene, "step", covered > COVERED_BY)
        scene = scene.with_(maps=maps.astype(np.float32), masks=mask)
        return self._decorated(scene, np.abs(distance), rng)

    def _distance(
        self,
        scene: Scene,
        centre: np.ndarray,
        angle: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Signed distance from the line, float64 [H, W], px."""
        row, col = np.indices(scene.shape) - centre[:, None, None]
        across = math.sin(angle) * row + math.cos(angle) * col
        along = math.cos(angle) * row - math.sin(angle) * col
        # A few long waves along the line, longer ones stronger.
        length = math.hypot(*scene.shape)
        order = np.arange(1, 5)
        bend = rng.normal(size=4) / order * float(draw(self.meander, rng))
        phase = rng.uniform(0, 2 * math.pi, 4)
        turns = 2 * math.pi * order * along[..., None] / length + phase
        return across - scene.unit_px * (bend * np.sin(turns)).sum(axis=-1)

    def _waves(
        self, scene: Scene, distance: np.ndarray, rng: np.random.Generator
    ) -> np.ndarray:
        """Waves on both terraces, float64 [V, H, W]."""
        farthest = np.abs(distance).max() * scene.q.max()
        x = np.linspace(0, farthest, 64 + int(40 * farthest))
        waves = np.zeros(scene.maps.shape)
        for side in (distance < 0, distance >= 0):
            amplitude = float(draw(self.reflection, rng))
            phase = math.pi + float(draw(self.phase_rad, rng))
            course = smooth_course(scene.wave_numbers, self.dispersion, rng)
            table = step_wave(x, 1.0, phase)
            d = np.abs(distance[side])
            damping = np.exp(-d / scene.mean_free_path_px)
            reflected = np.clip(amplitude * course, -1, 1)
            for wave, q, r in zip(waves, scene.q, reflected, strict=True):
                wave[side] += r * np.interp(q * d, x, table) * damping
        return waves

    def _decorated(
        self, scene: Scene, distance: np.ndarray, rng: np.random.Generator
    ) -> Scene:
        length = max(scene.shape)
        count = rng.poisson(float(draw(self.decoration_px, rng)) * length)
        near = np.argwhere(distance < 0.7)
        if not count or not len(near):
            return scene
        places = near[rng.integers(len(near), size=count)]
        places = places + rng.uniform(-0.5, 0.5, (count, 2))
        maps, scale = scene.maps.copy(), scene.wave_spread
        kind = BlobRanges(amplitude=(2.0, 10.0), positive_share=0.8)
        for place in places:
            add_blob(maps, place, scene.wave_numbers, rng, kind, scale)
        decoys = np.concatenate([scene.decoys, places])
        return scene.with_(maps=maps, decoys=decoys)


TERRACES = Steps(
    number=(1, 3),
    height=(20.0, 100.0),
    rim_amplitude=(0.0, 10.0),
    dispersion=(0.0, 0.1),
)
"""Steps of a topograph: terraces 20 to 100 times the waves."""


# --- the herringbone -----------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Herringbone(Feature):
    """The 22 x sqrt(3) reconstruction of Au(111).

    Pairs of stripes, the walls between fcc and hcp regions, in domains whose
    stripes turn by 120 degrees from one to the next (J. V. Barth et al.,
    Phys. Rev. B 42, 9307 (1990), doi:10.1103/PhysRevB.42.9307). Its
    potential of about 40 meV modulates the LDOS differently at each bias (W.
    Chen et al., Phys. Rev. Lett. 80, 1469 (1998),
    doi:10.1103/PhysRevLett.80.1469).

    The Rashba splitting of the same surface state is not simulated: it does
    not show in the charge density of standing waves (L. Petersen and P.
    Hedegard, Surf. Sci. 459, 49 (2000)).

    Attributes:
        period: of the stripe pairs, across them [1/k]; 6.3 nm on Au(111).
        domain: width of a domain along the zigzag [1/k]; some 8 to 25 nm.
        amplitude: standard deviation of the modulation [standard deviations
            of the waves].
        hcp_share: width of the hcp region over the period, no unit.
        wall_width: standard deviation of a wall's profile over the period.
        dispersion: how far walls and regions change with k
            (`short_range.smooth_course`), each in its own way.
    """

    period: Range = (5.0, 15.0)
    domain: Range = (12.0, 45.0)
    amplitude: Range = (0.2, 3.0)
    hcp_share: Range = (0.38, 0.45)
    wall_width: Range = (0.06, 0.11)
    dispersion: Range = (0.2, 1.2)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            period=(0.5, 1000.0),
            domain=(0.5, 1e4),
            amplitude=(0.0, 1000.0),
            hcp_share=(0.05, 0.95),
            wall_width=(0.01, 0.5),
            dispersion=(0.0, 10.0),
        )

    def add(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """See `Feature`."""
        pattern = self._pattern(scene.unit_px, scene.shape, rng)
        row, col = np.indices(scene.shape)
        phase = pattern.phase(row, col)
        apart = float(draw(self.hcp_share, rng))
        width = float(draw(self.wall_width, rng))
        # Periodic bumps (von Mises), the two walls `apart` of a period.
        sharp = 1 / (2 * math.pi * width) ** 2
        walls = np.zeros(scene.shape)
        for side in (-0.5, 0.5):
            turn = 2 * math.pi * (phase - side * apart)
            walls += np.exp(sharp * (np.cos(turn) - 1))
        hcp = np.tanh(
            (np.cos(2 * math.pi * phase) - math.cos(math.pi * apart)) / 0.3
        )
        k = scene.wave_numbers
        strength = rng.uniform(0.3, 1.0) * rng.choice((-1.0, 1.0), 2)
        strength *= (1.0, 0.5)
        courses = [smooth_course(k, self.dispersion, rng) for _ in range(2)]
        modulation = sum(
            (s * c)[:, None, None] * _standard(shape)
            for s, c, shape in zip(strength, courses, (walls, hcp), strict=True)
        )
        size = scene.wave_spread * float(draw(self.amplitude, rng))
        modulation *= size / (np.std(modulation) or 1.0)
        return scene.with_(maps=(scene.maps + modulation).astype(np.float32))

    def sites(
        self,
        shape: tuple[int, int],
        unit_px: float,
        rng: np.random.Generator,
    ) -> np.ndarray:
        """Elbows, where the walls turn: adsorbates sit there."""
        return self._pattern(unit_px, shape, rng).elbows(shape)

    def _pattern(
        self, unit_px: float, shape: tuple[int, int], rng: np.random.Generator
    ) -> "Zigzag":
        return Zigzag(
            period_px=unit_px * float(draw(self.period, rng)),
            domain_px=unit_px * float(draw(self.domain, rng)),
            angle_rad=rng.uniform(0, 2 * math.pi),
            origin_px=rng.uniform(0, max(shape), 2),
        )


def _standard(image: np.ndarray) -> np.ndarray:
    return (image - image.mean()) / (image.std() or 1.0)


@dataclass(frozen=True)
class Zigzag:
    """Stripes that run at +30 and -30 degrees to an axis in turn.

    Attributes:
        period_px: across the stripes [px].
        domain_px: along the axis from one elbow to the next [px].
        angle_rad: of the axis against a row [rad].
        origin_px: an elbow (row, column) [px].
    """

    period_px: float
    domain_px: float
    angle_rad: float
    origin_px: np.ndarray

    @property
    def _rise(self) -> float:
        """Distance of the stripes along the normal of the axis [px]."""
        return self.period_px / math.cos(math.pi / 6)

    def phase(self, row: np.ndarray, col: np.ndarray) -> np.ndarray:
        """Number of stripe pairs from the origin, float64, the same shape."""
        row, col = row - self.origin_px[0], col - self.origin_px[1]
        along = math.cos(self.angle_rad) * col + math.sin(self.angle_rad) * row
        normal = math.cos(self.angle_rad) * row - math.sin(self.angle_rad) * col
        return (normal - self._shift(along)) / self._rise

    def _shift(self, along: np.ndarray) -> np.ndarray:
        """How far a stripe has risen: a triangle with slopes +- tan 30."""
        turn = math.pi * along / self.domain_px
        # A little short of 1, so that elbows are round.
        triangle = np.arcsin(0.985 * np.sin(turn - math.pi / 2))
        return math.tan(math.pi / 6) * self.domain_px / math.pi * triangle

    def elbows(self, shape: tuple[int, int]) -> np.ndarray:
        """Elbows in a frame and half as far around it, [m, 2], px."""
        reach = 2 * max(shape)
        n_along = np.arange(-reach // self.domain_px, reach // self.domain_px)
        n_across = np.arange(-reach // self._rise, reach // self._rise)
        along = np.repeat(n_along, len(n_across)) * self.domain_px
        normal = np.tile(n_across, len(n_along)) * self._rise
        normal = normal + self._shift(along)
        c, s = math.cos(self.angle_rad), math.sin(self.angle_rad)
        places = np.stack([c * normal + s * along, c * along - s * normal], 1)
        places = places + self.origin_px
        rim = 0.5 * np.asarray(shape)
        near = (places > -rim) & (places < np.asarray(shape) + rim)
        return places[near.all(axis=1)]


# --- tall things ---------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Objects(Feature):
    """Objects without waves, each of some blobs: adsorbates, clusters.

    Attributes:
        kind: what a blob is drawn from.
        density_per_px: objects for each pixel; the number is drawn from it.
        members: fewest and most blobs of an object.
        member_spread: standard deviation of their places in it [1/k].
    """

    kind: BlobRanges
    density_per_px: Range = (0.0, 0.001)
    members: tuple[int, int] = (1, 1)
    member_spread: Range = (0.5, 1.5)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            density_per_px=(0.0, 1.0),
            members=(1, 1000),
            member_spread=(0.0, 100.0),
        )

    def add(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """See `Feature`."""
        height, width = scene.shape
        mean = float(draw(self.density_per_px, rng)) * height * width
        count = max(1, rng.poisson(mean)) if mean else 0
        places = rng.uniform(-0.5, np.asarray(scene.shape) - 0.5, (count, 2))
        added, scale = np.zeros_like(scene.maps), scene.wave_spread
        for place in places:
            n = int(rng.integers(*self.members, endpoint=True))
            reach = scene.unit_px * float(draw(self.member_spread, rng))
            around = reach * rng.standard_normal((n, 2)) if n > 1 else 0
            for member in np.broadcast_to(place + around, (n, 2)):
                add_blob(
                    added, member, scene.wave_numbers, rng, self.kind, scale
                )
        covered = np.abs(added).max(axis=0) > COVERED_BY * scale
        return scene.with_(
            maps=scene.maps + added,
            decoys=np.concatenate([scene.decoys, places]),
            masks=_masked(scene, "tall", covered),
        )


NARROW_BLOBS = Objects(
    kind=BlobRanges(amplitude=(5.0, 16.0), sigma=(0.25, 0.7)),
    density_per_px=(0.0005, 0.003),
)
"""Adsorbates without waves, 5 to 16 times as high as these."""

TALL_OBJECTS = Objects(
    kind=BlobRanges(
        amplitude=(10.0, 60.0),
        sigma=(0.5, 2.0),
        dispersion=(0.0, 0.2),
        positive_share=0.9,
    ),
    density_per_px=(1e-4, 6e-4),
)
"""Protrusions 10 to 60 times as high as the waves."""

CLUSTER_OBJECTS = Objects(
    kind=BlobRanges(
        amplitude=(4.0, 30.0),
        sigma=(0.4, 1.0),
        dispersion=(0.0, 0.3),
        positive_share=0.9,
    ),
    density_per_px=(1e-4, 5e-4),
    members=(3, 15),
    member_spread=(0.8, 3.0),
)
"""Clusters of molecules that hide their own waves."""


@dataclass(frozen=True, kw_only=True)
class AtomicLattice(Feature):
    """The atoms themselves: a hexagonal lattice, alike in all maps.

    Coarse pixels alias it, as those of an instrument do.

    Attributes:
        amplitude: standard deviation [standard deviations of the waves].
        wave_vector_rad_px: of its three waves, at the mean [rad/px].
    """

    amplitude: Range = (0.1, 1.0)
    wave_vector_rad_px: Range = (1.5, 6.0)

    def __post_init__(self) -> None:
        check_ranges(
            self, amplitude=(0.0, 1000.0), wave_vector_rad_px=(0.01, 1000.0)
        )

    def add(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """See `Feature`."""
        size = scene.wave_spread * float(draw(self.amplitude, rng))
        vector = float(draw(self.wave_vector_rad_px, rng))
        angle = rng.uniform(0, math.pi / 3) + np.arange(3) * math.pi / 3
        start = rng.uniform(0, 2 * math.pi, 2)
        row, col = np.indices(scene.shape)
        # The third wave's phase follows: atoms sit where all three are high.
        phases = np.array([start[0], start[0] + start[1], start[1]])
        lattice = sum(
            np.cos(vector * (math.sin(a) * row + math.cos(a) * col) + p)
            for a, p in zip(angle, phases, strict=True)
        )
        lattice = np.float32(size) * _standard(np.asarray(lattice))
        return scene.with_(maps=(scene.maps + lattice).astype(np.float32))


# --- how the maps were taken ---------------------------------------------


@dataclass(frozen=True, kw_only=True)
class SetPoint(Feature):
    """Feedback: what is recorded is the LDOS over its integral to a bias.

        map(r, E) = rho(r, E) / mean of rho(r, E') from E_F to E_set, less 1

    The denominator has waves of its own, which appear in every map: a ghost.
    Where each map is set at its own bias (constant-current dI/dV) it
    disperses with the map; where one bias sets them all it stands still (A.
    J. Macdonald et al., arXiv:1606.07402).

    Attributes:
        own_bias_share: chance that every map is set at its own bias.
        fermi: energy of E_F, 0 being that of the first and 1 that of the
            last map; used where the scene has no biases.
        set_point: likewise of the common set point, drawn from the middle of
            the stack outwards.
        n_nodes: energies at which the waves are computed for the integral;
            a few for each turn of 2 k r over them.
    """

    own_bias_share: float = 0.5
    fermi: Range = (-0.3, 1.3)
    set_point: Range = (0.0, 1.0)
    n_nodes: int = 32

    def __post_init__(self) -> None:
        check_ranges(self, fermi=(-2.0, 3.0), set_point=(-2.0, 3.0))

    def add(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """See `Feature`."""
        if scene.scatterers is None or not len(scene.everywhere):
            return scene
        own = rng.random() < self.own_bias_share
        energies, fermi = self._energies(scene, float(draw(self.fermi, rng)))
        place = float(draw(self.set_point, rng))
        common = energies[0] + place * (energies[-1] - energies[0])
        ends = energies if own else np.array([common])
        # What is no wave (cores, steps) is taken as that of the mean map.
        rest = (scene.maps - scene.waves).mean(axis=0)
        waves = _mean_waves(scene, energies, fermi, ends, self.n_nodes)
        current = np.maximum(1 + waves + rest, 0.05)
        recorded = (1 + scene.maps) / current - 1
        return scene.with_(maps=recorded.astype(np.float32))

    @staticmethod
    def _energies(scene: Scene, fermi: float) -> tuple[np.ndarray, float]:
        """Energies of the maps and E_F, in a unit linear in energy."""
        if scene.bias_v.size:
            return scene.bias_v, 0.0
        # k^2 is linear in the energy but for the drawn band's curvature.
        squares = scene.wave_numbers**2
        low, high = squares.min(), squares.max()
        return squares, low + fermi * (high - low)


def _mean_waves(
    scene: Scene,
    energies: np.ndarray,
    fermi: float,
    ends: np.ndarray,
    n_nodes: int,
) -> np.ndarray:
    """Mean of LDOS - 1 from E_F to each end, float64 [N, H, W].

    One grid of energies serves all ends; between its nodes the waves are a
    cubic spline. k^2 and the phase shifts are continued from the maps'
    energies by parabolas; where there is no travelling wave there is none.
    """
    every = np.append(ends, fermi)
    grid = np.linspace(every.min(), every.max(), n_nodes)
    if np.ptp(grid) == 0:
        return _waves_at(scene, energies, grid[:1]).astype(np.float64)
    spline = CubicSpline(grid, _waves_at(scene, energies, grid))
    total = spline.antiderivative()
    # So near E_F the mean is the value itself.
    near = np.abs(ends - fermi) < 1e-9 * np.ptp(grid)
    width = np.where(near, 1.0, ends - fermi)[:, None, None]
    means = (total(ends) - total(fermi)) / width
    return np.where(near[:, None, None], spline(fermi), means)


def _waves_at(scene: Scene, energies: np.ndarray, at: np.ndarray) -> np.ndarray:
    """LDOS - 1 of a scene's impurities at other energies, [N, H, W]."""
    scatterers = scene.scatterers
    if scatterers is None:
        raise InputError("The waves of this scene's scatterers are not known.")
    centre, degree = energies.mean(), min(2, len(energies) - 1)
    squares = _continued(energies - centre, scene.wave_numbers**2, degree)
    shifts = _continued(energies - centre, scatterers.delta, degree)
    k = np.sqrt(np.maximum(squares(at - centre), 0))
    travelling = k > 0.05 * scene.wave_numbers.min()
    maps = np.zeros((len(at), *scene.shape), np.float32)
    if not travelling.any():
        return maps
    others = Scatterers(
        scatterers.positions,
        shifts((at - centre)[travelling]),
        np.atleast_2d(scatterers.absorption).mean(axis=0),
    )
    maps[travelling] = ldos(
        others,
        # Continued upwards they might outgrow what pixels can show.
        wave_number=np.minimum(k, math.pi / 2 / scene.contour.widest)[
            travelling
        ],
        shape=scene.shape,
        mean_free_path=scene.mean_free_path_px,
        min_distance_px=1e-3,
        contour=scene.contour,
    )
    maps[travelling] -= 1
    return maps


def _continued(
    x: np.ndarray, y: np.ndarray, degree: int
) -> Callable[[np.ndarray], np.ndarray]:
    """A polynomial through y [V] or [V, n] over x [V], as a function."""
    powers = np.vander(x, degree + 1)
    coefficients = np.linalg.lstsq(powers, y, rcond=None)[0]
    return lambda new: np.vander(new, degree + 1) @ coefficients


@dataclass(frozen=True, kw_only=True)
class Creep(Feature):
    """Piezo creep after the start of each map, and shear by steady drift.

    Line after line the scanner is displaced a little farther; positions go
    along, so that they stay where the maps show them.

    Attributes:
        creep_px: displacement that is left at the first line, either
            direction [px].
        relaxation: over which it dies away, in frames.
        shear: displacement along the line by the last one, over the height.
    """

    creep_px: Range = (0.0, 2.0)
    relaxation: Range = (0.05, 0.4)
    shear: Range = (0.0, 0.06)

    def __post_init__(self) -> None:
        check_ranges(
            self,
            creep_px=(0.0, 20.0),
            relaxation=(0.01, 10.0),
            shear=(0.0, 0.5),
        )

    def add(self, scene: Scene, rng: np.random.Generator) -> Scene:
        """See `Feature`."""
        height = scene.shape[0]
        size = float(draw(self.creep_px, rng))
        angle = rng.uniform(0, 2 * math.pi)
        decay = height * float(draw(self.relaxation, rng))
        shear = float(draw(self.shear, rng)) * rng.choice((-1.0, 1.0))
        # Not so fast that lines are scanned twice.
        size = min(size, 0.7 * decay)

        def moved(row: np.ndarray) -> np.ndarray:
            """Where the tip is beside its place at a line, [..., 2], px."""
            left = size * np.exp(-np.maximum(row, 0) / decay)
            slide = shear * (row - (height - 1) / 2)
            return np.stack(
                [math.sin(angle) * left, math.cos(angle) * left + slide], -1
            )

        row, col = np.indices(scene.shape, np.float64)
        step = moved(row)
        at = np.stack([row + step[..., 0], col + step[..., 1]])
        masks = {
            name: _bent(mask[None].astype(np.float32), at, 1)[0] > 0.5
            for name, mask in scene.masks.items()
        }
        return _relocated(scene, moved).with_(
            maps=_bent(scene.maps, at, 5),
            waves=_bent(scene.waves, at, 5),
            masks=masks,
        )


_Path = Callable[[np.ndarray], np.ndarray]
"""From lines to displacements (row, column) of the tip there [..., 2] [px]."""


def _bent(maps: np.ndarray, at: np.ndarray, order: int) -> np.ndarray:
    """Maps [V, H, W] at other places `at` [2, H, W], by splines."""
    bent = [
        ndimage.map_coordinates(m, at, order=order, mode="reflect")
        for m in maps
    ]
    return np.asarray(bent, np.float32).reshape(maps.shape)


def _relocated(scene: Scene, moved: _Path) -> Scene:
    """The scene with all of its places where they are seen.

    A place p is seen at the line and column s with s + moved(s) = p.
    """

    def seen(places: np.ndarray) -> np.ndarray:
        places = np.asarray(places, np.float64)
        new = places.copy()
        for _ in range(60):  # contracts by 0.7 a time
            new = places - moved(new[:, 0])
        return new

    every = seen(scene.everywhere)
    within = in_frame(every, scene.shape)
    scatterers = scene.scatterers
    if scatterers is not None:
        scatterers = replace(scatterers, positions=every)
    return scene.with_(
        positions=every[within],
        outside=every[~within],
        decoys=seen(scene.decoys),
        scatterers=scatterers,
    )
