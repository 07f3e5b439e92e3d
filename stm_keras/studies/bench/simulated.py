"""Simulated cells: suites eq3, virtual, mismatch and phase.

- eq3: fields of the paper's Eq. 3 with white noise.
- virtual: Au(111) experiments at several numbers of voltages.
- mismatch: what differs from the training, beside what does not. Every cell
  has the impurities and waves of its matched cell; what it changes lies
  outside, or at the edge, of what `context` is trained on
  (`stm_keras.training.augmentation`, `data_builders/scattering`).
- phase: waves, cores and white noise over density and noise.
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import tensorflow as tf
from scipy import ndimage

from stm_keras.files import atomic_file, writable_directory
from stm_keras.simulation.friedel import (
    FriedelConfig,
    normalise,
    simulate_friedel,
)
from stm_keras.simulation.instrument import (
    Acquisition,
    Draws,
    Drift,
    OneOverFNoise,
    Part,
    TipBlur,
    WhiteNoise,
    preset,
)
from stm_keras.simulation.ranges import Range, check_ranges, draw, spread
from stm_keras.simulation.short_range import (
    CoreRanges,
    DecoyRanges,
    add_cores,
    add_decoys,
    window_at,
)
from stm_keras.simulation.virtual_experiment import (
    DENSITIES,
    DIFFICULTIES,
    VirtualConfig,
    named_virtual,
    simulate_virtual,
)
from stm_keras.studies.bench.cases import Case, CaseId, Cell, Make
from stm_keras.surfaces import PAPER_BIAS_V, PAPER_SIZE_PX, paper_wave_numbers

EQ3, VIRTUAL, MISMATCH, PHASE = "eq3", "virtual", "mismatch", "phase"

EQ3_NOISE = (0.2, 0.5, 0.8)
"""Standard deviations; the paper's own is the last."""

ISOLATED_NOISE = (0.2, 0.5)
FIELDS = FriedelConfig(
    size_px=32, n_voltages=8, n_impurities=(3, 8), on_grid=False
)
"""The data set `friedel/bench32`, drawn from other seeds."""

ISOLATED = FriedelConfig(
    size_px=32, n_voltages=8, n_impurities=(1, 1), on_grid=False
)

VIRTUAL_MAPS = (1, 4, 16, 32, 126)
_IN_MEMORY = 48
"""Experiments kept, of 3 MB each."""

PHASE_IMPURITIES = (8, 16, 32, 64, 128)
"""To be expected in 80 x 80 px."""

PHASE_NOISE = (0.25, 0.5, 1.0, 2.0, 4.0)
"""Standard deviations of white noise, in that of the waves."""


def eq3_case(
    config: FriedelConfig, stream: str, eta: float, which: CaseId
) -> Case:
    """One field of Eq. 3, in [-1, 1], and white noise on it.

    Args:
        config: what the field is drawn from.
        stream: see `CaseId.rng`; the noise levels share fields and noise.
        eta: standard deviation of the noise, in units of the largest value.
        which: the case.
    """
    of_field, of_noise = which.rng(stream).spawn(2)
    field = simulate_friedel(config, of_field, 1)
    clean = field.maps[0]
    noise = of_noise.standard_normal(clean.shape, np.float32)
    return Case(
        maps=clean + np.float32(eta) * noise,
        wave_numbers=field.wave_numbers[0].astype(np.float64),
        positions=field.positions[0].astype(np.float64),
        sigma=eta,
        clean=clean,
        given_decay=2.0,
    )


def eq3_cells() -> list[Cell]:
    """Cells of suite eq3."""
    several = [(f"eta {eta:g}", FIELDS, "eq3", eta) for eta in EQ3_NOISE]
    isolated = [
        (f"isolated impurity, eta {eta:g}", ISOLATED, "eq3 isolated", eta)
        for eta in ISOLATED_NOISE
    ]
    return [
        Cell(
            EQ3,
            name,
            functools.partial(eq3_case, config, stream, eta),
            source=stream,
        )
        for name, config, stream, eta in several + isolated
    ]


class Experiment(NamedTuple):
    """What is kept of a `VirtualExperiment`; see there."""

    maps: np.ndarray
    waves: np.ndarray
    wave_numbers: np.ndarray
    positions: np.ndarray


