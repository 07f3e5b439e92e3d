from dataclasses import replace

import numpy as np
import pytest
from scipy import special

from stm_keras.errors import InputError
from stm_keras.simulation.instrument import (
    EnergyResolution,
    broadening_matrix,
)
from stm_keras.units import BOLTZMANN_EV_PER_K


def rng():
    return np.random.default_rng(0)


def broadened(bias, temperature, modulation, signal):
    one = np.array([temperature]), np.array([modulation])
    return np.asarray(broadening_matrix(bias, *one))[0] @ signal


@pytest.mark.parametrize(
    ("temperature", "modulation"), [(5.0, 0.0), (0.0, 0.004), (5.0, 0.004)]
)
def test_a_wave_in_energy_is_damped_by_both_kernels(temperature, modulation):
    bias = np.arange(-0.1, 0.1, 0.0005)
    rate = 600.0  # rad/V
    signal = np.cos(rate * bias)
    damping = 1.0
    # The kernels' Fourier transforms: of -df/dE, and of a half-ellipse.
    if temperature:
        x = np.pi * BOLTZMANN_EV_PER_K * temperature * rate
        damping *= x / np.sinh(x)
    if modulation:
        x = np.sqrt(2) * modulation * rate
        damping *= 2 * special.j1(x) / x
    broad = broadened(bias, temperature, modulation, signal)
    inside = np.abs(bias) < 0.08
    np.testing.assert_allclose(
        broad[inside], damping * signal[inside], atol=1e-3
    )
    assert damping < 0.95


@pytest.mark.parametrize("n", [2, 3, 16])
def test_a_batch_is_broadened_stack_by_stack(n):
    bias = np.linspace(-0.2, 0.0, n)
    drawn = np.array([2.0, 9.0, 5.0]), np.array([0.0, 0.01, 0.003])
    together = np.asarray(broadening_matrix(bias, *drawn))
    assert together.shape == (3, n, n)
    for matrix, *one in zip(together, *drawn, strict=True):
        alone = broadened(bias, *one, np.eye(n))
        np.testing.assert_allclose(matrix, alone, atol=1e-12)


def test_a_kernel_narrower_than_the_step_widens_a_parabola_as_it_should():
    bias = np.linspace(-0.2, 0.02, 16)
    peak = np.sqrt(2) * 0.003
    broad = broadened(bias, 0.0, 0.003, bias**2)
    # The variance of a half-ellipse is a quarter of its radius squared.
    np.testing.assert_allclose((broad - bias**2)[1:-1], peak**2 / 4, rtol=1e-6)


@pytest.mark.parametrize("n", [2, 3, 16])
def test_a_constant_stays(n):
    same = broadened(np.linspace(-0.2, 0, n), 5.0, 0.01, np.ones(n))
    np.testing.assert_allclose(same, 1)


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
