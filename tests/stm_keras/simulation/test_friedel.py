import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from stm_keras.errors import InputError
from stm_keras.simulation.friedel import (
    FriedelConfig,
    friedel_sum,
    normalise,
    simulate_friedel,
)


def eq3(positions, amplitudes, phases, k, size, eps):
    """Eq. 3 of arXiv:2006.15898 for one map, as it is written."""
    dn = np.zeros((size, size))
    for row in range(size):
        for col in range(size):
            for (r, c), a, alpha in zip(
                positions, amplitudes, phases, strict=True
            ):
                d = math.hypot(row - r, col - c)
                dn[row, col] += a * math.cos(2 * k * d + alpha) / (d + eps) ** 2
    return dn


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32 - 1), st.floats(0.3, 2.0))
def test_is_eq_3(seed, eps):
    rng = np.random.default_rng(seed)
    positions = rng.uniform(-3, 12, (2, 4, 2))
    amplitudes, phases = rng.uniform(0, 6, (2, 2, 3, 4))
    k = rng.uniform(0.5, 1.2, (2, 3))
    maps = friedel_sum(positions, amplitudes, phases, k, size_px=9, eps_px=eps)
    for b in range(2):
        for v in range(3):
            expected = eq3(
                positions[b], amplitudes[b, v], phases[b, v], k[b, v], 9, eps
            )
            np.testing.assert_allclose(
                maps[b, v], expected, rtol=1e-4, atol=1e-4 / eps**2
            )


def test_decays_as_one_over_r_squared_with_half_wavelength_pi_over_k():
    """On a line through the impurity, dn (r + eps)^2 is a plain cosine."""
    k, eps, alpha = 0.4, 0.7, 1.1
    line = friedel_sum(
        np.zeros((1, 1, 2)),
        np.ones((1, 1, 1)),
        np.full((1, 1, 1), alpha),
        np.full((1, 1), k),
        size_px=60,
        eps_px=eps,
    )[0, 0, 0]
    r = np.arange(60)
    np.testing.assert_allclose(
        line * (r + eps) ** 2, np.cos(2 * k * r + alpha), atol=1e-3
    )


def test_maps_have_mean_zero_and_reach_one():
    fields = simulate_friedel(FriedelConfig(), np.random.default_rng(0), 40)
    assert fields.maps.dtype == np.float32
    assert fields.maps.shape == (40, 16, 20, 20)
    np.testing.assert_allclose(
        np.abs(fields.maps).max(axis=(2, 3)), 1, rtol=1e-6
    )
    np.testing.assert_allclose(fields.maps.mean(axis=(2, 3)), 0, atol=1e-5)


def test_normalise_a_constant_map():
    assert (normalise(np.full((2, 3, 3), 5, np.float32)) == 0).all()


@pytest.mark.parametrize("on_grid", [True, False])
@pytest.mark.parametrize("margin_px", [0, 6])
def test_positions(on_grid, margin_px):
    config = FriedelConfig(
        on_grid=on_grid, margin_px=margin_px, n_impurities=(2, 5)
    )
    fields = simulate_friedel(config, np.random.default_rng(1), 300)
    counts = [len(p) for p in fields.positions]
    assert {min(counts), max(counts)} == {2, 5}
    for positions in fields.positions:
        assert ((positions >= -0.5) & (positions < 19.5)).all()
        assert len(np.unique(positions, axis=0)) == len(positions)
        assert (positions == np.round(positions)).all() == on_grid


def test_impurities_of_the_margin_reach_the_field():
    config = FriedelConfig(n_impurities=(1, 1), n_voltages=4)
    wide = FriedelConfig(n_impurities=(1, 1), n_voltages=4, margin_px=8)
    lone, accompanied = (
        simulate_friedel(c, np.random.default_rng(2), 200)
        for c in (config, wide)
    )

    def edge(fields):
        edges = fields.maps[:, :, [0, -1]] ** 2
        return edges.mean() / (fields.maps**2).mean()

    assert edge(accompanied) > 1.3 * edge(lone)


def test_wave_numbers():
    config = FriedelConfig(k0_rad_px=0.8, k_spread_rad_px=0.1)
    k = simulate_friedel(config, np.random.default_rng(3), 50).wave_numbers
    assert ((k >= 0.7) & (k <= 0.9)).all()
    assert np.ptp(k) > 0.19
    assert (np.diff(k, axis=1) >= 0).all()
    given_k = np.linspace(0.5, 0.9, 16)
    fields = simulate_friedel(
        config, np.random.default_rng(3), 2, wave_numbers=given_k
    )
    np.testing.assert_allclose(fields.wave_numbers, [given_k] * 2, rtol=1e-6)


def test_the_same_seed_gives_the_same_fields():
    first, second, other = (
        simulate_friedel(FriedelConfig(), np.random.default_rng(s), 3)
        for s in (5, 5, 6)
    )
    np.testing.assert_array_equal(first.maps, second.maps)
    assert not np.array_equal(first.maps, other.maps)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"size_px": 0}, "size_px=0"),
        ({"n_voltages": -1}, "n_voltages=-1"),
        ({"eps_px": 0.0}, "eps_px=0"),
        ({"n_impurities": (5, 2)}, r"\(5, 2\)"),
        ({"n_impurities": (0, 2)}, "no label"),
        ({"n_impurities": (1, 5), "size_px": 2}, "do not fit"),
        ({"amplitude": (2.0, 1.0)}, "amplitude"),
        ({"k_spread_rad_px": 0.9}, "k_spread_rad_px"),
        ({"k0_rad_px": 1.6}, "alias"),
        ({"margin_px": -1}, "margin_px"),
    ],
)
def test_bad_input(wrong, message):
    with pytest.raises(InputError, match=message):
        FriedelConfig(**wrong)
