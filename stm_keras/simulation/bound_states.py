"""The map of bound states, in which each impurity is a bright spot.

An attractive impurity splits a localised state off below the edge of a
two-dimensional band (L. Limot et al., Phys. Rev. Lett. 94, 036805 (2005)).
Outside the impurity, psi ~ K0(kappa r), kappa = sqrt(2 m* E_b) / hbar, E_b
being the binding energy; K0's logarithmic peak at r = 0 is cut off by the
size of impurity and tip, which gives the spot a Gaussian core:

    |psi|^2 ~ K0(kappa sqrt(r^2 + c^2))^2 / K0(kappa c)^2
"""

import math
from dataclasses import dataclass

import numpy as np
import scipy.ndimage
from scipy.special import k0e

from stm_keras.errors import InputError
from stm_keras.simulation.ranges import Range, check_ranges, draw
from stm_keras.surfaces import SURFACES
from stm_keras.units import WAVE_NUMBER_PER_NM_PER_SQRT_EV


@dataclass(frozen=True, kw_only=True)
class BoundStateConfig:
    """Ranges of the spots, the noise and the background.

    Amplitudes are in units of the brightest spot there can be.

    Attributes:
        amplitude: height of a spot, drawn for each impurity, no unit.
        binding_energy_ev: depth of the state below the band edge [eV], drawn
            for each impurity; 0.05 eV are 1/kappa = 1.7 nm on Au(111).
        core_nm: radius c of impurity and tip together [nm], drawn for each
            impurity.
        effective_mass: m*/m_e of the band, no unit; that of Au(111) unless
            given.
        noise: standard deviation of the white noise, no unit.
        background: standard deviation of the smooth background, no unit.
        background_length_nm: length over which the background changes [nm].
        enabled: switch of noise and background; False leaves the spots.
    """

    amplitude: Range = (0.3, 1.0)
    binding_energy_ev: Range = (0.06, 0.20)
    core_nm: Range = (0.4, 0.6)
    effective_mass: float = SURFACES["au111"].effective_mass
    noise: Range = (0.02, 0.06)
    background: Range = (0.0, 0.1)
    background_length_nm: float = 8.0
    enabled: bool = True

    def __post_init__(self) -> None:
        check_ranges(
            self,
            amplitude=(0.0, 1.0),
            binding_energy_ev=(1e-4, 5.0),
            core_nm=(0.01, 5.0),
            noise=(0.0, 100.0),
            background=(0.0, 100.0),
        )
        for name in ("effective_mass", "background_length_nm"):
            if not 0 < getattr(self, name) < math.inf:
                raise InputError(
                    f"BoundStateConfig: `{name}` must be positive. "
                    f"Received: {name}={getattr(self, name)!r}."
                )


def spot_profile(
    r_nm: np.ndarray, decay_per_nm: np.ndarray, core_nm: np.ndarray
) -> np.ndarray:
    """Shape of a spot, K0(kappa sqrt(r^2 + c^2))^2 / K0(kappa c)^2.

    Args:
        r_nm: distance from the impurity [nm].
        decay_per_nm: kappa [1/nm].
        core_nm: c [nm].

    Returns:
        float64: 1 at r = 0; the shape of the arguments, broadcast.
    """
    inner = decay_per_nm * core_nm
    outer = decay_per_nm * np.hypot(r_nm, core_nm)
    # k0e is K0 times exp(x): no underflow, whatever the distance.
    return (k0e(outer) / k0e(inner) * np.exp(inner - outer)) ** 2


def _background(
    shape: tuple[int, int], length_px: float, rng: np.random.Generator
) -> np.ndarray:
    """A smooth random field of standard deviation 1, float64 [H, W]."""
    white = rng.standard_normal(shape)
    field = scipy.ndimage.gaussian_filter(white, length_px, mode="reflect")
    width = field.std()
    return (field - field.mean()) / width if width > 0 else np.zeros(shape)


def bound_state_map(
    positions: np.ndarray,
    shape: tuple[int, int],
    pixel_nm: float,
    rng: np.random.Generator,
    config: BoundStateConfig | None = None,
    *,
    decay_per_nm: np.ndarray | None = None,
) -> np.ndarray:
    """Simulate the map of the bound states.

    Args:
        positions: float [n, 2] impurities (row, column) [px], those in the
            margin too: their tails reach into the frame.
        shape: (H, W) of the map [px].
        pixel_nm: width and height of a pixel [nm].
        rng: source of randomness.
        config: what is drawn from; None takes the defaults.
        decay_per_nm: kappa of impurities whose bound state is known, [n],
            1/nm; NaN draws it from the config's binding energies, as None
            does for all.

    Returns:
        float32 [H, W], in units of the brightest spot there can be.

    Raises:
        InputError: for a pixel that is not positive.
    """
    if not 0 < pixel_nm < math.inf:
        raise InputError(
            f"`pixel_nm` must be positive. Received: pixel_nm={pixel_nm!r}."
        )
    config = config or BoundStateConfig()
    centres = np.asarray(positions, np.float64).reshape(-1, 2)
    amplitude = draw(config.amplitude, rng, len(centres))
    energy_ev = draw(config.binding_energy_ev, rng, len(centres))
    core_nm = draw(config.core_nm, rng, len(centres))
    drawn = WAVE_NUMBER_PER_NM_PER_SQRT_EV * np.sqrt(
        config.effective_mass * energy_ev
    )
    decays = drawn
    if decay_per_nm is not None:
        decays = np.where(np.isnan(decay_per_nm), drawn, decay_per_nm)
    image = np.zeros(shape)
    row, col = np.ogrid[: shape[0], : shape[1]]
    for (y, x), a, kappa, c in zip(
        centres, amplitude, decays, core_nm, strict=True
    ):
        r_nm = pixel_nm * np.hypot(row - y, col - x)
        image += a * spot_profile(r_nm, kappa, c)
    if config.enabled:
        length_px = config.background_length_nm / pixel_nm
        field = _background(shape, length_px, rng)
        image += float(draw(config.background, rng)) * field
        image += float(draw(config.noise, rng)) * rng.standard_normal(shape)
    return image.astype(np.float32)
