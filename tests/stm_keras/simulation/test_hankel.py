"""H0^(1) in single precision against SciPy's in double."""

import numpy as np
import pytest
from scipy import special

from stm_keras.errors import InputError
from stm_keras.simulation.scattering import RadialGrid, hankel0, interpolate


@pytest.mark.parametrize(
    ("low", "high"), [(1e-6, 1e-3), (1e-3, 1), (1, 30), (30, 1000), (1e3, 1e4)]
)
def test_error_is_below_1e_5(low, high):
    exponents = np.linspace(np.log(low), np.log(high), 100_003)
    x = np.exp(exponents).clip(low, high).astype(np.float32)
    truth = special.hankel1(0, x.astype(np.float64))
    assert np.abs(hankel0(x) - truth).max() < 1e-5


def test_keeps_the_shape_and_is_single_precision():
    assert hankel0(np.ones((2, 0, 3))).shape == (2, 0, 3)
    assert hankel0(np.ones((4, 5))).shape == (4, 5)
    assert hankel0(2.0).shape == ()
    assert hankel0(np.ones(3)).dtype == np.complex64


@pytest.mark.parametrize("x", [0.0, -1.0, 2e4, np.nan, np.inf])
def test_refuses_arguments_out_of_range(x):
    with pytest.raises(InputError, match="must lie in"):
        hankel0(np.array([1.0, x]))


@pytest.mark.parametrize("k", [0.02, 0.3, 1.1, 1.57])
@pytest.mark.parametrize("mean_free_path", [10.0, 300.0, np.inf])
def test_grid_interpolates_the_damped_wave(k, mean_free_path, rng):
    grid = RadialGrid(1.57, 0.05, 150)
    r = np.concatenate(
        [np.geomspace(0.05, 150, 5000), rng.uniform(0.05, 150, 20_000)]
    )
    index, place = grid.locate((r**2).astype(np.float32))
    wave = interpolate(*grid.wave(k, mean_free_path), index, place)
    truth = special.hankel1(0, k * r) * np.exp(-r / (2 * mean_free_path))
    assert np.abs(wave - truth).max() < 1e-5


def test_distances_beyond_the_ends_count_as_the_ends():
    grid = RadialGrid(1.0, 0.05, 50)
    r = np.array([0, 0.02, 0.05, grid.r[-1], 200])
    index, place = grid.locate((r**2).astype(np.float32))
    wave = interpolate(*grid.wave(1.0), index, place)
    np.testing.assert_allclose(wave[:2], wave[2], atol=1e-5)
    np.testing.assert_allclose(wave[4], wave[3], atol=1e-5)
    np.testing.assert_allclose(
        wave[[2, 3]], special.hankel1(0, r[[2, 3]]), atol=1e-5
    )


def test_grid_refuses_a_frame_beyond_the_table():
    with pytest.raises(InputError, match="Take a smaller frame"):
        RadialGrid(1.5, 0.05, 7000)


@pytest.fixture
def rng():
    return np.random.default_rng(5)