@functools.lru_cache(maxsize=_IN_MEMORY)
def experiment(
    config: VirtualConfig,
    stream: str,
    which: CaseId,
    cache: Path | None = None,
    waves: bool = False,
) -> Experiment:
    """Simulate one experiment, or read it from the cache.

    Args:
        config: what it is drawn from.
        stream: see `CaseId.rng`; configs that share it share impurities.
        which: the case.
        cache: folder to keep it in; None keeps it in memory alone.
        waves: whether the waves alone are wanted beside the maps.
    """
    path = None
    if cache is not None:
        role, seed, number = which.role.name, which.seed, which.number
        name = f"{stream}-{config.difficulty}-{role}-{seed}-{number}"
        path = writable_directory(cache) / f"{name.replace(' ', '_')}.npz"
        if path.exists():
            with np.load(path) as stored:
                return Experiment(**{n: stored[n] for n in Experiment._fields})
    whole = simulate_virtual(config, which.rng(stream))
    nothing = np.empty((0, 0, 0), np.float32)
    kept = Experiment(
        whole.maps,
        whole.waves if waves else nothing,
        whole.wave_numbers,
        whole.positions,
    )
    if path is not None:
        with atomic_file(path) as temporary:
            np.savez(temporary, **kept._asdict())
    return kept


def evenly_spaced(n_kept: int, n_maps: int) -> np.ndarray:
    """The middle of each of `n_kept` equal parts of `n_maps`, int [n_kept]."""
    return ((np.arange(n_kept) + 0.5) * n_maps / n_kept).astype(int)


SIXTEEN_BIAS_V = tuple(
    PAPER_BIAS_V[i] for i in evenly_spaced(16, len(PAPER_BIAS_V))
)
"""Of suites mismatch and phase."""


def virtual_case(
    density: str,
    difficulty: str,
    n_maps: int,
    cache: Path | None,
    which: CaseId,
) -> Case:
    """Some of the maps of one virtual experiment.

    The three difficulties of a density share impurities and waves, the
    numbers of maps the whole experiment.

    Args:
        density: a key of `DENSITIES`.
        difficulty: a key of `DIFFICULTIES`.
        n_maps: how many of the 126, evenly spaced.
        cache: see `experiment`.
        which: the case.
    """
    config = named_virtual(density, difficulty)
    whole = experiment(config, f"virtual {density}", which, cache)
    kept = evenly_spaced(n_maps, len(whole.maps))
    return Case(whole.maps[kept], whole.wave_numbers[kept], whole.positions)


def virtual_make(
    density: str, difficulty: str, n_maps: int, cache: Path | None
) -> Make:
    """`virtual_case` of one cell."""
    return functools.partial(virtual_case, density, difficulty, n_maps, cache)


def virtual_name(density: str, difficulty: str, n_maps: int) -> str:
    """Name of a cell."""
    return f"{difficulty}, {density}, {n_maps} maps".replace("1 maps", "1 map")


def virtual_cells(cache: Path | None = None) -> list[Cell]:
    """Cells of suite virtual, those of one experiment together.

    Args:
        cache: see `experiment`.
    """
    return [
        Cell(
            VIRTUAL,
            virtual_name(density, difficulty, n_maps),
            virtual_make(density, difficulty, n_maps, cache),
            source=f"virtual {density} {difficulty}",
        )
        for difficulty in DIFFICULTIES
        for density in DENSITIES
        for n_maps in VIRTUAL_MAPS
    ]


@dataclass(frozen=True, kw_only=True)
class SmoothNoise(Part):
    """Noise smooth along both axes, independent in every map.

    Trainings know white noise, 1/f^slope, and noise smooth along the scan
    line; a hump in the spectrum alike in all directions is none of them.

    Attributes:
        amplitude: standard deviation [standard deviations of the maps].
        sigma_px: width of the Gaussian that smooths it [px].
    """

    amplitude: Range = (0.25, 0.25)
    sigma_px: float = 1.0

    def __post_init__(self) -> None:
        check_ranges(self, amplitude=(0.0, 1000.0))

    def apply(
        self, maps: tf.Tensor, draws: Draws, scale: tf.Tensor | float
    ) -> tf.Tensor:
        """See `Part`; eagerly only."""
        amplitude = scale * draws.uniform([1, 1, 1, 1], self.amplitude)
        white = np.asarray(draws.normal(maps.shape))
        width = (0.0, 0.0, self.sigma_px, self.sigma_px)
        noise = ndimage.gaussian_filter(white, width, mode="wrap")
        return maps + amplitude * (noise / (noise.std() or 1.0))


_RIM_RADIUS: Range = (0.8, 1.4)  # of the disc [1/k at the mean k]
_RIM_AMPLITUDE: Range = (1.0, 6.0)  # as the matched cores'
_EDGE_PX = 0.35
_BARE = CoreRanges(amplitude=(0.0, 0.0))


