import numpy as np
import pytest

from stm_keras.errors import InputError
from stm_keras.simulation.short_range import (
    CoreRanges,
    DecoyRanges,
    add_cores,
    add_decoys,
)

K = np.linspace(0.66, 0.9, 6)
CENTRE = np.array([[20.3, 24.6]])
ROW, COL = np.mgrid[:48, :48]
R = np.hypot(ROW - CENTRE[0, 0], COL - CENTRE[0, 1])


def rng(seed=0):
    return np.random.default_rng(seed)


def waves():
    wave = np.cos(2 * K[:, None, None] * R) / (1 + R)
    return wave.astype(np.float32)


@pytest.mark.parametrize("seed", range(8))
def test_cores_change_nothing_beyond_a_few_wave_numbers(seed):
    change = np.abs(add_cores(waves(), CENTRE, K, rng(seed)) - waves())
    # 5 sigma of the widest core, off its impurity.
    reach = (5 * 0.9 * 1.6 + 0.3) / K.mean() + 1
    assert change[:, reach < R].max() == 0
    assert change[:, 1 / K.mean() > R].max() > 0.01


def test_the_wave_is_damped_to_nothing_at_the_impurity():
    maps = np.ones((6, 41, 41), np.float32)
    ranges = CoreRanges(amplitude=(0, 0), damping_radius=(1, 1))
    damped = add_cores(maps, np.array([[20.0, 20.0]]), K, rng(), ranges)
    assert np.abs(damped[:, 20, 20]).max() < 1e-6
    distance = np.arange(1, 21)
    expected = -np.expm1(-((distance * K[:, None]) ** 4))
    np.testing.assert_allclose(damped[:, 20, 21:], expected, atol=1e-5)


def test_without_damping_and_core_nothing_changes():
    ranges = CoreRanges(amplitude=(0, 0), damping_radius=(0, 0))
    maps = add_cores(waves(), CENTRE, K, rng(), ranges)
    np.testing.assert_array_equal(maps, waves())


def core_of(seed, **ranges):
    flat = np.zeros((6, 48, 48), np.float32)
    drawn = CoreRanges(**ranges)
    return add_cores(flat, CENTRE, K, rng(seed), drawn, scale=1.0)


def test_cores_differ_in_sign_size_place_shape_and_energy():
    cores = [core_of(seed) for seed in range(12)]
    peaks = [c.ravel()[np.abs(c).argmax()] for c in cores]
    assert {np.sign(p) for p in peaks} == {-1.0, 1.0}
    weights = [np.abs(c[3]) / np.abs(c[3]).sum() for c in cores]
    middles = np.array([[(w * ROW).sum(), (w * COL).sum()] for w in weights])
    off = np.hypot(*(middles - CENTRE).T)
    assert off.max() < 0.3 / K.mean() + 0.05
    assert off.std() > 0.02
    spectra = np.array([c[:, 20, 25] / c[3, 20, 25] for c in cores])
    assert spectra[:, 0].std() > 0.05


def test_the_height_is_a_multiple_of_the_given_scale():
    fixed = {
        "amplitude": (3, 3),
        "shift": (0, 0),
        "dispersion": (0, 0),
        "sigma": (2, 2),
    }
    core = core_of(0, **fixed)
    expected = 3 * np.exp(-(R.min() ** 2) / (2 * (2 / K.mean()) ** 2))
    assert np.abs(core).max() == pytest.approx(expected, rel=0.02)
    assert not np.ptp(core, axis=0).any()


def test_impurities_beyond_the_frame_are_taken_and_far_ones_do_nothing():
    near, far = np.array([[-1.0, 10.0]]), np.array([[-60.0, 10.0]])
    assert (add_cores(waves(), near, K, rng()) != waves()).any()
    np.testing.assert_array_equal(add_cores(waves(), far, K, rng()), waves())


def test_no_impurities_no_change():
    maps = add_cores(waves(), np.empty((0, 2)), K, rng())
    np.testing.assert_array_equal(maps, waves())


def test_decoys_have_no_waves_around_them():
    flat = np.zeros((6, 48, 48), np.float32)
    ranges = DecoyRanges(density_per_px=(1 / 48**2, 1 / 48**2))
    for seed in range(6):
        maps, places = add_decoys(flat, K, rng(seed), ranges, scale=1.0)
        assert places.shape == (1, 2)
        apart = np.hypot(ROW - places[0, 0], COL - places[0, 1])
        reach = 5 * 1.5 * 1.6 / K.mean() + 1
        assert not maps[:, apart > reach].any()
        for one in maps:
            # A blob has one sign; a wave would change it with distance.
            assert one.max() <= 0 or one.min() >= 0


def test_decoys_are_as_many_as_asked_and_in_the_frame():
    ranges = DecoyRanges(density_per_px=(0.00125, 0.00125))
    flat = np.zeros((2, 80, 80), np.float32)
    maps, places = add_decoys(flat, K[:2], rng(), ranges, scale=1.0)
    assert places.shape == (8, 2)
    assert (places >= -0.5).all()
    assert (places < 79.5).all()
    assert maps.any()


def test_the_same_seed_gives_the_same_maps():
    first, second = (add_decoys(waves(), K, rng(3)) for _ in range(2))
    np.testing.assert_array_equal(first[0], second[0])
    np.testing.assert_array_equal(first[1], second[1])
    np.testing.assert_array_equal(
        add_cores(waves(), CENTRE, K, rng(3)),
        add_cores(waves(), CENTRE, K, rng(3)),
    )


@pytest.mark.parametrize("bad", [K[:3], -K, K * np.nan])
def test_wave_numbers_that_do_not_fit_are_refused(bad):
    with pytest.raises(InputError, match="Wave numbers"):
        add_cores(waves(), CENTRE, bad, rng())


def test_cores_of_one_kind_are_alike():
    places = np.array([[12.0, 12.0], [34.0, 30.0]])
    calm = np.zeros((6, 48, 48), np.float32)
    kind = CoreRanges(
        damping_radius=(0, 0), shift=(0, 0), sigma=(0.5, 0.9), alike_share=1
    )
    for seed in range(4):
        maps = add_cores(calm, places, K, rng(seed), kind, scale=1.0)
        first, other = maps[:, 8:17, 8:17], maps[:, 30:39, 26:35]
        np.testing.assert_allclose(first, other, atol=1e-3)
        own = add_cores(calm, places, K, rng(seed), CoreRanges(), scale=1.0)
        assert np.abs(own[:, 8:17, 8:17] - own[:, 30:39, 26:35]).max() > 0.1


def test_a_share_beyond_one_is_refused():
    with pytest.raises(InputError, match="alike_share"):
        CoreRanges(alike_share=1.5)
