"""Impurities and bands of real surfaces: pairs, walls, kinds, contours."""

import math
from dataclasses import replace

import numpy as np
import pytest
from scipy.spatial.distance import cdist, pdist

from stm_keras.errors import InputError
from stm_keras.simulation.instrument import (
    DoubleTip,
    InvertedContrast,
    MainsHum,
)
from stm_keras.simulation.scattering import (
    Contour,
    Scatterers,
    bound_phase_shift,
    ldos,
    t_amplitude,
)
from stm_keras.simulation.scene import Arrangement, ScattererRanges
from stm_keras.simulation.surface_kinds import (
    KINDS,
    MEAN_K_PER_NM,
    au111_herringbone,
    named_kind,
)
from stm_keras.simulation.training_fields import (
    ScatteringConfig,
    field_rng,
    simulate_field,
)
from stm_keras.simulation.virtual_experiment import (
    VirtualConfig,
    simulate_virtual,
)

K = np.array([0.4, 0.6])


def rng(seed=0):
    return np.random.default_rng(seed)


def test_the_phase_shift_is_that_of_the_bound_state():
    energy, bound = np.array([0.01, 0.1, 0.4]), 0.1
    delta = bound_phase_shift(np.sqrt(energy), np.sqrt(bound))
    np.testing.assert_allclose(
        1 / np.tan(delta), np.log(energy / bound) / np.pi, atol=1e-12
    )
    assert delta[1] == pytest.approx(math.pi / 2)
    assert (np.diff(delta) < 0).all()


def test_the_bound_state_is_a_pole_of_the_scattering_amplitude():
    kappa = 0.7
    # ln(E/E_b) at E = -E_b, k = i kappa, is i pi: cot(delta) = i, 1/t = 0.
    k = kappa * np.exp(1j * (np.pi / 2) * (1 - 1e-9))
    cot = 2 * np.log(k / kappa) / np.pi
    assert abs(-1 - 1j * cot) < 1e-8
    # And where it is real the formula is that of `t_amplitude`.
    delta = bound_phase_shift(0.5, kappa)
    cot = 2 * np.log(0.5 / kappa) / np.pi
    assert t_amplitude(delta) == pytest.approx(1 / (-1 - 1j * cot))


def test_impurities_with_bound_states_scatter_by_them():
    ranges = ScattererRanges(bound_share=0.5, black_share=0, elastic_share=1)
    drawn = ranges.draw(np.zeros((400, 2)), K, rng(), K)
    bound = np.isfinite(drawn.kappa)
    assert bound.mean() == pytest.approx(0.5, abs=0.1)
    expected = bound_phase_shift(K[:, None], drawn.kappa[bound])
    np.testing.assert_allclose(drawn.delta[:, bound], expected)
    with pytest.raises(InputError, match="wave numbers"):
        ranges.draw(np.zeros((4, 2)), K, rng())


@pytest.mark.parametrize("n", [1, 2, 3])
def test_impurities_of_a_species_are_alike(n):
    ranges = ScattererRanges(n_species=(n, n))
    drawn = ranges.draw(np.zeros((60, 2)), K, rng())
    assert len(np.unique(drawn.delta[0])) == n
    for kind in range(n):
        same = drawn.species == kind
        assert np.ptp(drawn.delta[:, same], axis=1).max() == 0


def placed(seed=0, **options):
    chance = rng(seed).uniform(-20, 100, (80, 2))
    sites = np.stack(np.meshgrid([10.0, 40.0, 70.0], [15.0, 60.0]), -1)
    arrangement = Arrangement(**options)
    return arrangement.place(
        chance, sites.reshape(-1, 2), 2.0, (80, 80), rng(seed + 1)
    )


