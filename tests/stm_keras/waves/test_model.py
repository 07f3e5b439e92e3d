"""Physics of the wave model, in limits that are known."""

import math

import numpy as np
import pytest
from scipy import special

from stm_keras.errors import InputError
from stm_keras.simulation.scatterers import Scatterers, t_amplitude
from stm_keras.simulation.scattering import ldos
from stm_keras.waves.hankel import hankel
from stm_keras.waves.model import (
    Medium,
    amplitude_columns,
    distances,
    medium_columns,
    position_columns,
    scatter,
)

_K = 0.75
_SHAPE = (36, 40)
_PIXELS = np.argwhere(np.ones(_SHAPE, bool)).astype(float)


def places(n, seed=0):
    rng = np.random.default_rng(seed)
    grid = np.array(
        [(8 + 10 * i, 6 + 11 * j) for i in range(3) for j in range(3)]
    )
    return grid[:n] + rng.uniform(-2, 2, (n, 2))


_MEDIUM = Medium(_K, kappa=1.0)


def wave(c, positions, medium=_MEDIUM):
    r = distances(positions, _PIXELS)
    return scatter(np.asarray(c), positions, r, medium)


def far(positions, least=1.5):
    return distances(positions, _PIXELS).min(axis=0) > least


def test_table_is_the_hankel_function():
    x = np.geomspace(0.2, 900, 4000)
    h0, h1 = hankel(x)
    assert np.abs(h0 - special.hankel1(0, x)).max() < 3e-4
    assert np.abs(h1 - special.hankel1(1, x)).max() < 3e-3
    near = x > 1
    assert np.abs(h0 - special.hankel1(0, x))[near].max() < 2e-5


def test_table_refuses_what_it_cannot_resolve():
    with pytest.raises(InputError, match="as far as"):
        hankel(np.array([1e6]))


@pytest.mark.parametrize("path", [math.inf, 60.0])
def test_is_the_t_matrix_in_units_of_the_clean_ldos(path):
    positions = places(7)
    delta = np.linspace(-1.4, 1.4, 7)[None]
    expected = (
        ldos(
            Scatterers(positions, delta, np.full(7, 0.1)),
            wave_number=[_K],
            shape=_SHAPE,
            mean_free_path=path,
        )[0].ravel()
        - 1
    )
    t = t_amplitude(delta, 0.1)[0]
    made = wave(t, positions, Medium(_K, 1 / (2 * path), 1.0)).modulation
    seen = far(positions)
    assert np.abs(made - expected)[seen].max() < 2e-4


def test_scale_and_kappa_belong_together():
    """The map s m of t is the map of c = s t at kappa = 1 / s."""
    positions, t = places(5), t_amplitude(np.linspace(0.3, 1.5, 5))
    one = wave(t, positions).modulation
    other = wave(4 * t, positions, Medium(_K, kappa=0.25)).modulation
    np.testing.assert_allclose(other, 4 * one, atol=1e-4)


def test_nothing_scatters_at_a_zero():
    positions = places(4)
    c = np.array([0.4j, 0, -0.3, 0.2])
    kept = [0, 2, 3]
    np.testing.assert_allclose(
        wave(c, positions).modulation,
        wave(c[kept], positions[kept]).modulation,
        atol=1e-6,
    )


def test_order_of_impurities_does_not_matter():
    positions, c = places(5), t_amplitude(np.linspace(0.3, 1.5, 5))
    turned = np.array([3, 1, 4, 0, 2])
    np.testing.assert_allclose(
        wave(c[turned], positions[turned]).modulation,
        wave(c, positions).modulation,
        atol=1e-5,
    )


def test_far_apart_impurities_scatter_alone():
    """What waves between two add falls as their distance's square root."""
    added = []
    for apart in (40.0, 160.0):
        pair = np.array([[10.0, 10.0], [10.0, 10.0 + apart]])
        c = t_amplitude([1.2, 1.2])
        whole = wave(c, pair).u
        lone = wave(c, pair, Medium(_K)).u
        added.append(np.abs(whole[0] - lone[0])[far(pair[:1], 6)].max())
    ratio = added[1] / added[0]
    assert ratio < 0.6


def test_unitarity():
    """Elastic impurities together conserve particles: Im T = -T T^+ J.

    In this convention 1 + 2 T J with J the matrix of J0(k r_ij) is unitary
    in the space of the impurities: Re T + T^+ J T = 0 (hermitian part).
    """
    positions = places(5)
    t = t_amplitude(np.linspace(0.2, 1.5, 5))
    r = np.linalg.norm(positions[:, None] - positions, axis=-1)
    G = np.where(r > 0, special.hankel1(0, _K * np.where(r > 0, r, 1)), 0)
    T = np.linalg.inv(np.diag(1 / t) - G)
    J = special.j0(_K * r)
    hermitian = (T + T.conj().T) / 2
    np.testing.assert_allclose(hermitian, -T.conj().T @ J @ T, atol=1e-10)
    # and the model's own orders are this T: g = T h.
    made = wave(t, positions)
    np.testing.assert_allclose(
        made.g, T.astype(np.complex64) @ made.h, atol=2e-4
    )


@pytest.mark.parametrize("kappa", [0.0, 0.8])
def test_derivatives(kappa):
    positions, medium = places(5), Medium(_K, 0.01, kappa)
    c = t_amplitude(np.linspace(0.3, 1.5, 5))
    seen = far(positions)
    r = distances(positions, _PIXELS)
    made = scatter(c, positions, r, medium)

    def slope(change, step):
        up, down = change(step), change(-step)
        return ((up - down) / (2 * step))[seen]

    def with_c(j, unit):
        def change(s):
            moved = c.copy()
            moved[j] += s * unit
            return wave(moved, positions, medium).modulation

        return change

    def with_place(j, axis):
        def change(s):
            moved = positions.copy()
            moved[j, axis] += s
            return wave(c, moved, medium).modulation

        return change

    amplitude = amplitude_columns(made)
    places_ = position_columns(made, positions, _PIXELS, r, kappa)
    for j in (0, 3):
        for part, unit in enumerate((1, 1j)):
            assert slope(with_c(j, unit), 3e-3) == pytest.approx(
                amplitude[part * 5 + j][seen], abs=2e-3
            )
        for axis in range(2):
            assert slope(with_place(j, axis), 1e-2) == pytest.approx(
                places_[axis * 5 + j][seen], abs=3e-3
            )
    own = medium_columns(made, positions, r, medium)
    for at, name in enumerate(("k", "gamma", "kappa")):

        def change(s, name=name):
            value = getattr(medium, name) + s
            return wave(
                c, positions, medium._replace(**{name: value})
            ).modulation

        step = 1e-3 if name != "kappa" else 1e-2
        if name == "kappa" and kappa == 0:
            continue  # kappa 0 is taken for single scattering, exactly
        assert slope(change, step) == pytest.approx(own[at][seen], abs=3e-2)
