"""Places of impurities: where they may lie, and how near to each other."""

import re

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import pdist

from stm_keras.errors import InputError
from stm_keras.simulation.scene import Clusters, draw_positions, in_frame


def _rng(seed=0):
    return np.random.default_rng(seed)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    n=st.integers(0, 40),
    margin=st.floats(0, 10),
    distance=st.floats(0, 2.5),
    on_grid=st.booleans(),
    clusters=st.sampled_from([None, Clusters(8.0, 2.0)]),
)
def test_number_bounds_and_distances(
    seed, n, margin, distance, on_grid, clusters
):
    positions = draw_positions(
        _rng(seed),
        shape=(20, 30),
        n=n,
        margin_px=margin,
        min_distance_px=distance,
        on_grid=on_grid,
        clusters=clusters,
    )
    assert positions.shape == (n, 2)
    low, high = -0.5 - margin, np.array([19.5, 29.5]) + margin
    assert ((positions >= low) & (positions <= high)).all()
    if n > 1:
        assert pdist(positions).min() >= max(distance, 1.0 if on_grid else 0.0)
    if on_grid:
        assert (positions == np.rint(positions)).all()


def test_density_counts_frame_and_margin():
    positions = draw_positions(
        _rng(), shape=(40, 20), density=0.01, margin_px=10
    )
    assert len(positions) == 24  # 0.01 * 60 * 40
    assert not in_frame(positions, (40, 20)).all()


def test_places_are_uniform_up_to_the_rim():
    draws = [
        draw_positions(_rng(seed), shape=(10, 10), n=5, min_distance_px=1)
        for seed in range(400)
    ]
    counts, _, _ = np.histogram2d(
        *np.concatenate(draws).T, bins=4, range=[(-0.5, 9.5)] * 2
    )
    # 125 a bin; a core drives a few more to the rim, far less than this.
    assert np.abs(counts - 125).max() < 5 * np.sqrt(125)


def test_clusters_gather_as_a_thomas_process_does():
    """Pairs closer than r: 1 - exp(-r^2 / 4 s^2) within a cluster."""
    size, spread, r, lone = 6.0, 1.5, 3.0, 0.2
    near = []
    for seed in range(60):
        positions = draw_positions(
            _rng(seed),
            shape=(200, 200),
            n=120,
            clusters=Clusters(size, spread, lone),
        )
        near.append(2 * (pdist(positions) < r).sum() / 120)
    # Two of them share one of the 20 clusters with chance 0.8^2 / 20.
    within = (1 - lone) ** 2 * 119 / 20 * -np.expm1(-((r / spread) ** 2) / 4)
    by_chance = 119 * np.pi * r**2 / 200**2
    error = np.std(near) / np.sqrt(len(near))
    assert abs(np.mean(near) - within - by_chance) < 4 * error


def test_every_place_of_a_grid_can_be_filled():
    positions = draw_positions(_rng(), shape=(4, 5), n=20, on_grid=True)
    assert len(np.unique(positions, axis=0)) == 20


def test_the_same_seed_gives_the_same_places():
    draws = [
        draw_positions(_rng(3), shape=(30, 30), n=30, min_distance_px=3)
        for _ in range(2)
    ]
    np.testing.assert_array_equal(draws[0], draws[1])


@pytest.mark.parametrize("on_grid", [False, True])
def test_too_dense_is_refused_with_a_number_that_fits(on_grid):
    options = {"shape": (20, 20), "min_distance_px": 3, "on_grid": on_grid}
    with pytest.raises(InputError, match="cannot be placed") as caught:
        draw_positions(_rng(), density=0.5, **options)
    found = re.search(r"at most (\d+)", str(caught.value))
    assert found
    enough = int(found[1])
    assert enough > 15
    for seed in range(5):
        assert len(draw_positions(_rng(seed), n=enough, **options)) == enough


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"n": 3, "density": 0.1},
        {"n": -1},
        {"density": -0.1},
        {"n": 3, "margin_px": -1},
        {"n": 3, "min_distance_px": -1},
    ],
)
def test_refuses_numbers_that_make_no_sense(options):
    with pytest.raises(InputError):
        draw_positions(_rng(), shape=(10, 10), **options)


def test_in_frame_reaches_to_the_edges_of_the_pixels():
    positions = np.array(
        [[-0.5, 0], [-0.51, 0], [3.49, 5.49], [3.5, 0], [0, 6]]
    )
    expected = [True, False, True, False, False]
    assert in_frame(positions, (4, 6)).tolist() == expected
