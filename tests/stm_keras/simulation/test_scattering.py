"""The scattering simulation: its formulas, and the limits of its physics."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.simulation.scattering import (
    GUARD_RADIUS_PX,
    Scatterers,
    check_sampling,
    ldos,
    t_amplitude,
)
from stm_keras.simulation.scene import draw_positions, smooth_phase_shifts

K = np.array([0.3, 0.66, 0.9, 1.1])


def _load(name):
    root = Path(__file__).parents[3]
    path = root / "benchmarks" / f"{name}.py"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


transcriptions = _load("transcriptions")


def _assert_close(first, second, error=2e-5):
    """Equal to single precision, unless another error is allowed."""
    np.testing.assert_allclose(first, second, atol=error, rtol=error)


def _scatterers(positions, seed=0, absorption=0.2):
    rng = np.random.default_rng(seed)
    positions = np.array(positions, float).reshape(-1, 2)
    n = len(positions)
    delta = smooth_phase_shifts(rng, n, K)
    return Scatterers(positions, delta, np.full(n, absorption))


def _random(seed, n=12, shape=(24, 30)):
    rng = np.random.default_rng(seed)
    positions = draw_positions(
        rng, shape=shape, n=n, margin_px=10, min_distance_px=1.5
    )
    absorption = rng.choice([0.0, 0.4, np.inf], n)
    delta = smooth_phase_shifts(rng, n, K)
    return Scatterers(positions, delta, absorption)


# The formulas


# 75 impurities: more than the products of matrices take at once.
@pytest.mark.parametrize("n", [1, 2, 12, 75])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("length", [15.0, np.inf])
def test_equals_the_transcription(n, seed, length):
    field = _random(seed, n)
    truth = transcriptions.ldos(
        field.positions,
        field.delta,
        np.broadcast_to(field.absorption, field.delta.shape),
        K,
        np.full(len(K), length),
        (24, 30),
        min_radius=0.05,
    )
    maps = ldos(field, wave_number=K, shape=(24, 30), mean_free_path=length)
    assert maps.dtype == np.float32
    _assert_close(maps, truth)


def test_absorption_and_mean_free_path_may_differ_between_energies():
    field = _random(4)
    rng = np.random.default_rng(0)
    absorption = rng.uniform(0, 1, field.delta.shape)
    length = np.array([10.0, 20.0, np.inf, 50.0])
    truth = transcriptions.ldos(
        field.positions, field.delta, absorption, K, length, (24, 30)
    )
    varied = Scatterers(field.positions, field.delta, absorption)
    maps = ldos(varied, wave_number=K, shape=(24, 30), mean_free_path=length)
    _assert_close(maps, truth)


def test_both_roads_of_the_transcription_agree():
    x = np.geomspace(1e-3, 1e3, 1000)
    _assert_close(
        transcriptions.hankel0(x),
        transcriptions.hankel0_of_real(x),
        1e-12,
    )


@given(st.floats(-10, 10))
def test_t_is_unitary_without_absorption(delta):
    t = t_amplitude(delta)
    assert abs(1 + 2 * t) == pytest.approx(1)
    assert t.real == pytest.approx(-(abs(t) ** 2))


@given(st.floats(-10, 10), st.floats(0, 20))
def test_absorption_takes_particles_away(delta, absorption):
    t = t_amplitude(delta, absorption)
    assert abs(1 + 2 * t) == pytest.approx(np.exp(-2 * absorption))


@given(st.floats(-10, 10))
def test_black_dot(delta):
    assert t_amplitude(delta, np.inf) == -0.5


# Limits


def test_zero_phase_shift_gives_exactly_a_flat_map():
    positions = np.array([[3.2, 4.5], [10, 10], [-4, 8]])
    none = Scatterers(positions, np.zeros((4, 3)), np.zeros(3))
    assert (ldos(none, wave_number=K, shape=(16, 16)) == 1).all()


def test_no_impurity_gives_exactly_a_flat_map():
    none = _scatterers(np.empty((0, 2)))
    assert (ldos(none, wave_number=K, shape=(5, 7)) == np.ones((4, 5, 7))).all()


@pytest.mark.parametrize(
    ("delta", "absorption"), [(0.3, 0), (-1.2, 0), (np.pi / 2, 0), (0, np.inf)]
)
def test_far_from_one_scatterer_it_decays_as_1_over_r(delta, absorption):
    one = Scatterers(
        np.array([[0.0, 0.0]]),
        np.full((4, 1), float(delta)),
        np.array([float(absorption)]),
    )
    r = np.arange(600)[300:]
    wave = ldos(one, wave_number=K, shape=(1, 600))[:, 0, 300:] - 1
    t = -0.5 if absorption else np.exp(1j * delta) * 1j * np.sin(delta)
    phase = 2 * (K[:, None] * r - np.pi / 4)
    expected = (t * np.exp(1j * phase)).real
    # The next order of the asymptotic series is 1 / (4 k r) of this.
    scaled = wave * np.pi * K[:, None] * r / 2
    np.testing.assert_allclose(scaled, expected, atol=4e-3)


def test_many_scatterings_tend_to_the_sum_of_single_ones():
    def remainder(distance):
        places = np.array([[8.0, 8.0], [8.0, 8.0 + distance]])
        both = _scatterers(places, absorption=0.0)
        alone = [
            Scatterers(places[i : i + 1], both.delta[:, i : i + 1], np.zeros(1))
            for i in range(2)
        ]
        waves = [
            ldos(s, wave_number=K, shape=(17, 17)) - 1 for s in (both, *alone)
        ]
        return np.abs(waves[0] - waves[1] - waves[2]).max()

    # What is left carries two more waves over the distance, each ~ d^-1/2.
    assert remainder(10) > 0.05
    assert remainder(1000) < remainder(10) / 50


def test_a_crowded_field_is_that_of_the_formulas_written_out():
    # More impurities than are multiplied, or than pixels are done, at once.
    rng = np.random.default_rng(3)
    n, shape = 80, (48, 48)
    positions = draw_positions(
        rng, shape=shape, n=n, margin_px=24, min_distance_px=2.0
    )
    delta = smooth_phase_shifts(rng, n, K)
    absorption = rng.choice([0.0, 0.4, np.inf], (len(K), n))
    length = np.array([20.0, 50.0, 100.0, np.inf])
    ours = ldos(
        Scatterers(positions, delta, absorption),
        wave_number=K,
        shape=shape,
        mean_free_path=length,
    )
    plain = transcriptions.ldos(
        positions,
        delta,
        absorption,
        K,
        length,
        shape,
        min_radius=GUARD_RADIUS_PX,
        hankel=transcriptions.hankel0_of_real,
    )
    np.testing.assert_allclose(ours, plain, rtol=0, atol=1e-4)


def test_mean_free_path_cuts_far_impurities_off():
    near = np.array([[8.0, 8.0]])
    delta = np.full((4, 2), 1.0)
    both = Scatterers(
        np.concatenate([near, [[8.0, 300.0]]]), delta, np.zeros(2)
    )
    alone = Scatterers(near, delta[:, :1], np.zeros(1))
    maps = [
        ldos(s, wave_number=K, shape=(17, 17), mean_free_path=10.0)
        for s in (both, alone)
    ]
    _assert_close(maps[0], maps[1], 1e-6)


def test_a_pixel_on_a_scatterer_counts_as_a_little_away():
    at = np.array([[5.0, 5.0], [5.0, 20.0]])
    on = _scatterers(at)
    beside = Scatterers(at + np.array([0, 0.05]), on.delta, on.absorption)
    maps = [
        ldos(s, wave_number=K, shape=(11, 11))[:, 5, 5] for s in (on, beside)
    ]
    assert np.isfinite(maps[0]).all()
    _assert_close(maps[0], maps[1], 1e-2)


# Symmetries


def test_order_of_impurities_does_not_matter():
    field = _random(1)
    order = np.random.default_rng(0).permutation(len(field.positions))
    other = Scatterers(
        field.positions[order], field.delta[:, order], field.absorption[order]
    )
    maps = [ldos(s, wave_number=K, shape=(24, 30)) for s in (field, other)]
    _assert_close(maps[0], maps[1])


def test_rotation_by_90_degrees():
    field = _random(2)
    row, col = field.positions.T
    turned = Scatterers(
        np.stack([29 - col, row], axis=1), field.delta, field.absorption
    )
    maps = ldos(field, wave_number=K, shape=(24, 30))
    rotated = ldos(turned, wave_number=K, shape=(30, 24))
    np.testing.assert_allclose(rotated, np.rot90(maps, axes=(1, 2)))


def test_translation():
    field = _random(3)
    moved = Scatterers(
        field.positions + np.array([3, 7]), field.delta, field.absorption
    )
    maps = ldos(field, wave_number=K, shape=(24, 30))
    other = ldos(moved, wave_number=K, shape=(27, 37))
    _assert_close(other[:, 3:, 7:], maps)


# Rings


def _ring(image):
    """Wave number at which the spectrum of an image is largest [rad/px]."""
    size = len(image)
    window = np.outer(np.hanning(size), np.hanning(size))
    power = np.abs(np.fft.fft2((image - image.mean()) * window)) ** 2
    pixel = 2 * np.pi / size
    q = np.hypot(*np.meshgrid(*[np.fft.fftfreq(size)] * 2)) * size
    bins = np.rint(q).astype(int).ravel()
    profile = np.bincount(bins, power.ravel()) / np.bincount(bins)
    first = int(0.3 / pixel)  # below: slow changes from place to place
    return (first + profile[first : size // 2].argmax()) * pixel, pixel


@pytest.mark.parametrize("k", np.linspace(0.4, 1.3, 5))
@pytest.mark.parametrize("seed", range(3))
def test_ring_of_the_spectrum_lies_at_2k(k, seed):
    rng = np.random.default_rng(seed)
    positions = draw_positions(
        rng, shape=(128, 128), n=30, margin_px=20, min_distance_px=3
    )
    delta = smooth_phase_shifts(rng, 30, [k])
    field = Scatterers(positions, delta, np.zeros(30))
    maps = ldos(field, wave_number=[k], shape=(128, 128), mean_free_path=100)
    ring, pixel = _ring(maps[0])
    assert abs(ring - 2 * k) <= pixel


# Batches and phase shifts


def test_phase_shifts_are_smooth_and_belong_to_the_impurity():
    energies = np.linspace(-0.23, 0.02, 126)
    delta = smooth_phase_shifts(
        np.random.default_rng(0),
        500,
        energies,
        delta_rad=(-1, 1),
        slope=(-0.5, 0.5),
        curvature=(-0.2, 0.2),
    )
    assert delta.shape == (126, 500)
    assert np.abs(delta[62:64].mean(axis=0)).max() <= 1 + 1e-3
    # |slope| + 2 |curvature| at most, over half the width of the energies.
    steepest = np.abs(np.gradient(delta, energies, axis=0)).max()
    assert steepest <= (0.5 + 0.4) / 0.125 + 1e-9
    assert delta.std(axis=1).min() > 0.4


def test_phase_shifts_follow_energies_in_any_order():
    energies = np.array([0.3, -0.1, 0.2])
    draws = [
        smooth_phase_shifts(np.random.default_rng(1), 4, e)
        for e in (energies, np.sort(energies))
    ]
    np.testing.assert_array_equal(draws[0][energies.argsort()], draws[1])


# Bad input


def test_a_pixel_too_coarse_is_refused_with_one_that_does():
    field = _scatterers([[5, 5]])
    with pytest.raises(InputError, match=r"above pi rad/px.*0.785 times as"):
        ldos(field, wave_number=[0.5, 1, 1.5, 2], shape=(8, 8))
    with pytest.raises(InputError, match=r"0.3926 nm wide"):
        check_sampling([2.0], pixel_nm=0.5)
    check_sampling([2.0 * 0.3926 / 0.5])


@pytest.mark.parametrize("k", [0.0, -0.5, np.nan, np.inf])
def test_refuses_wave_numbers_that_are_none(k):
    with pytest.raises(InputError, match="positive numbers"):
        check_sampling([0.5, k])


def test_refuses_impurities_closer_than_the_core():
    field = _scatterers([[5, 5], [20, 20], [5, 6.5]])
    ldos(field, wave_number=K, shape=(8, 8))
    with pytest.raises(InputError, match=r"Impurities 0 and 2 are 1\.5 px"):
        ldos(field, wave_number=K, shape=(8, 8), min_distance_px=2)


def test_refuses_two_impurities_in_one_place():
    with pytest.raises(InputError, match="closer than the core"):
        ldos(_scatterers([[5, 5], [5, 5]]), wave_number=K, shape=(8, 8))


def test_refuses_an_impurity_too_far_away():
    with pytest.raises(InputError, match="smaller frame"):
        ldos(_scatterers([[5, 5], [5, 2e4]]), wave_number=K, shape=(8, 8))


@pytest.mark.parametrize(
    ("k", "length"),
    [(K[:2], 10), (K[None], 10), (K, [10, 10]), (K, 0), (K, [1, 1, 1, -5])],
)
def test_refuses_shapes_and_mean_free_paths_that_do_not_fit(k, length):
    with pytest.raises(InputError, match="mean_free_path"):
        ldos(
            _scatterers([[5, 5]]),
            wave_number=k,
            shape=(8, 8),
            mean_free_path=length,
        )


@pytest.mark.parametrize(
    ("positions", "delta", "absorption", "message"),
    [
        (np.zeros((2, 3)), np.zeros((4, 2)), np.zeros(2), "must be"),
        (np.zeros((2, 2)), np.zeros((4, 3)), np.zeros(2), "must be"),
        (np.zeros((2, 2)), np.zeros((4, 2)), np.zeros(4), "absorption"),
        (np.zeros((2, 2)), np.zeros((4, 2)), -np.ones(2), "0 or more"),
        (np.zeros((2, 2)), np.zeros((4, 2)), np.full(2, np.nan), "0 or more"),
        (np.full((2, 2), np.nan), np.zeros((4, 2)), np.zeros(2), "finite"),
        (np.zeros((2, 2)), np.full((4, 2), np.inf), np.zeros(2), "finite"),
    ],
)
def test_refuses_scatterers_that_cannot_be(
    positions, delta, absorption, message
):
    with pytest.raises(InputError, match=message):
        Scatterers(positions, delta, absorption)