def add_rim_cores(
    maps: np.ndarray,
    positions: np.ndarray,
    wave_numbers: np.ndarray,
    rng: np.random.Generator,
    *,
    scale: float,
) -> np.ndarray:
    """Cores that are flat discs with a rim of the other sign.

    Those of all training sets are Gaussians (`short_range.add_cores`). The
    wave is damped beneath them as there.

    Args:
        maps: float32 [V, H, W], modulation of the LDOS.
        positions: of the impurities, float [n, 2] [px].
        wave_numbers: k of each map, [V] [rad/px].
        rng: source of randomness.
        scale: what amplitudes are multiples of, in the maps' unit.

    Returns:
        float32 [V, H, W], a new array.
    """
    maps = add_cores(maps, positions, wave_numbers, rng, _BARE, scale=scale)
    for centre in positions:
        radius = float(draw(_RIM_RADIUS, rng)) / wave_numbers.mean()
        height = scale * float(draw(_RIM_AMPLITUDE, rng))
        height *= float(rng.choice((-1.0, 1.0)))
        window = window_at(centre, 3 * radius, maps.shape[1:])
        if window is None:
            continue
        slices, row, col = window
        r = np.hypot(row, col)
        disc = (1 - np.tanh((r - radius) / _EDGE_PX)) / 2
        rim = np.exp(-(((r - 1.6 * radius) / (0.3 * radius)) ** 2) / 2)
        maps[:, *slices] += np.float32(height) * (disc - 0.6 * rim)
    return maps


def decaying_field(
    rng: np.random.Generator,
    *,
    size_px: int,
    n_impurities: int,
    wave_numbers: np.ndarray,
    exponent: float,
) -> tuple[np.ndarray, np.ndarray]:
    """Eq. 3 of arXiv:2006.15898 with another exponent of the decay.

    Args:
        rng: source of randomness; the draw does not depend on `exponent`.
        size_px: side of the field [px].
        n_impurities: how many.
        wave_numbers: k of each map, float64 [V] [rad/px].
        exponent: p in (|r - r_w| + 1 px)^-p; Eq. 3 has 2.

    Returns:
        Maps, float32 [V, H, W] in [-1, 1], and positions, float64 [n, 2].
    """
    places = rng.uniform(-0.5, size_px - 0.5, (n_impurities, 2))
    shape = (len(wave_numbers), n_impurities, 1, 1)
    amplitudes = rng.uniform(0.5, 1.5, shape)
    phases = rng.uniform(0, 2 * np.pi, shape)
    axis = np.arange(size_px)
    r = np.hypot(
        axis[:, None] - places[:, 0, None, None],
        axis - places[:, 1, None, None],
    )
    k = np.asarray(wave_numbers)[:, None, None, None]
    waves = amplitudes * np.cos(2 * k * r + phases) / (r + 1) ** exponent
    return normalise(waves.sum(axis=1).astype(np.float32)), places


@dataclass(frozen=True)
class Change:
    """How a case differs from its matched one.

    Attributes:
        cores: ranges of Gaussian cores; None draws discs with a rim.
        parts: of the acquisition, each in place of the part of the kind that
            it is listed under.
        mass_error: relative error of the m* that finders are given.
    """

    cores: CoreRanges | None = CoreRanges()  # noqa: RUF009 (frozen)
    parts: tuple[tuple[type[Part], Part], ...] = ()
    mass_error: float = 0.0


_DECAY_EXPONENTS = (1.5, 3.0)
_DECAY_ETA = 0.2
_CLEAN = VirtualConfig(
    n_impurities=DENSITIES["medium"], difficulty="clean", bias_v=SIXTEEN_BIAS_V
)
_DECOY_DENSITY = 3 / PAPER_SIZE_PX**2
_DECOYS = DecoyRanges(density_per_px=(_DECOY_DENSITY, _DECOY_DENSITY))
_MATCHED = "matched: typical instrument, Gaussian cores"
_MATCHED_DECAY = "matched: decay 1/r^2"

CHANGES: dict[str, Change] = {
    _MATCHED: Change(),
    "cores: discs with a rim": Change(cores=None),
    "cores: twice as wide, elongated": Change(
        CoreRanges(
            amplitude=(1.0, 6.0), sigma=(1.0, 1.6), anisotropy=(2.0, 2.6)
        )
    ),
    "1/f noise 1.0": Change(
        parts=((OneOverFNoise, OneOverFNoise(amplitude=(1.0, 1.0))),)
    ),
    "smooth noise in place of white": Change(
        parts=((WhiteNoise, SmoothNoise(amplitude=(0.5, 0.5))),)
    ),
    "drift 1.5 px": Change(parts=((Drift, Drift(extent_px=(1.5, 1.5))),)),
    "tip blur 0.9 px": Change(
        parts=((TipBlur, TipBlur(sigma_px=(0.9, 0.9), anisotropy=(1, 1.2))),)
    ),
    "m* given 10 % too high": Change(mass_error=0.10),
}
"""By the name of the cell; the first is the matched one."""


