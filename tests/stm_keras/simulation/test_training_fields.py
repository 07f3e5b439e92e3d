"""Randomised fields: what is drawn, and that seeds settle it."""

import math

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from stm_keras.errors import InputError
from stm_keras.simulation.scattering import ldos
from stm_keras.simulation.training_fields import (
    ScatteringConfig,
    field_rng,
    simulate_many,
)

BARE = {"cores": None, "decoys": None}
SMALL = ScatteringConfig(
    size_px=12,
    n_voltages=4,
    margin_px=8.0,
    density_per_px2=(3e-3, 1e-2),
    **BARE,
)


def _many(n, config=SMALL, seed=0, **options):
    return list(simulate_many(config, seed, range(n), **options))


def _assert_same(first, second):
    for name in ("maps", "q", "positions", "outside", "decoys"):
        np.testing.assert_array_equal(
            getattr(first, name), getattr(second, name)
        )
    np.testing.assert_array_equal(
        first.scatterers.delta, second.scatterers.delta
    )


@pytest.fixture(scope="module")
def fields():
    return _many(120)


def test_the_same_seed_gives_the_same_data_on_any_number_of_processes(fields):
    for mine, other in zip(fields[:40], _many(40, processes=2), strict=True):
        _assert_same(mine, other)


def test_a_field_depends_on_its_index_only(fields):
    (alone,) = simulate_many(SMALL, 0, [7])
    _assert_same(alone, fields[7])
    assert not np.array_equal(fields[7].maps, fields[8].maps)
    (other,) = simulate_many(SMALL, 1, [7])
    assert not np.array_equal(other.maps, alone.maps)


def test_maps_are_the_scattering_of_what_is_told(fields):
    field = fields[3]
    maps = ldos(
        field.scatterers,
        wave_number=field.wave_numbers,
        shape=(12, 12),
        mean_free_path=field.mean_free_path_px,
    )
    np.testing.assert_array_equal(field.maps, maps - 1)
    assert field.maps.dtype == np.float32
    assert field.maps.shape == (4, 12, 12)


def test_draws_stay_in_their_ranges_and_fill_them(fields):
    rings = np.array([f.q for f in fields])
    assert rings.min() >= 0.6
    assert rings.max() <= 2.2
    assert rings.min() < 0.65
    assert rings.max() > 2.0
    assert (np.diff(rings, axis=1) > 0).all()
    ratios = rings[:, -1] / rings[:, 0]
    assert ((ratios >= 1.05 - 1e-9) & (ratios <= 1.8 + 1e-9)).all()
    lengths = [f.mean_free_path_px for f in fields]
    assert 20 <= min(lengths) < 30
    assert 350 < max(lengths) <= 500
    assert min(pdist(f.everywhere).min() for f in fields) >= 2
    assert all(len(f.positions) for f in fields)
    assert any(len(f.outside) for f in fields)
    assert all(len(f.everywhere) / 28**2 < 1.1e-2 for f in fields)


def test_clusters_are_drawn_for_a_share_of_the_fields():
    config = ScatteringConfig(
        size_px=24,
        n_voltages=1,
        margin_px=8.0,
        density_per_px2=(1.5e-2, 1.5e-2),
        clustered_share=0.5,
        cluster_size=(8.0, 8.0),
        cluster_spread_px=(2.0, 2.0),
    )
    near = [(pdist(f.everywhere) < 4).sum() for f in _many(60, config)]
    # A handful of the 276 pairs by chance, a score where they gather.
    assert 15 < (np.array(near) > 14).sum() < 45


def test_strengths_are_of_all_kinds(fields):
    absorption = np.concatenate([f.scatterers.absorption for f in fields])
    assert np.isinf(absorption).mean() == pytest.approx(0.15, abs=0.06)
    assert (absorption == 0).mean() == pytest.approx(0.3, abs=0.08)
    delta = np.concatenate([f.scatterers.delta.mean(axis=0) for f in fields])
    assert (delta > 0).mean() == pytest.approx(0.5, abs=0.1)
    assert np.abs(delta).min() < 0.3
    assert np.abs(delta).max() > 1.4


def test_the_band_bends_as_asked():
    straight = ScatteringConfig(
        size_px=4, n_voltages=9, band_curvature=(0.0, 0.0), min_in_frame=0
    )
    (field,) = simulate_many(straight, 0, [0])
    steps = np.diff(field.wave_numbers**2)
    np.testing.assert_allclose(steps, steps[0], rtol=1e-9)


def test_rings_up_to_the_limit_of_the_pixel_are_allowed():
    coarse = ScatteringConfig(
        size_px=8,
        n_voltages=3,
        ring_rad_px=(1.0, math.pi),
        ring_ratio=(math.pi - 1e-9, math.pi),
        min_in_frame=0,
    )
    for field in _many(10, coarse):
        assert field.wave_numbers.max() <= math.pi / 2


def test_seeds_give_independent_randomness():
    draws = {
        field_rng(seed, index).integers(2**63)
        for seed in range(20)
        for index in range(20)
    }
    assert len(draws) == 400


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size_px": 0}, "size_px"),
        ({"n_voltages": 0}, "n_voltages"),
        ({"margin_px": -1.0}, "margin_px"),
        ({"min_distance_px": 0.0}, "min_distance_px"),
        ({"density_per_px2": (0.01, 0.001)}, "density_per_px2"),
        ({"density_per_px2": (0.0, 0.001)}, "density_per_px2"),
        ({"density_per_px2": (0.01, 0.2)}, "cannot be placed 2 px apart"),
        ({"density_per_px2": (1e-5, 1e-3)}, "too few for `min_in_frame`"),
        ({"delta_rad": (0.0, 3.0)}, "delta_rad"),
        ({"absorption": (-1.0, 1.0)}, "absorption"),
        ({"elastic_share": 0.7, "black_share": 0.5}, "add up to 1"),
        ({"black_share": -0.1}, "black_share"),
        ({"clustered_share": 1.5}, "clustered_share"),
        ({"cluster_size": (0.5, 2)}, "cluster_size"),
        ({"ring_rad_px": (0.6, 3.3)}, "ring_rad_px"),
        ({"ring_ratio": (1.0, 5.0)}, "3.666 or less"),
        ({"band_curvature": (-2.0, 0.0)}, "band_curvature"),
        ({"mean_free_path_px": (0.0, 10.0)}, "mean_free_path_px"),
        ({"mean_free_path_px": (10.0, math.inf)}, "mean_free_path_px"),
    ],
)
def test_refuses_ranges_that_make_no_sense(options, message):
    with pytest.raises(InputError, match=message):
        ScatteringConfig(**options)


def test_refuses_no_process_and_a_negative_seed():
    with pytest.raises(InputError, match="processes"):
        simulate_many(SMALL, 0, [0], processes=0)
    with pytest.raises(InputError, match="seed"):
        simulate_many(SMALL, -1, [0])


def test_an_error_in_a_process_comes_back_as_itself():
    crowded = ScatteringConfig(
        size_px=4,
        n_voltages=1,
        margin_px=0.0,
        min_in_frame=8,
        density_per_px2=(0.125, 0.127),
    )
    with pytest.raises(InputError, match="min_in_frame"):
        list(simulate_many(crowded, 0, range(2), processes=2))
