import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.nn.ring_power import RingPower
from stm_keras.nn.ring_templates import RingTemplates
from stm_keras.simulation.friedel import friedel_sum

SIZE = 33
MIDDLE = 16
EQ3 = ((1.0, 2.0),)


def field(row, col, k, phase):
    """One impurity of Eq. 3 off the grid, its mean taken off."""
    one = friedel_sum(
        np.array([[[row, col]]]),
        np.ones((1, 1, 1)),
        np.full((1, 1, 1), phase),
        np.full((1, 1), k),
        size_px=SIZE,
        eps_px=1.0,
    )[0]
    return (one - one.mean()).astype(np.float32)


def power(maps, told, templates=EQ3, amplitudes=None):
    layer = RingPower(templates)
    if amplitudes is None:
        amplitudes = np.zeros((*maps.shape, 2 * len(templates)), np.float32)
    return np.asarray(layer(maps, amplitudes, np.asarray(told, np.float32)))


@settings(max_examples=25, deadline=None)
@given(
    st.sampled_from([(0, 0), (0.5, 0), (0, 0.5), (0.5, 0.5)]),
    st.floats(0.35, 1.05),
    st.floats(0, 6.28),
)
def test_it_is_greatest_where_the_impurity_is_between_pixels(shift, k, phase):
    maps = field(MIDDLE + shift[0], MIDDLE + shift[1], k, phase)
    shown = power(maps, [2 * k])[0]
    row, col, number = np.unravel_index(shown.argmax(), shown.shape)
    found = row + (number % 2) / 2, col + (number // 2) / 2
    assert found == (MIDDLE + shift[0], MIDDLE + shift[1])


def test_white_noise_gives_a_mean_of_one():
    noise = np.random.default_rng(0).standard_normal((9, 60, 60))
    shown = power(noise.astype(np.float32), np.full(9, 1.4))
    inner = shown[:, 9:-9, 9:-9].mean((0, 1, 2))
    np.testing.assert_allclose(inner, 1, atol=0.1)


def test_cosine_and_sine_count_alike():
    """The phase of a ring does not count, even of the longest waves."""
    values = [
        power(field(MIDDLE, MIDDLE, 0.3, phase), [0.6])[0, MIDDLE, MIDDLE, 0]
        / (field(MIDDLE, MIDDLE, 0.3, phase)[0] ** 2).sum()
        for phase in np.linspace(0, np.pi, 7)
    ]
    assert min(values) > 0.8 * max(values)


@pytest.mark.parametrize("unknown", [0.0, np.nan])
def test_an_unknown_wave_number_gives_nothing(unknown):
    assert not power(field(9, 9, 0.7, 0.0), [unknown]).any()


def test_rings_close_by_are_given_back_and_others_are_not():
    rng = np.random.default_rng(4)
    waves = ((1.0, 1.0), (1.0, 2.0))
    told = np.array([1.3, 1.8], np.float32)
    amplitudes = np.zeros((2, SIZE, SIZE, 4), np.float32)
    near = slice(MIDDLE - 1, MIDDLE + 2)
    amplitudes[:, near, near] = rng.standard_normal((2, 3, 3, 4))
    painted = np.asarray(RingTemplates(waves).paint(amplitudes, told))
    kept = power(painted, told, waves)
    back = power(0 * painted, told, waves, amplitudes)
    inner = slice(MIDDLE - 1, MIDDLE + 2)
    np.testing.assert_allclose(
        back[:, inner, inner], kept[:, inner, inner], atol=1e-4
    )
    assert not back[:, : MIDDLE - 4].any()
