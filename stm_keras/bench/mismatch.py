"""Suite (iii): what differs from the training, beside what does not.

Every cell has the impurities and waves of its matched cell; what it changes
lies outside, or at the edge, of what `context` is trained on
(`stm_keras.data.augmentation`, `data_builders/scattering`).
"""

import functools
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from stm_keras.bench.case import Case, Cell, Role, case_rng
from stm_keras.bench.mismatch_effects import (
    SmoothNoise,
    add_rim_cores,
    decaying_field,
)
from stm_keras.bench.virtual import evenly_spaced, experiment
from stm_keras.simulation.instrument import (
    Acquisition,
    Drift,
    OneOverFNoise,
    Part,
    TipBlur,
    WhiteNoise,
    preset,
)
from stm_keras.simulation.ranges import spread
from stm_keras.simulation.short_range import (
    CoreRanges,
    DecoyRanges,
    add_cores,
    add_decoys,
)
from stm_keras.simulation.virtual_experiment import DENSITIES, VirtualConfig
from stm_keras.surfaces import PAPER_BIAS_V, PAPER_SIZE_PX, paper_wave_numbers

SUITE = "mismatch"
N_MAPS = 16
MASS_ERROR = 0.10
EXPONENTS = (1.5, 3.0)
_DECAY_ETA = 0.2
_BIAS_V = tuple(
    PAPER_BIAS_V[i] for i in evenly_spaced(N_MAPS, len(PAPER_BIAS_V))
)
_CONFIG = VirtualConfig(
    n_impurities=DENSITIES["medium"], difficulty="clean", bias_v=_BIAS_V
)
_DECOY_DENSITY = 3 / PAPER_SIZE_PX**2
_DECOYS = DecoyRanges(density_per_px=(_DECOY_DENSITY, _DECOY_DENSITY))
_MATCHED = "matched: typical instrument, Gaussian cores"
_MATCHED_DECAY = "matched: decay 1/r^2"


@dataclass(frozen=True)
class Change:
    """How a case differs from its matched one.

    Attributes:
        cores: ranges of Gaussian cores; None draws discs with a rim.
        parts: of the acquisition, each in place of the part of the kind that
            it is listed under.
        mass_error: relative error of the m* that finders are told.
    """

    cores: CoreRanges | None = CoreRanges()  # noqa: RUF009 (frozen)
    parts: tuple[tuple[type[Part], Part], ...] = ()
    mass_error: float = 0.0


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
    "m* told 10 % too high": Change(mass_error=MASS_ERROR),
}
"""By the name of the cell; the first is the matched one."""


def acquisition(change: Change) -> Acquisition:
    """The `typical` instrument with the parts of a change."""
    parts = preset("typical", _BIAS_V).parts
    for kind, other in change.parts:
        parts = tuple(other if isinstance(p, kind) else p for p in parts)
    return Acquisition(parts)


def mismatch_case(
    change: Change, cache: Path | None, role: Role, seed: int, number: int
) -> Case:
    """One virtual experiment as a change has it.

    Args:
        change: see `Change`.
        cache: see `stm_keras.bench.virtual.experiment`.
        role: see `Role`.
        seed: of the bench.
        number: of the case.
    """
    whole = experiment(
        _CONFIG, "mismatch scene", role, seed, number, cache, waves=True
    )
    rng = case_rng("mismatch", role, seed, number)
    of_cores, of_decoys, of_instrument = rng.spawn(3)
    k, scale = whole.wave_numbers, spread(whole.waves) or 1.0
    scene = whole.waves, whole.positions, k, of_cores
    if change.cores is None:
        maps = add_rim_cores(*scene, scale=scale)
    else:
        maps = add_cores(*scene, change.cores, scale=scale)
    maps, _ = add_decoys(maps, k, of_decoys, _DECOYS, scale=scale)
    maps = acquisition(change)(maps, of_instrument, scale=spread(maps) or 1.0)
    told = k * math.sqrt(1 + change.mass_error) if change.mass_error else None
    return Case(maps, k, whole.positions, told=told)


def decay_case(exponent: float, role: Role, seed: int, number: int) -> Case:
    """A field as that of suite (i), with another exponent of the decay.

    Args:
        exponent: see `decaying_field`.
        role: see `Role`.
        seed: of the bench.
        number: of the case.
    """
    rng = case_rng("mismatch decay", role, seed, number)
    of_scene, of_noise = rng.spawn(2)
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
    # Told the matched cell's, as networks have learnt it.
    return Case(noisy, k, positions, told_decay=2.0)


def mismatch_cells(cache: Path | None = None) -> list[Cell]:
    """Cells of the suite, each matched one before those that differ.

    Finders are tuned on the matched cell: a user has no truth to tune on.

    Args:
        cache: see `stm_keras.bench.virtual.experiment`.
    """
    of_virtual = [
        (name, functools.partial(mismatch_case, change, cache), _MATCHED)
        for name, change in CHANGES.items()
    ]
    of_decay = [(_MATCHED_DECAY, functools.partial(decay_case, 2.0))] + [
        (f"decay 1/r^{p:g}", functools.partial(decay_case, p))
        for p in EXPONENTS
    ]
    every = of_virtual + [(*cell, _MATCHED_DECAY) for cell in of_decay]
    makes = {name: make for name, make, _ in every}
    return [
        Cell(
            SUITE,
            name,
            make,
            source=f"mismatch {matched}",
            beside=None if name == matched else matched,
            make_tune=makes[matched],
            tuned_on=f"{SUITE}/{matched}",
        )
        for name, make, matched in every
    ]