def test_close_pairs_lie_as_close_as_asked():
    options = {"pair_share": 0.8, "pair_distance": (0.8, 1.6)}
    distances = np.concatenate([pdist(placed(s, **options)) for s in range(8)])
    by_chance = np.concatenate([pdist(placed(s)) for s in range(8)])
    near = ((distances > 1.6) & (distances < 3.2)).sum()
    alone = ((by_chance > 1.6) & (by_chance < 3.2)).sum()
    assert near - alone == pytest.approx(8 * 80 * 0.4 * 0.7, rel=0.4)
    assert distances.min() >= 0.5


def test_a_chain_has_its_spacing_and_sites_their_impurities():
    chain = placed(
        chain_share=1.0, chain_length=(12, 12), chain_spacing=(1.5, 1.5)
    )[:12]
    steps = np.linalg.norm(np.diff(chain, axis=0), axis=1)
    np.testing.assert_allclose(steps, 3.0)
    at_sites = placed(site_share=1.0)[:6]
    sites = np.stack(np.meshgrid([10.0, 40.0, 70.0], [15.0, 60.0]), -1)
    assert cdist(at_sites, sites.reshape(-1, 2)).min(axis=1).max() < 3


def test_an_ellipse_is_a_circle_in_other_lengths():
    """Two masses: rows in units of one wave length, columns of the other."""
    positions = np.array([[10.0, 6.5], [22.0, 9.0], [3.0, 2.25]])
    delta, none = np.full((2, 3), 0.8), np.zeros(3)
    ellipse = ldos(
        Scatterers(positions, delta, none),
        wave_number=K,
        shape=(32, 12),
        contour=Contour(axis_ratio=4.0),
    )
    circle = ldos(
        Scatterers(positions * (0.5, 2.0), delta, none),
        wave_number=K,
        shape=(16, 24),
    )
    np.testing.assert_allclose(
        ellipse[:, ::2], circle[:, :, ::2], rtol=1e-3, atol=1e-4
    )


def test_a_warped_contour_has_six_corners():
    angle = np.linspace(0, 2 * np.pi, 721)
    contour = Contour(warping=0.08, warping_angle_rad=0.3)
    r = np.sqrt(contour.squares(10 * np.sin(angle), 10 * np.cos(angle)))
    assert r.max() == pytest.approx(10.8, rel=1e-3)
    assert r.min() == pytest.approx(9.2, rel=1e-3)
    peaks = (r[1:-1] > r[:-2]) & (r[1:-1] >= r[2:])
    assert np.count_nonzero(peaks) == 6


def test_waves_of_an_ellipse_are_shorter_along_its_long_axis():
    one = Scatterers(np.array([[0.0, 0.0]]), np.full((1, 1), 1.0), np.zeros(1))
    maps = ldos(
        one,
        wave_number=[0.6],
        shape=(400, 400),
        contour=Contour(axis_ratio=1.3),
    )
    lines = maps[0, 0, 40:] - 1, maps[0, 40:, 0] - 1

    def crossings(line):
        return np.count_nonzero(np.diff(np.sign(line)))

    ratio = crossings(lines[0]) / crossings(lines[1])
    assert ratio == pytest.approx(1.3, abs=0.03)


def test_a_second_apex_repeats_the_map():
    point = np.zeros((2, 64, 64), np.float32)
    point[:, 30, 30] = 1
    tip = DoubleTip(strength=(0.4, 0.4), distance_px=(9, 9))
    twice = tip(point, rng(3), scale=1.0)
    np.testing.assert_allclose(twice[0], twice[1], atol=1e-5)
    assert twice[0, 30, 30] == pytest.approx(1 / 1.4, abs=0.01)
    twice[0, 30, 30] = 0
    row, col = np.indices((64, 64))
    weight = np.where(np.hypot(row - 30, col - 30) > 4, twice[0], 0)
    assert weight.sum() == pytest.approx(0.4 / 1.4, rel=0.05)
    at = [(weight * axis).sum() / weight.sum() for axis in (row, col)]
    assert math.dist(at, (30, 30)) == pytest.approx(9, abs=0.1)


