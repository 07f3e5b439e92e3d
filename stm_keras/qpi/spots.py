"""What stands out in a map's Fourier transform and is no ring of waves.

Atoms and molecules in a lattice, and pickup of the mains, give a few sharp
spots; the power on a ring of scattered waves is spread over its directions,
like speckle. Measured on the real maps at hand (2026-11-30): the brightest
twentieth of a ring holds .18 to .40 of its power (speckle: .20), that of a
lattice, of pickup and of noise of the lines .62 to .82.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from stm_keras.maps import (
    ConductanceMaps,
    resample,
)
from stm_keras.qpi.ring import Ring, measure_ring

MOST_Q_PER_NM = 25.0
"""No surface state of a metal scatters with more [rad/nm]: the diameter of
the surface Brillouin zone of Cu(111) is 28.4 rad/nm at its narrowest."""


_BRIGHTEST = 0.05


_MOST_SHARE = 0.5  # of an annulus's power in its brightest pixels


_ANNULUS_STEPS = 1.5  # half its width, in steps of the transform


_APART_DEG = 40.0  # directions of two spots of a lattice


_FAINTEST = 0.1  # of the brightest spot


_LOOKED_BELOW = 0.8  # of what was no ring, when a ring is looked for again


_MIN_STEPS = 4.0  # periods in the frame of what is a lattice


_LATTICE_OVER_RING = 3.0


_MAX_NYQUIST_SHARE = 0.85  # see `qpi/ring.py`


_MOST_LOOKS = 4


def ring_or_spots(maps: ConductanceMaps) -> tuple[Ring | None, str]:
    """The ring of standing waves in a levelled map, and what is none.

    Where what stands out most is no ring, a ring is looked for below it.

    Args:
        maps: one map; the first of several counts.

    Returns:
        The ring, None where there is none; and what else stands out, a text
        such as "15.2 rad/nm in 3 directions: a lattice", "" for nothing.
    """
    found = list[str]()
    for _ in range(_MOST_LOOKS):
        ring = measure_ring(maps.data[0], maps.pixel_nm)
        fault = "" if ring is None else _no_ring(maps, ring)
        if ring is None or not fault:
            return ring, "; ".join(found)
        found.append(fault)
        most = min(_LOOKED_BELOW * ring.q_per_nm, MOST_Q_PER_NM)
        pixel = _MAX_NYQUIST_SHARE * np.pi / most
        if min(maps.extent_nm) < 16 * pixel:
            break
        maps = resample(maps, pixel)
    return None, "; ".join(found)


def _no_ring(maps: ConductanceMaps, ring: Ring) -> str:
    """Why a ring is none; "" where it is."""
    spectrum = _Spectrum(maps)
    half_width = _ANNULUS_STEPS * ring.step_per_nm + 2 * ring.q_sigma
    near = np.abs(spectrum.q - ring.q_per_nm) < half_width
    n = spectrum.n_spots(near)
    q = f"{ring.q_per_nm:.3g} rad/nm"
    if ring.q_per_nm > MOST_Q_PER_NM:
        what = "atoms, or noise" if n else "noise, or a tip's form"
        return f"{q}, beyond any surface state's {MOST_Q_PER_NM:g}: {what}"
    if n > 1:
        return f"{q} in {n} directions: a lattice of atoms or molecules"
    if n:
        what = "pickup, noise of the lines, or waves off a straight step"
        return f"{q} in one direction: {what}"
    # Around and above the spots of a lattice lie its harmonics and what its
    # faults scatter.
    first = spectrum.brightest_q(_MIN_STEPS * ring.step_per_nm)
    around = np.abs(spectrum.q - first) < _ANNULUS_STEPS * ring.step_per_nm
    stronger = spectrum.power[around].sum() > _LATTICE_OVER_RING * (
        spectrum.power[near].sum()
    )
    if ring.q_per_nm > first and stronger and spectrum.n_spots(around) > 1:
        return f"{q}, of a lattice at {first:.3g} rad/nm"
    return ""


class _Spectrum:
    """Power of a map by wave number and direction, half of the plane.

    Attributes:
        power: [H, W'], any unit.
        q: of each [rad/nm].
        directions: of each [degree].
    """

    def __init__(self, maps: ConductanceMaps) -> None:
        image = maps.data[0].astype(np.float64)
        image = np.nan_to_num(image - np.nanmean(image))
        height, width = image.shape
        sides = np.hanning(height + 2)[1:-1], np.hanning(width + 2)[1:-1]
        image *= np.outer(*sides) / (np.abs(image).max() or 1.0)
        self.power = np.abs(np.fft.rfft2(image)) ** 2
        down, right = (2 * np.pi / side for side in maps.pixel_nm)
        rows = down * np.fft.fftfreq(height)[:, np.newaxis]
        columns = right * np.fft.rfftfreq(width)
        self.q = np.hypot(rows, columns)
        self.directions = np.degrees(np.arctan2(rows, columns)) % 180

    def brightest_q(self, least: float) -> float:
        """Where most power is, beyond a least wave number [rad/nm]."""
        power = np.where(self.q > least, self.power, 0)
        return float(self.q.ravel()[np.argmax(power)])

    def n_spots(self, near: NDArray[np.bool_]) -> int:
        """Spots that hold most of an annulus's power; 0 where none do."""
        power, directions = self.power[near], self.directions[near]
        n_brightest = max(1, round(_BRIGHTEST * power.size))
        brightest = np.sort(power)[::-1][:n_brightest]
        if brightest.sum() <= _MOST_SHARE * power.sum():
            return 0
        return len(_spots(power, directions))


def _spots(
    power: NDArray[np.float64], directions: NDArray[np.float64]
) -> list[float]:
    """Directions of the brightest spots [degree], the brightest first."""
    found = list[float]()
    left = power.copy()
    while left.max() > max(_FAINTEST * power.max(), 0):
        direction = float(directions[np.argmax(left)])
        found.append(direction)
        away = np.abs((directions - direction + 90) % 180 - 90)
        left[away < _APART_DEG] = 0
    return found
