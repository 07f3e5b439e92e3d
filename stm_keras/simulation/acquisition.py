"""An experiment: an ordered choice of parts, and three of them by name."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np

from stm_keras.errors import InputError
from stm_keras.simulation.disturbances import (
    BackgroundTilt,
    OneOverFNoise,
    ScanLineOffsets,
    TipJumps,
    WhiteNoise,
)
from stm_keras.simulation.energy_resolution import EnergyResolution
from stm_keras.simulation.instrument import Drift, Part, TipBlur
from stm_keras.simulation.ranges import check_maps, spread


class Recording(NamedTuple):
    """What an acquisition gives, with what it knows and a user would not.

    Attributes:
        maps: float32 [V, H, W], the unit of the maps that went in.
        drift_px: float64 [V, 2]: true displacement (row, column) of each map
            [px]; zero where nothing drifts.
    """

    maps: np.ndarray
    drift_px: np.ndarray


@dataclass(frozen=True)
class Acquisition:
    """Parts of an experiment, applied one after another.

    Every part has randomness of its own: switching one off changes nothing
    about the others. Amplitudes are multiples of the standard deviation of
    the maps before the first part.

    Attributes:
        parts: in the order in which they act.
    """

    parts: tuple[Part, ...] = ()

    def __call__(
        self,
        maps: np.ndarray,
        rng: np.random.Generator,
        *,
        scale: float | None = None,
    ) -> np.ndarray:
        """Apply all parts; arguments and errors as in `record`.

        Returns:
            float32 [V, H, W].
        """
        return self.record(maps, rng, scale=scale).maps

    def record(
        self,
        maps: np.ndarray,
        rng: np.random.Generator,
        *,
        scale: float | None = None,
    ) -> Recording:
        """Apply all parts, and keep the true drift.

        Args:
            maps: float32 [V, H, W], any unit; not changed.
            rng: source of randomness.
            scale: what amplitudes are multiples of, in the maps' unit; None
                takes the standard deviation of `maps`. Needed for maps
                without impurities, which would get no noise otherwise.

        Returns:
            The maps and the drift.

        Raises:
            InputError: for maps of another shape or with NaN, and where the
                biases of an `EnergyResolution` are not those of the maps.
        """
        check_maps(maps)
        scale = spread(maps) if scale is None else scale
        drift = np.zeros((len(maps), 2))
        seeds = rng.integers(2**63, size=len(self.parts))
        for part, seed in zip(self.parts, seeds, strict=True):
            own = np.random.default_rng(seed)
            if isinstance(part, Drift) and part.enabled:
                path = part.path(len(maps), own)
                maps = part.displace(maps, path)
                drift += path
            else:
                maps = part(maps, own, scale=scale)
        return Recording(np.asarray(maps, np.float32), drift)

    def with_bias(self, bias_v: Sequence[float] | np.ndarray) -> "Acquisition":
        """Tell the energy resolution at which biases the maps lie.

        Args:
            bias_v: [V] biases [V], one for each map, distinct.

        Returns:
            An acquisition of the same parts.
        """
        bias = tuple(float(b) for b in bias_v)
        return Acquisition(
            tuple(
                replace(p, bias_v=bias)
                if isinstance(p, EnergyResolution)
                else p
                for p in self.parts
            )
        )

    def without(self, *kinds: type[Part]) -> "Acquisition":
        """Switch off all parts of some kinds, such as `Drift`."""
        return Acquisition(
            tuple(
                replace(p, enabled=False) if isinstance(p, kinds) else p
                for p in self.parts
            )
        )


PRESETS: dict[str, Acquisition] = {
    "clean": Acquisition(),
    "typical": Acquisition(
        (
            EnergyResolution(
                temperature_k=(4.0, 6.0), modulation_rms_v=(0.001, 0.003)
            ),
            Drift(extent_px=(0.0, 0.3)),
            TipBlur(sigma_px=(0.1, 0.4), anisotropy=(1.0, 1.2)),
            TipJumps(
                jumps_per_map=(0.0, 0.05),
                offset=(0.1, 0.5),
                contrast=(0.0, 0.1),
            ),
            BackgroundTilt(amplitude=(0.0, 0.15)),
            OneOverFNoise(amplitude=(0.25, 0.25)),
            ScanLineOffsets(amplitude=(0.1, 0.1)),
            WhiteNoise(amplitude=(0.25, 0.25)),
        )
    ),
    "hard": Acquisition(
        (
            EnergyResolution(
                temperature_k=(4.0, 8.0), modulation_rms_v=(0.002, 0.005)
            ),
            Drift(extent_px=(0.2, 0.6)),
            TipBlur(sigma_px=(0.3, 0.6), anisotropy=(1.0, 1.5)),
            TipJumps(
                jumps_per_map=(0.05, 0.2),
                offset=(0.2, 1.0),
                contrast=(0.0, 0.2),
            ),
            BackgroundTilt(amplitude=(0.1, 0.3)),
            OneOverFNoise(amplitude=(0.5, 0.5)),
            ScanLineOffsets(amplitude=(0.2, 0.2)),
            WhiteNoise(amplitude=(0.5, 0.5)),
        )
    ),
}
"""Acquisitions by difficulty. `clean` is a perfect instrument; the noise of
`hard` is white 0.5, 1/f 0.5 and lines 0.2 of the maps' standard deviation, and
that of `typical` half of it."""


def preset(name: str, bias_v: Sequence[float] | np.ndarray) -> Acquisition:
    """Look an acquisition up by difficulty.

    Args:
        name: a key of `PRESETS`.
        bias_v: [V] biases of the maps [V].

    Returns:
        The acquisition, for maps at these biases.

    Raises:
        InputError: for an unknown name; the message lists the known ones.
    """
    if name not in PRESETS:
        raise InputError(
            f"Unknown difficulty: {name!r}. Known: {', '.join(PRESETS)}."
        )
    return PRESETS[name].with_bias(bias_v)