def test_hum_has_one_frequency_along_the_lines():
    maps = np.zeros((3, 40, 64), np.float32)
    hum = MainsHum(amplitude=(0.5, 0.5), periods_per_line=(7, 7))(
        maps, rng(), scale=2.0
    )
    assert hum.std() == pytest.approx(1.0, rel=0.02)
    power = np.abs(np.fft.rfft(hum, axis=2)) ** 2
    assert (power.argmax(axis=2) == 7).all()
    assert power[..., 7].sum() > 0.99 * power.sum()
    assert not np.allclose(hum[0], hum[1])


def test_contrast_is_inverted_in_whole_stacks_or_single_maps():
    maps = rng().normal(size=(40, 4, 4)).astype(np.float32)
    whole = InvertedContrast(share=1.0)(maps, rng())
    np.testing.assert_array_equal(whole, -maps)
    some = InvertedContrast(share=0.0, share_of_maps=0.5)(maps, rng())
    inverted = (some == -maps).all(axis=(1, 2))
    assert (inverted | (some == maps).all(axis=(1, 2))).all()
    assert 8 < inverted.sum() < 32


SMALL = VirtualConfig(
    n_impurities=5, size_px=40, extent_nm=18.75, bias_v=(-0.2, -0.1, 0.02)
)


@pytest.mark.parametrize("name", KINDS)
def test_every_kind_can_be_simulated_again(name):
    config = named_kind(name, SMALL)
    scene, again = (simulate_virtual(config, rng(2)) for _ in range(2))
    assert np.isfinite(scene.maps).all()
    np.testing.assert_array_equal(scene.maps, again.maps)
    plain = simulate_virtual(SMALL, rng(2))
    if name == "plain":
        np.testing.assert_array_equal(scene.maps, plain.maps)
        return
    assert np.abs(scene.maps - plain.maps).max() > 0.1 * plain.wave_spread
    if not {"arrangement", "scatterers", "contour"} & set(KINDS[name]):
        assert len(scene.positions) - len(plain.positions) in (-1, 0, 1)


def test_noise_does_not_grow_with_terraces():
    plain = simulate_virtual(SMALL, rng(4))
    terraces = simulate_virtual(named_kind("terraces", SMALL), rng(4))
    np.testing.assert_array_equal(plain.waves, terraces.waves)
    rough = [np.diff(s.maps, 2, axis=2) for s in (plain, terraces)]
    flat = ~terraces.masks["step"][:, 2:]
    spread = [np.median(np.abs(r[:, flat])) for r in rough]
    assert spread[1] < 2 * spread[0]


def test_the_herringbone_of_au111_has_6_3_nm():
    low, high = au111_herringbone(0.2, 1.0).period
    assert low < 6.3 * MEAN_K_PER_NM < high
    assert abs(MEAN_K_PER_NM - 1.66) < 0.05


def test_unknown_kinds_are_refused():
    with pytest.raises(InputError, match="Known: plain, herringbone"):
        named_kind("moon")


def test_a_field_without_a_surface_is_what_it_was():
    """Surfaces have a source of their own and draw nothing from the field's."""
    bare = ScatteringConfig(size_px=24, n_voltages=3, margin_px=8.0)
    herringbone = au111_herringbone(0.5, 0.5)
    changed = replace(bare, features=(herringbone,))
    one, other = (simulate_field(c, field_rng(1, 5)) for c in (bare, changed))
    np.testing.assert_array_equal(one.waves, other.waves)
    np.testing.assert_array_equal(one.positions, other.positions)
    assert not np.array_equal(one.maps, other.maps)


def test_some_fields_are_empty_where_asked():
    config = ScatteringConfig(
        size_px=24, n_voltages=2, margin_px=8.0, empty_share=0.5
    )
    counts = [
        len(simulate_field(config, field_rng(0, i)).everywhere)
        for i in range(40)
    ]
    assert 10 < counts.count(0) < 30
