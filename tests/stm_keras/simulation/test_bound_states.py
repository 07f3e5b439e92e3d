import numpy as np
import pytest
from scipy.special import k0

from stm_keras.errors import InputError
from stm_keras.simulation.bound_states import (
    BoundStateConfig,
    bound_state_map,
    spot_profile,
)

PIXEL_NM = 0.46875
SPOTS_ONLY = BoundStateConfig(enabled=False)


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_tail_is_that_of_k0_squared_and_the_core_is_gaussian():
    kappa, core = np.array(0.9), np.array(0.5)
    far = np.array([8.0, 12.0])
    tail = spot_profile(far, kappa, core)
    np.testing.assert_allclose(
        tail[1] / tail[0], (k0(0.9 * 12) / k0(0.9 * 8)) ** 2, rtol=0.02
    )
    near = np.array([0.0, 0.02, 0.04])
    drop = 1 - spot_profile(near, kappa, core)
    assert drop[0] == 0
    assert drop[2] / drop[1] == pytest.approx(4, rel=0.01)


def test_a_deeper_state_is_narrower():
    r = np.linspace(0.1, 3, 30)
    shallow, deep = (
        spot_profile(r, np.array(kappa), np.array(0.5)) for kappa in (0.5, 1.0)
    )
    assert (deep < shallow).all()


def test_spots_are_bright_and_at_the_impurities():
    places = np.array([[10.0, 12.0], [30.0, 25.0]])
    image = bound_state_map(places, (40, 40), PIXEL_NM, rng(), SPOTS_ONLY)
    assert image.dtype == np.float32
    for r, c in places.astype(int):
        patch = image[r - 3 : r + 4, c - 3 : c + 4]
        assert np.unravel_index(patch.argmax(), patch.shape) == (3, 3)
        assert 0.3 <= image[r, c] < 1.1


def test_each_spot_has_its_own_amplitude_and_width():
    places = np.array([[20.0, 20.0 + 40 * i] for i in range(12)])
    image = bound_state_map(places, (41, 481), PIXEL_NM, rng(), SPOTS_ONLY)
    height = image[20, 20::40][:12]
    width = image[20, 22::40][:12] / height
    assert height.std() > 0.1
    assert width.std() > 0.02


def test_impurities_in_the_margin_reach_into_the_frame():
    outside = np.array([[-2.0, 20.0]])
    image = bound_state_map(outside, (40, 40), PIXEL_NM, rng(), SPOTS_ONLY)
    assert image.max() > 0.02
    assert image.argmax() == 20


def test_noise_and_background_have_the_asked_amplitudes():
    none = np.empty((0, 2))
    noisy = BoundStateConfig(noise=(0.05, 0.05), background=(0, 0))
    image = bound_state_map(none, (80, 80), PIXEL_NM, rng(), noisy)
    assert image.std() == pytest.approx(0.05, rel=0.03)
    smooth = BoundStateConfig(noise=(0, 0), background=(0.1, 0.1))
    image = bound_state_map(none, (80, 80), PIXEL_NM, rng(), smooth)
    assert image.std() == pytest.approx(0.1, rel=1e-3)
    assert np.abs(np.diff(image, axis=0)).max() < 0.03


def test_the_same_seed_gives_the_same_map():
    places = rng(1).uniform(0, 40, (5, 2))
    first, second = (
        bound_state_map(places, (40, 40), PIXEL_NM, rng(2)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)


@pytest.mark.parametrize("name", ["effective_mass", "background_length_nm"])
@pytest.mark.parametrize("bad", [0.0, -1.0, float("nan")])
def test_lengths_and_masses_must_be_positive(name, bad):
    with pytest.raises(InputError, match=name):
        BoundStateConfig(**{name: bad})


def test_a_pixel_must_be_positive():
    with pytest.raises(InputError, match="pixel_nm"):
        bound_state_map(np.zeros((1, 2)), (9, 9), 0.0, rng())