def acquisition(change: Change) -> Acquisition:
    """The `typical` instrument with the parts of a change."""
    parts = preset("typical", SIXTEEN_BIAS_V).parts
    for kind, other in change.parts:
        parts = tuple(other if isinstance(p, kind) else p for p in parts)
    return Acquisition(parts)


def mismatch_case(change: Change, cache: Path | None, which: CaseId) -> Case:
    """One virtual experiment as a change has it; `cache`: see `experiment`."""
    whole = experiment(_CLEAN, "mismatch scene", which, cache, waves=True)
    of_cores, of_decoys, of_instrument = which.rng("mismatch").spawn(3)
    k, scale = whole.wave_numbers, spread(whole.waves) or 1.0
    scene = whole.waves, whole.positions, k, of_cores
    if change.cores is None:
        maps = add_rim_cores(*scene, scale=scale)
    else:
        maps = add_cores(*scene, change.cores, scale=scale)
    maps, _ = add_decoys(maps, k, of_decoys, _DECOYS, scale=scale)
    maps = acquisition(change)(maps, of_instrument, scale=spread(maps) or 1.0)
    given = k * math.sqrt(1 + change.mass_error) if change.mass_error else None
    return Case(maps, k, whole.positions, given=given)


def decay_case(exponent: float, which: CaseId) -> Case:
    """A field as that of suite eq3, with another exponent of the decay."""
    of_scene, of_noise = which.rng("mismatch decay").spawn(2)
    paper = paper_wave_numbers()
    k = np.sort(of_scene.uniform(paper.min(), paper.max(), 8))
    maps, positions = decaying_field(
        of_scene,
        size_px=32,
        n_impurities=int(of_scene.integers(3, 8, endpoint=True)),
        wave_numbers=k,
        exponent=exponent,
    )
    noise = of_noise.standard_normal(maps.shape, np.float32)
    noisy = maps + np.float32(_DECAY_ETA) * noise
    # The matched cell's decay is given, as networks have learnt it.
    return Case(noisy, k, positions, given_decay=2.0)


def mismatch_cells(cache: Path | None = None) -> list[Cell]:
    """Cells of suite mismatch, each matched one before those that differ.

    Finders are tuned on the matched cell: a user has no truth to tune on.

    Args:
        cache: see `experiment`.
    """
    of_virtual = [
        (name, functools.partial(mismatch_case, change, cache), _MATCHED)
        for name, change in CHANGES.items()
    ]
    of_decay = [(_MATCHED_DECAY, functools.partial(decay_case, 2.0))] + [
        (f"decay 1/r^{p:g}", functools.partial(decay_case, p))
        for p in _DECAY_EXPONENTS
    ]
    every = of_virtual + [(*cell, _MATCHED_DECAY) for cell in of_decay]
    makes = {name: make for name, make, _ in every}
    return [
        Cell(
            MISMATCH,
            name,
            make,
            source=f"mismatch {matched}",
            beside=None if name == matched else matched,
            make_tune=makes[matched],
            tuned_on=f"{MISMATCH}/{matched}",
        )
        for name, make, matched in every
    ]


def phase_case(
    n_impurities: int, noise: float, cache: Path | None, which: CaseId
) -> Case:
    """Waves, cores and white noise.

    Args:
        n_impurities: to be expected in the frame.
        noise: standard deviation, in that of the waves.
        cache: see `experiment`.
        which: the case.
    """
    config = VirtualConfig(
        n_impurities=n_impurities, difficulty="clean", bias_v=SIXTEEN_BIAS_V
    )
    stream = f"phase {n_impurities}"
    whole = experiment(config, stream, which, cache)
    # A word of its own: the same numbers must not draw scene and noise.
    of_cores, of_noise = which.rng(f"{stream} noise").spawn(2)
    k, scale = whole.wave_numbers, spread(whole.maps) or 1.0
    maps = add_cores(whole.maps, whole.positions, k, of_cores, scale=scale)
    maps = WhiteNoise(amplitude=(noise, noise))(maps, of_noise, scale=scale)
    return Case(maps, k, whole.positions)


def phase_name(n_impurities: int, noise: float) -> str:
    """Name of a cell."""
    return f"{n_impurities} impurities, noise {noise:g}"


def phase_cells(cache: Path | None = None) -> list[Cell]:
    """Cells of the phase diagram; `cache`: see `experiment`."""
    return [
        Cell(
            PHASE,
            phase_name(n, noise),
            functools.partial(phase_case, n, noise, cache),
            source=f"phase {n}",
        )
        for n in PHASE_IMPURITIES
        for noise in PHASE_NOISE
    ]
