"""Surfaces by name: what is changed in a virtual experiment for each kind.

Au(111) at the paper's biases; lengths in 1/k follow from its mean k. Each kind
keeps to one thing, so that a finder's weakness can be told; `real` is what no
Au(111) is without.
"""

from dataclasses import replace
from typing import Any

from stm_keras.errors import InputError
from stm_keras.simulation.instrument import (
    DoubleTip,
    InvertedContrast,
    LineNoise,
    MainsHum,
)
from stm_keras.simulation.scene import (
    Arrangement,
    ContourRanges,
    ScattererRanges,
)
from stm_keras.simulation.surface_features import (
    CLUSTER_OBJECTS,
    NARROW_BLOBS,
    TALL_OBJECTS,
    TERRACES,
    AtomicLattice,
    Creep,
    Herringbone,
    SetPoint,
    Steps,
)
from stm_keras.simulation.virtual_experiment import VirtualConfig, named_virtual
from stm_keras.surfaces import PAPER_PIXEL_NM, paper_wave_numbers

MEAN_K_PER_NM = float(paper_wave_numbers().mean()) / PAPER_PIXEL_NM
"""Of Au(111) at the paper's biases, 1.7 rad/nm."""

_PERIOD_NM = 6.3  # J. V. Barth et al., Phys. Rev. B 42, 9307 (1990)
_DOMAIN_NM = 8.0, 25.0


def au111_herringbone(low: float, high: float) -> Herringbone:
    """The herringbone of Au(111) at the paper's biases.

    Args:
        low: least standard deviation over that of the waves.
        high: the greatest.
    """
    k = MEAN_K_PER_NM
    return Herringbone(
        period=(0.97 * _PERIOD_NM * k, 1.03 * _PERIOD_NM * k),
        domain=(_DOMAIN_NM[0] * k, _DOMAIN_NM[1] * k),
        amplitude=(low, high),
    )


KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "herringbone": {"features": (au111_herringbone(0.2, 1.0),)},
    "herringbone 3 x": {"features": (au111_herringbone(3.0, 3.0),)},
    "adsorbates at elbows": {
        "features": (au111_herringbone(0.5, 1.0),),
        "arrangement": Arrangement(site_share=0.7),
    },
    "step": {"features": (Steps(),)},
    "terraces": {"features": (TERRACES,)},
    "tall protrusions": {"features": (TALL_OBJECTS,)},
    "narrow blobs": {"features": (NARROW_BLOBS,)},
    "clusters": {"features": (CLUSTER_OBJECTS,)},
    "lattice": {"features": (AtomicLattice(),)},
    "two species": {"scatterers": ScattererRanges(n_species=(2, 2))},
    "bound states": {"scatterers": ScattererRanges(bound_share=1.0)},
    "close pairs": {"arrangement": Arrangement(pair_share=0.7)},
    "wall": {"arrangement": Arrangement(chain_share=1.0)},
    "ellipse 1.3": {"contour": ContourRanges(axis_ratio=(1.3, 1.3))},
    "warped 8 %": {"contour": ContourRanges(warping=(0.08, 0.08))},
    "constant current": {"features": (SetPoint(own_bias_share=1.0),)},
    "set point": {"features": (SetPoint(own_bias_share=0.0),)},
    "creep": {"features": (Creep(),)},
    "double tip": {"first_parts": (DoubleTip(),)},
    "mains hum": {"first_parts": (MainsHum(),)},
    "line noise": {"first_parts": (LineNoise(amplitude=(0.3, 0.6)),)},
    "inverted": {"first_parts": (InvertedContrast(share=1.0),)},
    "real": {
        "features": (au111_herringbone(0.2, 1.0),),
        "arrangement": Arrangement(site_share=0.3, pair_share=0.1),
    },
    "real, with a step": {
        "features": (au111_herringbone(0.2, 1.5), Steps(number=(1, 2))),
        "arrangement": Arrangement(site_share=0.3, pair_share=0.1),
    },
}
"""By name: fields of `VirtualConfig` that differ from the plain one's."""


def named_kind(name: str, config: VirtualConfig | None = None) -> VirtualConfig:
    """A virtual experiment on a surface of some kind.

    With the same randomness all kinds share the impurities of the plain one,
    but for those that arrange them, and its noise, but for those that change
    the instrument.

    Args:
        name: a key of `KINDS`.
        config: what is changed; None takes a medium density, typical.

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    if name not in KINDS:
        raise InputError(
            f"Unknown kind of surface: {name!r}. Known: {', '.join(KINDS)}."
        )
    config = config or named_virtual("medium", "typical")
    return replace(config, **KINDS[name])
