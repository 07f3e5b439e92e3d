"""What a randomised scattering field is drawn from: ranges and bounds."""

import math
from dataclasses import dataclass

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import Range, check_ranges
from stm_keras.simulation.scattering import MIN_DISTANCE_PX

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
        ring_rad_px: bounds of 2k at all energies, rad/px; pi at most.
        ring_ratio: largest k over smallest k in a field, no unit.
        band_curvature: c above, no unit.
        mean_free_path_px: l, drawn log-uniformly, px.
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

    def _check_numbers(self) -> None:
        least = {
            "size_px": 1,
            "n_voltages": 1,
            "margin_px": 0,
            "min_in_frame": 0,
            "min_distance_px": MIN_DISTANCE_PX,
            "elastic_share": 0,
            "black_share": 0,
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
