from dataclasses import replace

import numpy as np
import pytest
from scipy import integrate

from stm_keras.errors import InputError
from stm_keras.simulation.energy_resolution import (
    EnergyResolution,
    broadening_matrix,
    lock_in_kernel,
    thermal_kernel,
)
from stm_keras.units import BOLTZMANN_EV_PER_K

GRID_EV = np.linspace(-0.03, 0.03, 60001)


def rng():
    return np.random.default_rng(0)


def full_width(kernel):
    high = GRID_EV[kernel >= kernel.max() / 2]
    return high[-1] - high[0]


def test_the_thermal_width_is_3_5_kt():
    kernel = thermal_kernel(GRID_EV, 5.0)
    assert full_width(kernel) == pytest.approx(
        3.525 * BOLTZMANN_EV_PER_K * 5.0, rel=1e-3
    )
    # 1.5 meV at 5 K.
    assert full_width(kernel) == pytest.approx(1.5e-3, rel=0.02)


def test_the_lock_in_width_is_2_45_times_the_rms():
    kernel = lock_in_kernel(GRID_EV, 0.004)
    assert full_width(kernel) == pytest.approx(np.sqrt(6) * 0.004, rel=1e-3)
    assert not kernel[np.abs(GRID_EV) > np.sqrt(2) * 0.004].any()


@pytest.mark.parametrize(
    "kernel", [thermal_kernel(GRID_EV, 5.0), lock_in_kernel(GRID_EV, 0.004)]
)
def test_kernels_have_unit_area(kernel):
    assert integrate.simpson(kernel, x=GRID_EV) == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("temperature", "modulation"), [(5.0, 0.0), (0.0, 0.004), (5.0, 0.004)]
)
def test_a_wave_in_energy_is_damped_by_both_kernels(temperature, modulation):
    bias = np.arange(-0.1, 0.1, 0.0005)
    rate = 600.0  # rad/V
    signal = np.cos(rate * bias)
    damping = 1.0
    if temperature:
        kernel = thermal_kernel(GRID_EV, temperature)
        damping *= integrate.simpson(kernel * np.cos(rate * GRID_EV), x=GRID_EV)
    if modulation:
        kernel = lock_in_kernel(GRID_EV, modulation)
        damping *= integrate.simpson(kernel * np.cos(rate * GRID_EV), x=GRID_EV)
    broad = broadening_matrix(bias, temperature, modulation) @ signal
    inside = np.abs(bias) < 0.08
    np.testing.assert_allclose(
        broad[inside], damping * signal[inside], atol=1e-3
    )
    assert damping < 0.95


def test_a_kernel_narrower_than_the_step_widens_a_parabola_as_it_should():
    bias = np.linspace(-0.2, 0.02, 16)
    peak = np.sqrt(2) * 0.003
    broad = broadening_matrix(bias, 0.0, 0.003) @ bias**2
    # The variance of a half-ellipse is a quarter of its radius squared.
    np.testing.assert_allclose((broad - bias**2)[1:-1], peak**2 / 4, rtol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 16])
def test_a_constant_stays(n):
    matrix = broadening_matrix(np.linspace(-0.2, 0, n), 5.0, 0.01)
    np.testing.assert_allclose(matrix.sum(axis=1), 1)


def test_zero_width_and_a_single_map_change_nothing():
    maps = rng().normal(size=(4, 5, 6)).astype(np.float32)
    sharp = EnergyResolution(
        temperature_k=(0, 0),
        modulation_rms_v=(0, 0),
        bias_v=(0.0, 0.1, 0.2, 0.4),
    )
    np.testing.assert_allclose(sharp(maps, rng()), maps, atol=1e-6)
    single = EnergyResolution(bias_v=(0.1,))
    np.testing.assert_array_equal(single(maps[:1], rng()), maps[:1])


def test_the_order_of_the_biases_does_not_count():
    maps = rng().normal(size=(5, 3, 3)).astype(np.float32)
    bias = np.array([-0.2, -0.15, -0.1, 0.0, 0.05])
    part = EnergyResolution(
        temperature_k=(9, 9), modulation_rms_v=(0.02, 0.02), bias_v=tuple(bias)
    )
    straight = part(maps, rng())
    back = replace(part, bias_v=tuple(bias[::-1]))
    np.testing.assert_allclose(
        back(maps[::-1], rng())[::-1], straight, atol=1e-5
    )


def test_biases_that_are_not_those_of_the_maps_are_refused():
    maps = np.zeros((3, 4, 4), np.float32)
    with pytest.raises(InputError, match="2 biases for 3 maps"):
        EnergyResolution(bias_v=(0.0, 0.1))(maps, rng())
    with pytest.raises(InputError, match="distinct"):
        EnergyResolution(bias_v=(0.1, 0.1))
