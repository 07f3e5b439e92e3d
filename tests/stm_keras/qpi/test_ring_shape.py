"""The radius from the ring's shape: on which side the power lies is no bias."""

import numpy as np
import pytest
from scipy.integrate import trapezoid
from scipy.special import hankel1, j0

from stm_keras.qpi.ring import (
    N_SECTORS,
    circles_of,
    measure_ring,
    mode_powers,
    radial_spectrum,
    spectra_without_sectors,
    transform,
)

K, SIZE = 0.78, 80
STEP = 2 * np.pi / SIZE


def waves(phase, seed, noise=0.3):
    """Single scattering of alike impurities, T = |T| exp(i phase)."""
    rng = np.random.default_rng(seed)
    rows, cols = np.indices((SIZE, SIZE))
    image = np.zeros((SIZE, SIZE))
    side = SIZE + 48
    n = rng.poisson(30 * side**2 / SIZE**2)
    for row, col in rng.uniform(-24, SIZE + 24, (n, 2)):
        r = np.hypot(rows - row, cols - col) + 0.05
        wave = hankel1(0, K * r) ** 2 * np.exp(-r / 100)
        image += (np.exp(1j * phase) * wave).real
    return image / image.std() + noise * rng.normal(size=image.shape)


def test_the_transform_is_that_of_the_wave():
    two_k, damping = 2.0, 0.3
    r = np.linspace(1e-6, 120, 400_001)
    q = np.array([0.4, 1.2, 1.9, 2.1, 3.0, 4.5])
    wave = hankel1(0, (two_k + 1j * damping) / 2 * r) ** 2 * r
    integral = np.array([trapezoid(wave * j0(one * r), r) for one in q])
    ratio = integral / transform(q, two_k, damping)
    np.testing.assert_allclose(ratio, ratio[0], rtol=1e-3)


@pytest.mark.parametrize("phase", [np.pi, np.pi / 2, 2.5])
def test_radius_and_its_uncertainty_for_any_phase(phase):
    rings = [measure_ring(waves(phase, seed), 1.0) for seed in range(8)]
    found = [ring for ring in rings if ring is not None]
    assert len(found) == 8
    off = np.array([ring.q_per_nm - 2 * K for ring in found])
    # The maximum of the power lies up to half a step away.
    assert abs(off.mean()) < 0.35 * STEP
    z = off / [ring.q_sigma for ring in found]
    assert np.sqrt(np.mean(z**2)) < 2
    assert all(ring.q_sigma < 0.7 * STEP for ring in found)


def test_less_noise_is_more_certain():
    quiet, loud = (measure_ring(waves(np.pi, 0, n), 1.0) for n in (0.3, 1.5))
    assert quiet is not None
    assert loud is not None
    assert quiet.q_sigma < loud.q_sigma


def test_a_spectrum_without_a_sector_forgets_what_lies_there():
    circles = circles_of((64, 64), (1.0, 1.0))
    rng = np.random.default_rng(0)
    power = mode_powers(rng.normal(size=(64, 64)), circles)
    near = circles.log_q > 0
    before = spectra_without_sectors(power, circles, near)
    changed = power + 9.0 * (circles.sector == 3)
    after = spectra_without_sectors(changed, circles, near)
    np.testing.assert_array_equal(before[3], after[3])
    assert before.shape == (N_SECTORS, near.sum())
    assert not np.allclose(before[4], after[4])
    whole = radial_spectrum(power, circles)[near]
    np.testing.assert_allclose(before.mean(axis=0), whole, atol=0.5)
